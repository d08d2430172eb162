package shop

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/meridian-gtm/meridian/demo/shop/store"
)

// consumer reads the bus. What it does with an event happens in the transaction that enters the event in its inbox,
// so that an event that comes twice has its effect once.
type consumer struct {
	name   string
	kinds  []Status
	handle func(ctx context.Context, tx store.Tx, e Event, now time.Time) error
}

// readBatch is how many events one pass takes.
const readBatch = 100

// consumePass deals with the next events of a region and returns how many there were.
func (s *Shop) consumePass(ctx context.Context, c consumer, region string, now time.Time) (n int, err error) {
	from, events, err := s.unread(ctx, c.name, region)
	if err != nil {
		return 0, wrap(c.name, err)
	}
	at := from
	for _, e := range events {
		at = e.position
		if !slices.Contains(c.kinds, e.Kind) {
			continue
		}
		err := s.db.RunTx(ctx, func(ctx context.Context, tx store.Tx) error {
			seen, err := s.seams.seen(ctx, tx, c.name, e, now)
			if err != nil {
				return err
			}
			if !seen {
				if err := c.handle(ctx, tx, e, now); err != nil {
					return err
				}
			}
			return moveCursor(ctx, tx, region, c.name, at)
		})
		if err != nil {
			return n, wrap(c.name+": order "+e.OrderID, err)
		}
		from = at
		n++
	}
	if at > from {
		err = s.db.RunTx(ctx, func(ctx context.Context, tx store.Tx) error { return moveCursor(ctx, tx, region, c.name, at) })
	}
	return len(events), wrap(c.name, err)
}

// unread returns where a consumer is in a region's log, and what comes next.
func (s *Shop) unread(ctx context.Context, consumer, region string) (from int64, events []Event, err error) {
	err = s.db.One(ctx, store.Current, `SELECT position FROM cursors WHERE region = $1 AND consumer = $2`, []any{region, consumer}, &from)
	if err != nil && !errors.Is(err, store.ErrNoRows) {
		return 0, nil, err
	}
	err = s.db.Each(ctx, store.Current,
		`SELECT order_id, step, kind, at_ms, position FROM bus WHERE region = $1 AND position > $2 ORDER BY position LIMIT $3`,
		[]any{region, from, readBatch}, func(row store.Row) error {
			var position int64
			e, err := scanEvent(region, row, &position)
			e.position = position
			events = append(events, e)
			return err
		})
	return from, events, err
}

func moveCursor(ctx context.Context, tx store.Tx, region, consumer string, position int64) error {
	_, err := tx.Exec(ctx, `INSERT INTO cursors (region, consumer, position) VALUES ($1, $2, $3)
		ON CONFLICT (region, consumer) DO UPDATE SET position = excluded.position`, region, consumer, position)
	return err
}

// seen enters an event in a consumer's inbox and reports whether it was there before.
func seen(ctx context.Context, tx store.Tx, consumer string, e Event, now time.Time) (bool, error) {
	n, err := tx.Exec(ctx, `INSERT INTO inbox (region, consumer, order_id, step, at_ms) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (region, consumer, order_id, step) DO NOTHING`, e.Region, consumer, e.OrderID, e.Step, now.UnixMilli())
	return n == 0, err
}

// warehouse sends what was paid.
func (s *Shop) warehouse() consumer {
	return consumer{"warehouse", []Status{Paid}, func(ctx context.Context, tx store.Tx, e Event, now time.Time) error {
		o, err := find(ctx, tx, e.Region, e.OrderID)
		if err != nil {
			return err
		}
		if o.Status != Paid {
			return nil // cancelled in the meantime
		}
		if err := s.advance(ctx, tx, &o, Shipped, now); err != nil {
			return err
		}
		if err := dispatch(ctx, tx, o, now); err != nil {
			return err
		}
		return setSaga(ctx, tx, o, stepDone, now)
	}}
}

// postman writes to customers.
func (s *Shop) postman() consumer {
	return consumer{"postman", []Status{Paid, Declined, Shipped, Cancelled}, func(ctx context.Context, tx store.Tx, e Event, now time.Time) error {
		_, err := tx.Exec(ctx, `INSERT INTO mails (region, id, order_id, kind, at_ms) VALUES ($1, $2, $3, $4, $5)`,
			e.Region, newID(e.Region), e.OrderID, string(e.Kind), now.UnixMilli())
		return err
	}}
}
