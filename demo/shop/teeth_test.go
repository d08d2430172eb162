package shop_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/meridian-gtm/meridian/demo/shop"
	"github.com/meridian-gtm/meridian/demo/shop/bank"
	"github.com/meridian-gtm/meridian/demo/shop/dbtest"
	"github.com/meridian-gtm/meridian/demo/shop/invariant"
	"github.com/meridian-gtm/meridian/demo/shop/store"
)

// teller is a bank in the same process whose answers can get lost.
type teller struct {
	book *bank.Book

	mu   sync.Mutex
	lose int // how many more answers get lost
}

func newTeller(t testing.TB) *teller {
	t.Helper()
	book, err := bank.OpenBook(filepath.Join(t.TempDir(), "book"), bank.DeclineBroke)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { book.Close() })
	return &teller{book: book}
}

func (b *teller) do(r bank.Record) (bank.Record, error) {
	answer, err := b.book.Do(r, time.Now())
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.lose > 0 {
		b.lose--
		return bank.Record{}, errors.New("the answer got lost")
	}
	return answer, err
}

func (b *teller) loseNext(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lose = n
}

func (b *teller) Charge(_ context.Context, name, account string, amount int64, currency string) (bank.Op, error) {
	answer, err := b.do(bank.Record{Op: bank.Charge, Name: name, Account: account, Amount: amount, Currency: currency})
	return answer.Op, err
}

func (b *teller) Void(_ context.Context, name string) (int64, error) {
	answer, err := b.do(bank.Record{Op: bank.Void, Name: name})
	return answer.Amount, err
}

func (b *teller) Entries(context.Context) ([]bank.Entry, error) { return b.book.Entries(), nil }

