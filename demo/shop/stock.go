package shop

import (
	"context"
	"fmt"
	"time"

	"github.com/meridian-gtm/meridian/demo/shop/store"
)

// OutOfStockError means that a line asks for more than the home region has left.
type OutOfStockError struct {
	SKU    string
	Region string
	Want   int
	Left   int
}

func (e *OutOfStockError) Error() string {
	return fmt.Sprintf("%s: %d left in %s, %d wanted", e.SKU, e.Left, e.Region, e.Want)
}

// Kinds of stock moves.
const (
	moveReceive = "receive" // on_hand +
	moveReserve = "reserve" // reserved +
	moveRelease = "release" // reserved -
	moveShip    = "ship"    // both -
)

// move is one change of stock.
type move struct {
	region, sku, order string
	kind               string
	onHand, reserved   int
}

func (m move) note(ctx context.Context, tx store.Tx, now time.Time) error {
	_, err := tx.Exec(ctx,
		`INSERT INTO stock_moves (region, id, sku, order_id, kind, on_hand, reserved, at_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		m.region, newID(m.region), m.sku, m.order, m.kind, m.onHand, m.reserved, now.UnixMilli())
	return err
}

// receive gives a region its first stock of a product. It does nothing where there was one.
func receive(ctx context.Context, tx store.Tx, region, sku string, n int, now time.Time) error {
	changed, err := tx.Exec(ctx,
		`INSERT INTO stock (region, sku, on_hand, reserved) VALUES ($1, $2, $3, 0) ON CONFLICT (region, sku) DO NOTHING`, region, sku, n)
	if err != nil || changed == 0 {
		return err
	}
	return move{region: region, sku: sku, order: "first stock", kind: moveReceive, onHand: n}.note(ctx, tx, now)
}

// reserve sets stock aside for an order. The update carries its own condition: stock that was there when somebody
// looked is worth nothing.
func reserve(ctx context.Context, tx store.Tx, region, order string, l Line, now time.Time) error {
	changed, err := tx.Exec(ctx,
		`UPDATE stock SET reserved = reserved + $1 WHERE region = $2 AND sku = $3 AND on_hand - reserved >= $1`, l.Quantity, region, l.SKU)
	if err != nil {
		return err
	}
	if changed == 0 {
		short := &OutOfStockError{SKU: l.SKU, Region: region, Want: l.Quantity}
		if err := tx.One(ctx, `SELECT on_hand - reserved FROM stock WHERE region = $1 AND sku = $2`, []any{region, l.SKU}, &short.Left); err != nil {
			return err
		}
		return short
	}
	return move{region, l.SKU, order, moveReserve, 0, l.Quantity}.note(ctx, tx, now)
}

// release gives back what was set aside for an order.
func release(ctx context.Context, tx store.Tx, o Order, now time.Time) error {
	for _, l := range o.Lines {
		if _, err := tx.Exec(ctx, `UPDATE stock SET reserved = reserved - $1 WHERE region = $2 AND sku = $3`, l.Quantity, o.Region, l.SKU); err != nil {
			return err
		}
		if err := (move{o.Region, l.SKU, o.ID, moveRelease, 0, -l.Quantity}).note(ctx, tx, now); err != nil {
			return err
		}
	}
	return nil
}

// dispatch takes what was set aside for an order out of the stock.
func dispatch(ctx context.Context, tx store.Tx, o Order, now time.Time) error {
	for _, l := range o.Lines {
		if _, err := tx.Exec(ctx,
			`UPDATE stock SET on_hand = on_hand - $1, reserved = reserved - $1 WHERE region = $2 AND sku = $3`, l.Quantity, o.Region, l.SKU); err != nil {
			return err
		}
		if err := (move{o.Region, l.SKU, o.ID, moveShip, -l.Quantity, -l.Quantity}).note(ctx, tx, now); err != nil {
			return err
		}
	}
	return nil
}
