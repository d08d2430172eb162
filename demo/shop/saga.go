package shop

import (
	"context"
	"time"

	"github.com/meridian-gtm/meridian/demo/shop/store"
)

// Steps of a saga: what an order waits for.
const (
	stepCharge = "charge" // the cashier charges
	stepShip   = "ship"   // the warehouse hears of it on the bus
	stepVoid   = "void"   // the cashier voids
	stepDone   = "done"
)

func beginSaga(ctx context.Context, tx store.Tx, o Order, step string, due time.Time) error {
	_, err := tx.Exec(ctx, `INSERT INTO sagas (region, order_id, step, attempts, due_ms) VALUES ($1, $2, $3, 0, $4)`,
		o.Region, o.ID, step, due.UnixMilli())
	return err
}

func setSaga(ctx context.Context, tx store.Tx, o Order, step string, due time.Time) error {
	_, err := tx.Exec(ctx, `UPDATE sagas SET step = $1, attempts = 0, due_ms = $2 WHERE region = $3 AND order_id = $4`,
		step, due.UnixMilli(), o.Region, o.ID)
	return err
}

// task is a saga whose next step is the cashier's.
type task struct {
	order    string
	step     string
	attempts int
}

// dueTasks returns what the cashier of a region has to do.
func (s *Shop) dueTasks(ctx context.Context, region string, now time.Time, limit int) (all []task, err error) {
	err = s.db.Each(ctx, store.Current,
		`SELECT order_id, step, attempts FROM sagas
		WHERE region = $1 AND step IN ('charge', 'void') AND due_ms <= $2 ORDER BY due_ms LIMIT $3`,
		[]any{region, now.UnixMilli(), limit}, func(row store.Row) error {
			var t task
			err := row.Scan(&t.order, &t.step, &t.attempts)
			all = append(all, t)
			return err
		})
	return all, err
}

// postpone plans the next attempt of a step that did not work. The pauses grow to 5 s.
func (s *Shop) postpone(ctx context.Context, region string, t task, now time.Time) error {
	pause := min(50*time.Millisecond<<min(t.attempts, 10), 5*time.Second)
	return s.db.RunTx(ctx, func(ctx context.Context, tx store.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE sagas SET attempts = attempts + 1, due_ms = $1 WHERE region = $2 AND order_id = $3 AND step = $4`,
			now.Add(pause).UnixMilli(), region, t.order, t.step)
		return err
	})
}

// Hurry makes the cashier look at an order now: somebody says that there is news at the bank. What the news is, the
// cashier asks the bank.
func (s *Shop) Hurry(ctx context.Context, id string, now time.Time) error {
	region, ok := s.regionOf(id)
	if !ok {
		return ErrNotFound
	}
	return s.db.RunTx(ctx, func(ctx context.Context, tx store.Tx) error {
		n, err := tx.Exec(ctx, `UPDATE sagas SET due_ms = $1 WHERE region = $2 AND order_id = $3 AND due_ms > $1`, now.UnixMilli(), region, id)
		if err != nil || n > 0 {
			return err
		}
		_, err = find(ctx, tx, region, id)
		return err
	})
}
