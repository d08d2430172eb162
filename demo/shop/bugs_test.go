package shop

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/meridian-gtm/meridian/demo/shop/bank"
	"github.com/meridian-gtm/meridian/demo/shop/store"
)

// Bug is a classic mistake that tests plant in a shop.
type Bug struct {
	Name  string
	Plant func(s *Shop, b Bank)
}

// ErrInjected is the fault that FailNext injects.
var ErrInjected = errors.New("injected fault")

// FailNext returns a function that makes the transaction of the next new order fail after its last statement.
func (s *Shop) FailNext() func() {
	commit, armed := s.seams.commit, false
	s.seams.commit = func(ctx context.Context, fn func(context.Context, store.Tx) error) error {
		if !armed {
			return commit(ctx, fn)
		}
		armed = false
		return commit(ctx, func(ctx context.Context, tx store.Tx) error { return errors.Join(fn(ctx, tx), ErrInjected) })
	}
	return func() { armed = true }
}

// BecomeRelay takes the relay's job of a region, as of a time in the past: its lease is over by now.
func (s *Shop) BecomeRelay(ctx context.Context, region, owner string, ago time.Duration) (token int64, err error) {
	l, held, err := s.takeLease(ctx, region, string(Relay), owner, time.Second, 0, time.Now().Add(-ago))
	if err == nil && !held {
		err = errors.New("somebody else is the relay")
	}
	return l.token, err
}

// RelayTwice publishes what is pending in a region and dies before it can say so, as token.
func (s *Shop) RelayTwice(ctx context.Context, region string, token int64) error {
	events, err := s.pending(ctx, region, relayBatch)
	if err != nil {
		return err
	}
	return s.seams.publish(ctx, s.db, region, token, events)
}

// SleepyRelay reads what is pending and returns a function that publishes it when it wakes up, as token.
func (s *Shop) SleepyRelay(ctx context.Context, region string, token int64) (wake func() error, err error) {
	events, err := s.pending(ctx, region, relayBatch)
	return func() error { return s.seams.publish(ctx, s.db, region, token, events) }, err
}

// RelayOnce is the pass of a relay that is awake.
func (s *Shop) RelayOnce(ctx context.Context, region string, token int64) error {
	_, err := s.relayPass(ctx, region, token)
	return err
}

