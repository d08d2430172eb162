package shop_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
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

// TestCrowd lets customers of three regions order, repeat, clash over scarce goods and cancel, in shuffled order,
// while workers with leases that are far too short take the jobs from each other. The bank is behind a socket.
func TestCrowd(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, e store.Engine) {
		url := dbtest.New(t, e)
		catalog := []shop.Product{
			{SKU: "a", Name: "A", Price: 500, Stock: 1000}, {SKU: "b", Name: "B", Price: 700, Stock: 1000},
			{SKU: "rare", Name: "Rare", Price: 90000, Stock: 5},
		}
		shops := []*shop.Shop{open(t, url, catalog), open(t, url, catalog)}
		b := newTeller(t)
		client := serveBank(t, b.book)
		stop := workers(t, shops, client)

		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		draw := rand.New(rand.NewPCG(seed, 0))
		type request struct {
			draft  shop.Draft
			shop   *shop.Shop
			region string
			cancel bool
		}
		var todo []request
		const orders = 40
		for i := range orders {
			home := dbtest.Regions[i%len(dbtest.Regions)]
			d := shop.Draft{Key: shop.NewKey(home), Customer: fmt.Sprintf("customer %d", i)}
			if i%10 == 0 {
				d.Customer = "Broke"
			}
			for _, p := range catalog {
				if draw.IntN(2) == 0 {
					d.Lines = append(d.Lines, shop.Line{SKU: p.SKU, Quantity: 1 + draw.IntN(2)})
				}
			}
			if len(d.Lines) == 0 {
				d.Lines = []shop.Line{{SKU: "a", Quantity: 1}}
			}
			// Everybody is impatient: twice or three times, anywhere.
			for range 2 + draw.IntN(2) {
				todo = append(todo, request{d, shops[draw.IntN(2)], dbtest.Regions[draw.IntN(3)], draw.IntN(8) == 0})
			}
		}
		draw.Shuffle(len(todo), func(i, j int) { todo[i], todo[j] = todo[j], todo[i] })

		var mu sync.Mutex
		acked := []invariant.Ack{}
		short := 0
		var wg sync.WaitGroup
		next := make(chan request)
		for range 8 {
			wg.Go(func() {
				for r := range next {
					o, _, err := r.shop.Place(t.Context(), r.draft, r.region, time.Now())
					mu.Lock()
					if _, out := errors.AsType[*shop.OutOfStockError](err); out {
						short++
					} else if err != nil {
						t.Errorf("%s: %v", r.draft.Key, err)
					} else {
						acked = append(acked, invariant.Ack{ID: o.ID, Key: r.draft.Key.String(), Total: o.Total})
					}
					mu.Unlock()
					if err == nil && r.cancel {
						_, err := r.shop.Cancel(t.Context(), o.ID, time.Now())
						if _, late := errors.AsType[*shop.InvalidError](err); err != nil && !late {
							t.Errorf("cancel %s: %v", o.ID, err)
						}
					}
				}
			})
		}
		start := time.Now()
		for _, r := range todo {
			next <- r
		}
		close(next)
		wg.Wait()
		took := time.Since(start)
		waitUntilSettled(t, shops[0], client, 20*time.Second)
		stop()
		report, err := invariant.Check(t.Context(), shops[0].DB(), invariant.Options{Book: client, Acked: acked, Late: -1})
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%v; %d requests in %v, %d times out of stock, %d retries of transactions", report, len(todo), took.Round(time.Millisecond), short,
			shops[0].DB().Stats().Retries+shops[1].DB().Stats().Retries)
		if !report.OK() || report.Orders == 0 || len(acked) < report.Orders {
			var out strings.Builder
			report.WriteTo(&out)
			t.Error(out.String())
		}
	})
}

// serveBank runs a bank on loopback for the time of the test.
func serveBank(t *testing.T, book *bank.Book) *bank.Client {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- bank.Serve(ctx, ln, book, nil) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("bank: %v", err)
		}
	})
	return bank.NewClient(ln.Addr().String(), nil)
}

// workers runs two workers per shop, in different regions, with leases that end all the time.
func workers(t *testing.T, shops []*shop.Shop, b shop.Bank) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancelCause(context.Background())
	var wg sync.WaitGroup
	for i, s := range shops {
		for j := range 2 {
			w, err := s.NewWorker(shop.WorkerOptions{
				Regions: dbtest.Regions[(i+j)%3:], Owner: fmt.Sprint(i, j), Bank: b, Poll: 10 * time.Millisecond, Lease: 40 * time.Millisecond,
			})
			if err != nil {
				t.Fatal(err)
			}
			wg.Go(func() { w.Run(ctx) })
		}
	}
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			cancel(nil)
			wg.Wait()
		}
	}
	t.Cleanup(stop)
	return stop
}

// waitUntilSettled waits until nothing is on its way.
func waitUntilSettled(t *testing.T, s *shop.Shop, b invariant.Book, patience time.Duration) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		report, err := invariant.Check(t.Context(), s.DB(), invariant.Options{Book: b, Late: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		// What is on its way is counted, and never a violation.
		if !report.OK() {
			t.Fatalf("while the shop works: violated: %v", report.Violated())
		}
		if report.Open+report.Events == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %v: %v, %d events", patience, report, report.Events)
		}
	}
}
