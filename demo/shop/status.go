package shop

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/meridian-gtm/meridian/demo/shop/store"
)

// Status is where an order is on its way. Every status is also the kind of the event that tells of it.
type Status string

// The statuses.
const (
	Placed     Status = "placed"     // stock is reserved
	Paid       Status = "paid"       // the bank has the money
	Declined   Status = "declined"   // the bank gives no money; stock is free again
	Shipped    Status = "shipped"    // stock has left
	Cancelling Status = "cancelling" // the customer wants it no more; the bank does not know yet
	Cancelled  Status = "cancelled"  // the money is back, stock is free again
)

// next is the state machine.
var next = map[Status][]Status{
	"":         {Placed},
	Placed:     {Paid, Declined, Cancelling},
	Paid:       {Shipped, Cancelling},
	Cancelling: {Cancelled},
}

// May reports whether an order may go from s to another status. The status of an order that is not yet there is "".
func (s Status) May(to Status) bool { return slices.Contains(next[s], to) }

// Final reports whether nothing more will happen.
func (s Status) Final() bool { return len(next[s]) == 0 }

// Holds reports whether stock is set aside for an order of that status.
func (s Status) Holds() bool { return !s.Final() }

// stepError means that an order is not where the caller thought: somebody else moved it.
type stepError struct {
	id       string
	from, to Status
}

func (e *stepError) Error() string {
	return fmt.Sprintf("order %s is %s: it cannot become %s", e.id, e.from, e.to)
}

// advance moves an order on, and writes history and outbox with it.
func (s *Shop) advance(ctx context.Context, tx store.Tx, o *Order, to Status, now time.Time) error {
	if !o.Status.May(to) {
		return &stepError{o.ID, o.Status, to}
	}
	// An order's events keep their order, whatever the clocks of two regions say.
	at := max(now.UnixMilli(), o.Changed.UnixMilli())
	step := o.steps + 1
	if to != Placed {
		changed, err := tx.Exec(ctx,
			`UPDATE orders SET status = $1, steps = $2, changed_ms = $3 WHERE region = $4 AND id = $5 AND steps = $6`,
			string(to), step, at, o.Region, o.ID, o.steps)
		if err != nil {
			return err
		}
		if changed != 1 {
			return fmt.Errorf("order %s: step %d: %d rows changed: want 1", o.ID, step, changed)
		}
	}
	o.Status, o.steps, o.Changed = to, step, time.UnixMilli(at).UTC()
	if _, err := tx.Exec(ctx, `INSERT INTO order_history (region, order_id, step, status, at_ms) VALUES ($1, $2, $3, $4, $5)`,
		o.Region, o.ID, step, string(to), at); err != nil {
		return err
	}
	return s.seams.emit(ctx, tx, Event{Region: o.Region, OrderID: o.ID, Step: step, Kind: to, At: o.Changed})
}