// Bugs are the mistakes, by name.
var Bugs = []Bug{
	{"no idempotency", func(s *Shop, _ Bank) {
		s.seams.remembered = func(context.Context, store.Reader, Key) ([]byte, string, error) { return nil, "", store.ErrNoRows }
		s.seams.remember = func(ctx context.Context, tx store.Tx, o Order, digest []byte) error {
			if _, _, err := remembered(ctx, tx, o.key); errors.Is(err, store.ErrNoRows) {
				return remember(ctx, tx, o, digest)
			}
			return nil
		}
	}},
	{"blind decrement", func(s *Shop, _ Bank) {
		// Every replica remembers what it last saw of the stock.
		var mu sync.Mutex
		seen := map[string]int{}
		s.seams.reserve = func(ctx context.Context, tx store.Tx, region, order string, l Line, now time.Time) error {
			mu.Lock()
			defer mu.Unlock()
			at := region + " " + l.SKU
			if _, found := seen[at]; !found {
				var n int
				if err := tx.One(ctx, `SELECT reserved FROM stock WHERE region = $1 AND sku = $2`, []any{region, l.SKU}, &n); err != nil {
					return err
				}
				seen[at] = n
			}
			if err := reserve(ctx, tx, region, order, l, now); err != nil {
				return err
			}
			seen[at] += l.Quantity
			_, err := tx.Exec(ctx, `UPDATE stock SET reserved = $1 WHERE region = $2 AND sku = $3`, seen[at], region, l.SKU)
			return err
		}
	}},
	{"charge first", func(s *Shop, b Bank) {
		s.seams.reserve = func(ctx context.Context, tx store.Tx, region, order string, l Line, now time.Time) error {
			p, err := price(ctx, tx, l.SKU)
			if err != nil {
				return err
			}
			if _, err := b.Charge(ctx, order, "first", int64(p)*int64(l.Quantity), Currency); err != nil {
				return err
			}
			return reserve(ctx, tx, region, order, l, now)
		}
	}},
	{"fresh payment per attempt", func(s *Shop, _ Bank) {
		s.seams.payment = func(o Order, attempt int) string {
			if attempt == 0 {
				return o.ID
			}
			return o.ID + strings.Repeat("!", attempt)
		}
	}},
	{"publish before commit", func(s *Shop, _ Bank) {
		var mu sync.Mutex
		var early []Event
		s.seams.emit = func(ctx context.Context, tx store.Tx, e Event) error {
			mu.Lock()
			defer mu.Unlock()
			if e.Kind == Placed {
				early = append(early, e)
			}
			return emit(ctx, tx, e)
		}
		s.seams.commit = func(ctx context.Context, fn func(context.Context, store.Tx) error) error {
			err := s.db.RunTx(ctx, fn)
			mu.Lock()
			defer mu.Unlock()
			for _, e := range early {
				if err := s.db.RunTx(ctx, func(ctx context.Context, tx store.Tx) error {
					position, token, err := busEnd(ctx, tx, e.Region)
					if err != nil {
						return err
					}
					return appendToBus(ctx, tx, e.Region, position, max(token, 1), []Event{e})
				}); err != nil {
					return err
				}
			}
			early = nil
			return err
		}
	}},
	{"acknowledge before commit", func(s *Shop, _ Bank) {
		s.seams.commit = func(ctx context.Context, fn func(context.Context, store.Tx) error) error {
			err := s.db.RunTx(ctx, fn)
			if errors.Is(err, ErrInjected) {
				return nil
			}
			return err
		}
	}},
	{"relay without fence", func(s *Shop, _ Bank) {
		s.seams.publish = func(ctx context.Context, db *store.DB, region string, token int64, events []Event) error {
			return db.RunTx(ctx, func(ctx context.Context, tx store.Tx) error {
				position, _, err := busEnd(ctx, tx, region)
				if err != nil {
					return err
				}
				return appendToBus(ctx, tx, region, position, token, events)
			})
		}
	}},
	{"mark before publish", func(s *Shop, _ Bank) {
		s.seams.publish = func(context.Context, *store.DB, string, int64, []Event) error { return nil }
	}},
	{"forgotten event", func(s *Shop, _ Bank) {
		s.seams.emit = func(ctx context.Context, tx store.Tx, e Event) error {
			if e.Kind == Shipped {
				return nil
			}
			return emit(ctx, tx, e)
		}
	}},
	{"no inbox", func(s *Shop, _ Bank) {
		s.seams.seen = func(context.Context, store.Tx, string, Event, time.Time) (bool, error) { return false, nil }
	}},
	{"one-legged ledger", func(s *Shop, _ Bank) {
		s.seams.post = func(ctx context.Context, tx store.Tx, o Order, entry string, amount Money, now time.Time) error {
			_, err := tx.Exec(ctx, `INSERT INTO ledger (region, entry_id, account, order_id, amount, at_ms) VALUES ($1, $2, $3, $4, $5, $6)`,
				o.Region, entry, AccountBank, o.ID, amount, now.UnixMilli())
			return err
		}
	}},
	{"discount on the header only", func(s *Shop, _ Bank) {
		s.seams.remember = func(ctx context.Context, tx store.Tx, o Order, digest []byte) error {
			if _, err := tx.Exec(ctx, `UPDATE orders SET total = total - 1 WHERE region = $1 AND id = $2`, o.Region, o.ID); err != nil {
				return err
			}
			return remember(ctx, tx, o, digest)
		}
	}},
	{"status past the state machine", func(s *Shop, _ Bank) {
		s.seams.post = func(ctx context.Context, tx store.Tx, o Order, entry string, amount Money, now time.Time) error {
			if _, err := tx.Exec(ctx, `UPDATE orders SET status = $1 WHERE region = $2 AND id = $3`, string(Shipped), o.Region, o.ID); err != nil {
				return err
			}
			return post(ctx, tx, o, entry, amount, now)
		}
	}},
	{"payment that can never be made", func(s *Shop, _ Bank) {
		s.seams.payment = func(Order, int) string { return strings.Repeat("x", bank.MaxName+1) }
	}},
}
