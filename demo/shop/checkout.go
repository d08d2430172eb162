package shop

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/meridian-gtm/meridian/demo/shop/store"
)

// ErrKeyReused means that an idempotency key came with another order than the one it was first used for.
var ErrKeyReused = errors.New("idempotency key was used for another order")

// Place takes an order. It returns the order of an earlier call with the same key and contents, with replayed set.
// takenBy is the region of the replica that serves the client. Errors: *InvalidError, *OutOfStockError, ErrKeyReused,
// store.ErrBusy; any other error leaves open whether the order was placed, and the same call again finds out.
func (s *Shop) Place(ctx context.Context, d Draft, takenBy string, now time.Time) (o Order, replayed bool, err error) {
	if err := s.check(&d); err != nil {
		return Order{}, false, err
	}
	digest := d.digest()
	err = s.seams.commit(ctx, func(ctx context.Context, tx store.Tx) (err error) {
		o, err = s.recall(ctx, tx, d.Key, digest)
		if replayed = err == nil; !errors.Is(err, ErrNotFound) {
			return err
		}
		o, err = s.create(ctx, tx, d, digest, takenBy, now)
		return err
	})
	if errors.Is(err, store.ErrAmbiguous) {
		// The same transaction again could only find out by being refused. The key tells without writing.
		return s.settle(ctx, d.Key, digest, err)
	}
	if err != nil {
		return Order{}, false, fmt.Errorf("order: %w", err)
	}
	return o, replayed, nil
}

// settle looks for the order of a transaction whose end is unknown. Not finding it proves nothing: the server may
// still be committing. Then the client is told to ask again with the same key, which waits for that.
func (s *Shop) settle(ctx context.Context, key Key, digest []byte, unknown error) (o Order, replayed bool, err error) {
	err = s.db.View(ctx, func(ctx context.Context, tx store.Reader) (err error) {
		o, err = s.recall(ctx, tx, key, digest)
		return err
	})
	switch {
	case err == nil:
		return o, false, nil
	case errors.Is(err, ErrKeyReused):
		return Order{}, false, fmt.Errorf("order: %w", err)
	}
	return Order{}, false, fmt.Errorf("order: %w: looked up by key: %w", unknown, err)
}

// recall returns the order that a key made, ErrNotFound, or ErrKeyReused.
func (s *Shop) recall(ctx context.Context, tx store.Reader, key Key, digest []byte) (Order, error) {
	before, id, err := s.seams.remembered(ctx, tx, key)
	switch {
	case errors.Is(err, store.ErrNoRows):
		return Order{}, ErrNotFound
	case err != nil:
		return Order{}, err
	case !slices.Equal(before, digest):
		return Order{}, ErrKeyReused
	}
	return find(ctx, tx, key.Region, id)
}

func remembered(ctx context.Context, tx store.Reader, key Key) (digest []byte, id string, err error) {
	err = tx.One(ctx, `SELECT digest, order_id FROM idempotency WHERE region = $1 AND key = $2`, []any{key.Region, key.Random}, &digest, &id)
	return digest, id, err
}

func remember(ctx context.Context, tx store.Tx, o Order, digest []byte) error {
	_, err := tx.Exec(ctx, `INSERT INTO idempotency (region, key, digest, order_id, created_ms) VALUES ($1, $2, $3, $4, $5)`,
		o.Region, o.key.Random, digest, o.ID, o.Created.UnixMilli())
	return err
}

// create writes a new order and everything that follows from it.
func (s *Shop) create(ctx context.Context, tx store.Tx, d Draft, digest []byte, takenBy string, now time.Time) (Order, error) {
	at := time.UnixMilli(now.UnixMilli()).UTC()
	o := Order{
		ID: newID(d.Key.Region), Region: d.Key.Region, TakenBy: takenBy, Customer: d.Customer, Currency: Currency,
		Created: at, Changed: at, Lines: slices.Clone(d.Lines), key: d.Key,
	}
	for i := range o.Lines {
		l := &o.Lines[i]
		var err error
		if l.Price, err = price(ctx, tx, l.SKU); err != nil {
			return Order{}, err
		}
		if err := s.seams.reserve(ctx, tx, o.Region, o.ID, *l, at); err != nil {
			return Order{}, err
		}
		o.Total += l.Price * Money(l.Quantity)
	}
	if _, err := tx.Exec(ctx,
		`INSERT INTO orders (region, id, key, taken_by, customer, total, status, steps, created_ms, changed_ms)
		VALUES ($1, $2, $3, $4, $5, $6, $7, 1, $8, $8)`,
		o.Region, o.ID, d.Key.Random, o.TakenBy, o.Customer, o.Total, string(Placed), at.UnixMilli()); err != nil {
		return Order{}, err
	}
	for _, l := range o.Lines {
		if _, err := tx.Exec(ctx,
			`INSERT INTO order_lines (region, order_id, sku, quantity, price) VALUES ($1, $2, $3, $4, $5)`,
			o.Region, o.ID, l.SKU, l.Quantity, l.Price); err != nil {
			return Order{}, err
		}
	}
	if err := s.seams.remember(ctx, tx, o, digest); err != nil {
		return Order{}, err
	}
	if err := beginSaga(ctx, tx, o, stepCharge, at); err != nil {
		return Order{}, err
	}
	err := s.advance(ctx, tx, &o, Placed, at)
	return o, err
}

// Cancel asks for the end of an order that has not been shipped. Cancelling twice is cancelling once. Errors:
// ErrNotFound, *InvalidError when it is too late.
func (s *Shop) Cancel(ctx context.Context, id string, now time.Time) (o Order, err error) {
	region, ok := s.regionOf(id)
	if !ok {
		return Order{}, fmt.Errorf("order %.80q: %w", id, ErrNotFound)
	}
	err = s.db.RunTx(ctx, func(ctx context.Context, tx store.Tx) (err error) {
		if o, err = find(ctx, tx, region, id); err != nil {
			return err
		}
		if o.Status == Cancelling || o.Status == Cancelled {
			return nil
		}
		if !o.Status.May(Cancelling) {
			return &InvalidError{fmt.Sprintf("order %s is %s: want an order that is placed or paid", id, o.Status)}
		}
		if err := setSaga(ctx, tx, o, stepVoid, now); err != nil {
			return err
		}
		return s.advance(ctx, tx, &o, Cancelling, now)
	})
	if err != nil {
		return Order{}, fmt.Errorf("cancel: %w", err)
	}
	return o, nil
}
