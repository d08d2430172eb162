package shop

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/meridian-gtm/meridian/demo/shop/bank"
	"github.com/meridian-gtm/meridian/demo/shop/store"
)

// Bank is what the cashier needs of a bank; see bank.Client.
type Bank interface {
	Charge(ctx context.Context, name, account string, amount int64, currency string) (bank.Op, error)
	Void(ctx context.Context, name string) (amount int64, err error)
}

// cashierBatch is how many orders one pass looks at.
const cashierBatch = 32

// cashierPass settles what a region's orders owe. The bank is asked outside of transactions, under the order's own
// name, so that asking again is harmless; what it said is then written in one transaction, if the order still waits
// for it. It returns how many orders it dealt with. A bank that does not answer is tried again later.
func (s *Shop) cashierPass(ctx context.Context, b Bank, region string, now time.Time) (n int, err error) {
	tasks, err := s.dueTasks(ctx, region, now, cashierBatch)
	if err != nil {
		return 0, fmt.Errorf("cashier: %w", err)
	}
	var faults []error
	for _, t := range tasks {
		do := s.charge
		if t.step == stepVoid {
			do = s.void
		}
		err := do(ctx, b, region, t, now)
		if _, moved := errors.AsType[*stepError](err); moved {
			err = nil // somebody else was faster: the next pass sees what is left to do
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("cashier: order %s: %s: %w", t.order, t.step, err))
			if ctx.Err() != nil {
				break
			}
			if err := s.postpone(ctx, region, t, time.Now()); err != nil {
				faults = append(faults, fmt.Errorf("cashier: order %s: %w", t.order, err))
			}
		}
	}
	return len(tasks), errors.Join(faults...)
}

func (s *Shop) charge(ctx context.Context, b Bank, region string, t task, now time.Time) error {
	var o Order
	err := s.db.View(ctx, func(ctx context.Context, tx store.Reader) (err error) {
		o, err = find(ctx, tx, region, t.order)
		return err
	})
	if err != nil {
		return err
	}
	if o.Status != Placed {
		return &stepError{o.ID, o.Status, Paid}
	}
	said := bank.Done
	if o.Total > 0 { // what costs nothing is not the bank's business
		if said, err = b.Charge(ctx, s.seams.payment(o, t.attempts), account(o), int64(o.Total), Currency); err != nil {
			return err
		}
	}
	return s.db.RunTx(ctx, func(ctx context.Context, tx store.Tx) error {
		o, err := find(ctx, tx, region, t.order)
		if err != nil {
			return err
		}
		switch said {
		case bank.Done:
			if err := s.advance(ctx, tx, &o, Paid, now); err != nil {
				return err
			}
			if err := s.seams.post(ctx, tx, o, o.ID+"/charge", o.Total, now); err != nil {
				return err
			}
			return setSaga(ctx, tx, o, stepShip, now)
		case bank.Declined:
			if err := s.advance(ctx, tx, &o, Declined, now); err != nil {
				return err
			}
			if err := release(ctx, tx, o, now); err != nil {
				return err
			}
			return setSaga(ctx, tx, o, stepDone, now)
		}
		return fmt.Errorf("the bank says %s", said)
	})
}

// void ends a cancelled order at the bank. The bank says how much it gave back: if that is something that the ledger
// never heard of, a charge had come through whose answer was lost, and both are entered now.
func (s *Shop) void(ctx context.Context, b Bank, region string, t task, now time.Time) error {
	back, err := b.Void(ctx, t.order)
	if err != nil {
		return err
	}
	return s.db.RunTx(ctx, func(ctx context.Context, tx store.Tx) error {
		o, err := find(ctx, tx, region, t.order)
		if err != nil {
			return err
		}
		if err := s.advance(ctx, tx, &o, Cancelled, now); err != nil {
			return err
		}
		if back != 0 {
			if err := s.seams.post(ctx, tx, o, o.ID+"/charge", Money(back), now); err != nil {
				return err
			}
			if err := s.seams.post(ctx, tx, o, o.ID+"/void", -Money(back), now); err != nil {
				return err
			}
		}
		if err := release(ctx, tx, o, now); err != nil {
			return err
		}
		return setSaga(ctx, tx, o, stepDone, now)
	})
}

// account is how the bank knows the customer: printable ASCII of at most 40 characters.
func account(o Order) string {
	ascii := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, o.Customer)
	return strings.TrimSpace(ascii[:min(len(ascii), 40)])
}
