package shop

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/meridian-gtm/meridian/demo/shop/store"
)

// Product is one thing that is for sale.
type Product struct {
	SKU      string `json:"sku"`
	Name     string `json:"name"`
	Category string `json:"category"`
	Blurb    string `json:"blurb"`
	Price    Money  `json:"price_minor"` // minor units of Currency
	// Stock is how many can be ordered in the region that was asked.
	Stock int `json:"stock"`
}

// Catalog returns the products a new shop starts with; Stock is per region.
func Catalog() []Product {
	return []Product{
		{SKU: "anchor", Name: "Sea anchor", Category: "deck", Blurb: "Holds position while everything around it moves.", Price: 8900, Stock: 4000},
		{SKU: "chart", Name: "Chart of three oceans", Category: "navigation", Blurb: "Every harbour, and the way round when one is closed.", Price: 2450, Stock: 9000},
		{SKU: "compass", Name: "Brass compass", Category: "navigation", Blurb: "Points the same way for everybody who reads it.", Price: 4900, Stock: 6000},
		{SKU: "flare", Name: "Signal flare", Category: "safety", Blurb: "For the moment when somebody has to be told.", Price: 1290, Stock: 12000},
		{SKU: "lantern", Name: "Storm lantern", Category: "deck", Blurb: "Burns through the night watch on one filling.", Price: 3990, Stock: 5000},
		{SKU: "sextant", Name: "Sextant", Category: "navigation", Blurb: "Finds where you are when nothing else answers.", Price: 25900, Stock: 1200},
	}
}

func scanProduct(row store.Row, p *Product) error {
	return row.Scan(&p.SKU, &p.Name, &p.Category, &p.Blurb, &p.Price, &p.Stock)
}

// Products lists the catalogue by name, with what region has in stock. The stock may be some seconds old.
func (s *Shop) Products(ctx context.Context, region string) ([]Product, error) {
	var all []Product
	err := s.db.Each(ctx, store.Follower,
		`SELECT p.sku, p.name, p.category, p.blurb, p.price, s.on_hand - s.reserved
		FROM products p JOIN stock s ON s.sku = p.sku AND s.region = $1 /*as-of*/ ORDER BY p.name`,
		[]any{region}, func(row store.Row) error {
			var p Product
			err := scanProduct(row, &p)
			all = append(all, p)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("products: %w", err)
	}
	return all, nil
}

// Product returns one product, or ErrNotFound.
func (s *Shop) Product(ctx context.Context, region, sku string) (p Product, err error) {
	err = s.db.Each(ctx, store.Current,
		`SELECT p.sku, p.name, p.category, p.blurb, p.price, s.on_hand - s.reserved
		FROM products p JOIN stock s ON s.sku = p.sku AND s.region = $1 WHERE p.sku = $2`,
		[]any{region, sku}, func(row store.Row) error { return scanProduct(row, &p) })
	if err == nil && p.SKU == "" {
		err = ErrNotFound
	}
	if err != nil {
		return Product{}, fmt.Errorf("product %.40q: %w", sku, err)
	}
	return p, nil
}

// price returns what one of a product costs.
func price(ctx context.Context, tx store.Reader, sku string) (p Money, err error) {
	err = tx.One(ctx, `SELECT price FROM products WHERE sku = $1`, []any{sku}, &p)
	if errors.Is(err, store.ErrNoRows) {
		err = &InvalidError{fmt.Sprintf("line %.40q: no such product", sku)}
	}
	return p, err
}

// stockUp puts the catalogue in place. What is there already stays, so that a restart keeps the stock.
func (s *Shop) stockUp(ctx context.Context, catalog []Product, now time.Time) error {
	for _, p := range catalog {
		err := s.db.RunTx(ctx, func(ctx context.Context, tx store.Tx) error {
			if _, err := tx.Exec(ctx,
				`INSERT INTO products (sku, name, category, blurb, price) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (sku) DO NOTHING`,
				p.SKU, p.Name, p.Category, p.Blurb, p.Price); err != nil {
				return err
			}
			for _, region := range s.regions {
				if err := receive(ctx, tx, region, p.SKU, p.Stock, now); err != nil {
					return fmt.Errorf("stock in %s: %w", region, err)
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("product %q: %w", p.SKU, err)
		}
	}
	return nil
}
