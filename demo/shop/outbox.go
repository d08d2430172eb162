package shop

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/meridian-gtm/meridian/demo/shop/store"
)

// Event tells that an order took a step. Region, order and step name it.
type Event struct {
	Region  string
	OrderID string
	Step    int
	Kind    Status
	At      time.Time

	position int64 // on the bus
}

// emit writes an event in the transaction of the change that it tells of: one is not without the other.
func emit(ctx context.Context, tx store.Tx, e Event) error {
	_, err := tx.Exec(ctx, `INSERT INTO outbox (region, order_id, step, kind, at_ms, published) VALUES ($1, $2, $3, $4, $5, 0)`,
		e.Region, e.OrderID, e.Step, string(e.Kind), e.At.UnixMilli())
	return err
}

// relayBatch is how many events one pass moves.
const relayBatch = 100

// relayPass moves a region's events from the outbox to the bus. Between the two it may die: then the next relay sends
// them again, and the readers' inboxes notice. It may also sleep: then another relay has a higher token, and the bus
// refuses this one. It returns how many events it moved.
func (s *Shop) relayPass(ctx context.Context, region string, token int64) (n int, err error) {
	events, err := s.pending(ctx, region, relayBatch)
	if err != nil || len(events) == 0 {
		return 0, wrap("relay", err)
	}
	if err := s.seams.publish(ctx, s.db, region, token, events); err != nil {
		return 0, wrap("relay", err)
	}
	return len(events), wrap("relay", s.markPublished(ctx, events))
}

// pending returns unpublished events, an order's own in their order.
func (s *Shop) pending(ctx context.Context, region string, limit int) (all []Event, err error) {
	err = s.db.Each(ctx, store.Current,
		`SELECT order_id, step, kind, at_ms FROM outbox WHERE region = $1 AND published = 0 ORDER BY at_ms, order_id, step LIMIT $2`,
		[]any{region, limit}, func(row store.Row) error {
			e, err := scanEvent(region, row)
			all = append(all, e)
			return err
		})
	return all, err
}

func (s *Shop) markPublished(ctx context.Context, events []Event) error {
	return s.db.RunTx(ctx, func(ctx context.Context, tx store.Tx) error {
		for _, e := range events {
			if _, err := tx.Exec(ctx, `UPDATE outbox SET published = 1 WHERE region = $1 AND order_id = $2 AND step = $3`,
				e.Region, e.OrderID, e.Step); err != nil {
				return err
			}
		}
		return nil
	})
}

func scanEvent(region string, row store.Row, more ...any) (Event, error) {
	e := Event{Region: region}
	var kind string
	var at int64
	err := row.Scan(append([]any{&e.OrderID, &e.Step, &kind, &at}, more...)...)
	e.Kind, e.At = Status(kind), time.UnixMilli(at).UTC()
	return e, err
}

// ErrFenced means that a relay with a higher token has written since: this one is no longer the relay.
var ErrFenced = errors.New("fenced: another relay took over")

// publish appends events to a region's log on the bus, unless somebody with a higher token has.
func publish(ctx context.Context, db *store.DB, region string, token int64, events []Event) error {
	return db.RunTx(ctx, func(ctx context.Context, tx store.Tx) error {
		position, last, err := busEnd(ctx, tx, region)
		if err != nil {
			return err
		}
		if token < last {
			return fmt.Errorf("bus of %s: token %d: want at least %d: %w", region, token, last, ErrFenced)
		}
		return appendToBus(ctx, tx, region, position, token, events)
	})
}

func busEnd(ctx context.Context, tx store.Tx, region string) (position, token int64, err error) {
	err = tx.One(ctx, `SELECT position, token FROM bus_ends WHERE region = $1`, []any{region}, &position, &token)
	if errors.Is(err, store.ErrNoRows) {
		err = nil
	}
	return position, token, err
}

func appendToBus(ctx context.Context, tx store.Tx, region string, position, token int64, events []Event) error {
	for _, e := range events {
		position++
		if _, err := tx.Exec(ctx,
			`INSERT INTO bus (region, position, order_id, step, kind, token, at_ms) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
			region, position, e.OrderID, e.Step, string(e.Kind), token, e.At.UnixMilli()); err != nil {
			return err
		}
	}
	_, err := tx.Exec(ctx, `INSERT INTO bus_ends (region, position, token) VALUES ($1, $2, $3)
		ON CONFLICT (region) DO UPDATE SET position = excluded.position, token = excluded.token`, region, position, token)
	return err
}

func wrap(who string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", who, err)
}