// settle lets a worker work until nothing is open, or the invariant want is violated, or the patience is over, and
// returns the report.
func settle(t testing.TB, s *shop.Shop, b *teller, acked []invariant.Ack, want invariant.Name, patience time.Duration) invariant.Report {
	t.Helper()
	w, err := s.NewWorker(shop.WorkerOptions{Regions: s.Regions(), Owner: "settle", Bank: b, Lease: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		for w.Pass(t.Context()) > 0 && time.Now().Before(deadline) {
		}
		report, err := invariant.Check(t.Context(), s.DB(), invariant.Options{Book: b, Acked: acked, Late: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		if report.Open+report.Events == 0 || slices.Contains(report.Violated(), want) || !time.Now().Before(deadline) {
			break
		}
	}
	report, err := invariant.Check(t.Context(), s.DB(), invariant.Options{Book: b, Acked: acked, Late: -1})
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// story is what happens to every shop on a bad day: retries in another region, an order that is refused, one whose
// transaction fails at its end, a bank whose answers get lost, a cancellation in that moment, a customer without
// money, a relay that dies half way and one that sleeps through the change of guard. Two replicas serve.
func story(t *testing.T, replicas [2]*shop.Shop, b *teller) []invariant.Ack {
	t.Helper()
	ctx := t.Context()
	fail := replicas[0].FailNext()
	acked := []invariant.Ack{}
	place := func(replica int, key shop.Key, customer string, lines ...shop.Line) (shop.Order, error) {
		o, _, err := replicas[replica].Place(ctx, shop.Draft{Key: key, Customer: customer, Lines: lines}, "us-east", time.Now())
		if err == nil {
			acked = append(acked, invariant.Ack{ID: o.ID, Key: key.String(), Total: o.Total})
		}
		return o, err
	}
	must := func(o shop.Order, err error) shop.Order {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	one := shop.Line{SKU: "a", Quantity: 1}
	s := replicas[0]

	// Every key twice, through both replicas.
	for range 3 {
		key := shop.NewKey("eu-west")
		must(place(0, key, "Ada", one))
		must(place(1, key, "Ada", one))
	}
	// More than there is, in the second line.
	if _, err := place(0, shop.NewKey("eu-west"), "Ada", one, shop.Line{SKU: "b", Quantity: 99}); err == nil {
		t.Fatal("sold what there is not")
	}
	// The transaction fails at its end; the customer tries again.
	key := shop.NewKey("us-east")
	fail()
	if _, err := place(0, key, "Ada", one); err != nil {
		must(place(0, key, "Ada", one))
	}
	// The first relay of eu-west falls asleep with the first events in hand; another one takes over.
	relay := func(region, owner string, ago time.Duration) int64 {
		t.Helper()
		token, err := s.BecomeRelay(ctx, region, owner, ago)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	wake, err := s.SleepyRelay(ctx, "eu-west", relay("eu-west", "sleepy", time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.RelayOnce(ctx, "eu-west", relay("eu-west", "awake", time.Minute)); err != nil {
		t.Fatal(err)
	}
	if err := wake(); err != nil && !errors.Is(err, shop.ErrFenced) {
		t.Fatal(err)
	}
	// Two answers of the bank get lost, one of them of an order that is then cancelled.
	passes(t, s, b, 1)
	must(place(1, shop.NewKey("ap-south"), "Ada", one))
	b.loseNext(1)
	passes(t, s, b, 1)
	sorry := must(place(1, shop.NewKey("ap-south"), "Ada", one))
	b.loseNext(1)
	passes(t, s, b, 1)
	b.loseNext(0)
	if _, err := s.Cancel(ctx, sorry.ID, time.Now()); err != nil {
		if _, late := errors.AsType[*shop.InvalidError](err); !late {
			t.Fatal(err)
		}
	}
	// No money.
	must(place(0, shop.NewKey("ap-south"), "Broke", one))
	// A relay publishes and dies before it can say so.
	must(place(0, shop.NewKey("us-east"), "Ada", one))
	passes(t, s, b, 2)
	if err := s.RelayTwice(ctx, "us-east", relay("us-east", "dying", time.Minute)); err != nil && !errors.Is(err, shop.ErrFenced) {
		t.Fatal(err)
	}
	return acked
}

// passes lets a worker of every region look for work a few times.
func passes(t *testing.T, s *shop.Shop, b *teller, n int) {
	t.Helper()
	w, err := s.NewWorker(shop.WorkerOptions{Regions: s.Regions(), Owner: "settle", Jobs: []shop.Job{shop.Cashier}, Bank: b, Lease: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	for range n {
		w.Pass(t.Context())
	}
}

// caughtBy says which invariant has to notice each bug.
var caughtBy = map[string]invariant.Name{
	"no idempotency":                 invariant.OncePerKey,
	"blind decrement":                invariant.Stock,
	"charge first":                   invariant.Bank,
	"fresh payment per attempt":      invariant.Bank,
	"publish before commit":          invariant.Outbox,
	"acknowledge before commit":      invariant.Acknowledged,
	"relay without fence":            invariant.Fencing,
	"mark before publish":            invariant.Outbox,
	"forgotten event":                invariant.Outbox,
	"no inbox":                       invariant.Inbox,
	"one-legged ledger":              invariant.Ledger,
	"discount on the header only":    invariant.Totals,
	"status past the state machine":  invariant.History,
	"payment that can never be made": invariant.Drained,
}

// TestInvariantsHaveTeeth plants every bug in a shop, lets it have its bad day, and wants the named invariant to
// notice; a shop without a bug has the same day and keeps them all. It prints the table.
func TestInvariantsHaveTeeth(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, e store.Engine) {
		dbtest.New(t, e) // skips once, not for every bug
		day := func(t *testing.T, plant func(*shop.Shop, shop.Bank), want invariant.Name, patience time.Duration) invariant.Report {
			t.Parallel()
			url := dbtest.New(t, e)
			b := newTeller(t)
			var replicas [2]*shop.Shop
			for i := range replicas {
				replicas[i] = open(t, url, []shop.Product{{SKU: "a", Name: "A", Price: 500, Stock: 50}, {SKU: "b", Name: "B", Price: 700, Stock: 3}})
				plant(replicas[i], b)
			}
			acked := story(t, replicas, b)
			return settle(t, replicas[0], b, acked, want, patience)
		}
		rows := make([]string, 1+len(shop.Bugs))
		t.Run("days", func(t *testing.T) {
			t.Run("sound", func(t *testing.T) {
				report := day(t, func(*shop.Shop, shop.Bank) {}, "", 20*time.Second)
				if !report.OK() {
					var b strings.Builder
					report.WriteTo(&b)
					t.Fatalf("a shop without bugs:\n%s", b.String())
				}
				rows[0] = fmt.Sprintf("%-31s  %-13s  %s", "none", "none", report)
			})
			for i, bug := range shop.Bugs {
				t.Run(bug.Name, func(t *testing.T) {
					want := caughtBy[bug.Name]
					patience := 20 * time.Second
					if want == invariant.Drained {
						patience = 300 * time.Millisecond // nothing else will ever happen
					}
					report := day(t, bug.Plant, want, patience)
					first := ""
					for _, c := range report.Checks {
						if c.Name == want && len(c.Violations) > 0 {
							first = c.Violations[0]
						}
					}
					if first == "" {
						t.Errorf("violated: %v: want %s among them", report.Violated(), want)
					}
					rows[i+1] = fmt.Sprintf("%-31s  %-13s  %.100s", bug.Name, want, first)
				})
			}
		})
		t.Logf("teeth on %s:\n%-31s  %-13s  %s\n%s", e, "BUG", "CAUGHT BY", "IT SAYS", strings.Join(rows, "\n"))
	})
}
