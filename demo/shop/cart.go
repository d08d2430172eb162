package shop

import (
	"context"
	"fmt"
	"time"

	"github.com/meridian-gtm/meridian/demo/shop/store"
)

// Cart is what a visitor wants to order. Its rows live in the region that first served the visitor; every region
// shows and changes them.
type Cart struct {
	ID    string     `json:"id"` // starts with the home region
	Lines []CartLine `json:"lines"`
	Total Money      `json:"total_minor"`
}

// CartLine is one product in a cart, at today's price.
type CartLine struct {
	SKU      string `json:"sku"`
	Name     string `json:"name"`
	Quantity int    `json:"quantity"` // 1..99
	Price    Money  `json:"price_minor"`
}

// NewCartID makes the id of an empty cart whose home is region.
func NewCartID(region string) string { return newID(region) }

// Cart returns a cart. One that nobody put anything into is empty; an id that no cart can have is ErrNotFound.
func (s *Shop) Cart(ctx context.Context, id string) (Cart, error) {
	c := Cart{ID: id, Lines: []CartLine{}}
	region, ok := s.regionOf(id)
	if !ok {
		return Cart{}, fmt.Errorf("cart %.80q: %w", id, ErrNotFound)
	}
	err := s.db.Each(ctx, store.Current,
		`SELECT c.sku, p.name, c.quantity, p.price FROM cart_lines c JOIN products p ON p.sku = c.sku
		WHERE c.region = $1 AND c.cart_id = $2 ORDER BY p.name`, []any{region, id}, func(row store.Row) error {
			var l CartLine
			err := row.Scan(&l.SKU, &l.Name, &l.Quantity, &l.Price)
			c.Lines = append(c.Lines, l)
			c.Total += l.Price * Money(l.Quantity)
			return err
		})
	if err != nil {
		return Cart{}, fmt.Errorf("cart %s: %w", id, err)
	}
	return c, nil
}

// SetCart makes the cart hold quantity of a product; 0 takes it out. Doing it twice is doing it once.
func (s *Shop) SetCart(ctx context.Context, id, sku string, quantity int, now time.Time) error {
	region, ok := s.regionOf(id)
	if !ok {
		return fmt.Errorf("cart %.80q: %w", id, ErrNotFound)
	}
	if quantity < 0 || quantity > MaxQuantity {
		return &InvalidError{fmt.Sprintf("line %.40q: quantity %d: want 0..%d", sku, quantity, MaxQuantity)}
	}
	err := s.db.RunTx(ctx, func(ctx context.Context, tx store.Tx) error {
		if quantity == 0 {
			_, err := tx.Exec(ctx, `DELETE FROM cart_lines WHERE region = $1 AND cart_id = $2 AND sku = $3`, region, id, sku)
			return err
		}
		if _, err := price(ctx, tx, sku); err != nil {
			return err
		}
		var others int
		if err := tx.One(ctx, `SELECT count(*) FROM cart_lines WHERE region = $1 AND cart_id = $2 AND sku <> $3`,
			[]any{region, id, sku}, &others); err != nil {
			return err
		}
		if others >= maxLines {
			return &InvalidError{fmt.Sprintf("cart: more than %d products", maxLines)}
		}
		_, err := tx.Exec(ctx, `INSERT INTO cart_lines (region, cart_id, sku, quantity, updated_ms) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (region, cart_id, sku) DO UPDATE SET quantity = excluded.quantity, updated_ms = excluded.updated_ms`,
			region, id, sku, quantity, now.UnixMilli())
		return err
	})
	if err != nil {
		return fmt.Errorf("cart %s: %w", id, err)
	}
	return nil
}

// EmptyCart takes everything out of a cart.
func (s *Shop) EmptyCart(ctx context.Context, id string) error {
	region, ok := s.regionOf(id)
	if !ok {
		return fmt.Errorf("cart %.80q: %w", id, ErrNotFound)
	}
	err := s.db.RunTx(ctx, func(ctx context.Context, tx store.Tx) error {
		_, err := tx.Exec(ctx, `DELETE FROM cart_lines WHERE region = $1 AND cart_id = $2`, region, id)
		return err
	})
	if err != nil {
		return fmt.Errorf("cart %s: %w", id, err)
	}
	return nil
}
