package shop_test

import (
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/meridian-gtm/meridian/demo/shop"
	"github.com/meridian-gtm/meridian/demo/shop/dbtest"
	"github.com/meridian-gtm/meridian/demo/shop/invariant"
	"github.com/meridian-gtm/meridian/demo/shop/store"
)

// throughProxy opens a shop on an engine with connections, through a proxy that can cut them.
func throughProxy(t *testing.T, e store.Engine) (*shop.Shop, *dbtest.Proxy) {
	t.Helper()
	if e == store.SQLite {
		t.Skip("SQLite has no connection that could be cut")
	}
	p := dbtest.NewProxy(t, dbtest.New(t, e))
	return open(t, p.URL(), shop.Catalog()), p
}

// TestCutDuringCommit ends the connection at every moment of a COMMIT. Whatever became of it, the client is either
// told of the one order, or told to ask again with the same key, and then told of the one order.
func TestCutDuringCommit(t *testing.T) {
	for _, c := range []struct {
		name string
		cut  dbtest.Cut
		// whether the first call must know the order, and whether it must not
		known, unknown bool
	}{
		{"before the server hears of it", dbtest.Before, false, true},
		{"after the server answered", dbtest.After, true, false},
		{"in between", dbtest.Both, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			dbtest.Each(t, func(t *testing.T, e store.Engine) {
				s, proxy := throughProxy(t, e)
				d := shop.Draft{Key: shop.NewKey("eu-west"), Customer: "Ada", Lines: []shop.Line{{SKU: "compass", Quantity: 2}}}
				proxy.Once(c.cut)
				o, replayed, err := s.Place(t.Context(), d, "eu-west", time.Now())
				if proxy.Cuts() != 1 || s.DB().Stats().Ambiguous != 1 {
					t.Fatalf("%d cuts, %d ambiguous commits: want 1 and 1 (%v)", proxy.Cuts(), s.DB().Stats().Ambiguous, err)
				}
				if err != nil && !errors.Is(err, store.ErrAmbiguous) || c.known && err != nil || c.unknown && err == nil {
					t.Fatalf("first call: %+v, replayed %v, %v", o, replayed, err)
				}
				again, replayed, err2 := s.Place(t.Context(), d, "us-east", time.Now())
				if err2 != nil || err == nil && (again.ID != o.ID || !replayed) || c.unknown && replayed {
					t.Fatalf("second call: order %s, replayed %v, %v; the first gave %q, %v", again.ID, replayed, err2, o.ID, err)
				}
				p, err := s.Product(t.Context(), "eu-west", "compass")
				if err != nil || p.Stock != 5998 {
					t.Errorf("%d left, %v: want 5998: one order of two", p.Stock, err)
				}
				report, err := invariant.Check(t.Context(), s.DB(), invariant.Options{Acked: []invariant.Ack{{ID: again.ID, Key: d.Key.String(), Total: again.Total}}})
				if err != nil || !report.OK() || report.Orders != 1 {
					t.Errorf("%v, %v: want one order and no violation", report, err)
				}
			})
		})
	}
}

// TestOrdersSurviveCutConnections cuts a third of all COMMITs, at random moments, under concurrent customers who send
// their orders again until they are told of them, and under workers who must do their jobs all the same.
func TestOrdersSurviveCutConnections(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, e store.Engine) {
		s, proxy := throughProxy(t, e)
		b := newTeller(t)
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		draw := rand.New(rand.NewPCG(seed, 0))
		proxy.Plan(func() dbtest.Cut { // called under the proxy's lock
			if draw.IntN(3) > 0 {
				return dbtest.Never
			}
			return dbtest.Cut(1 + draw.IntN(3))
		})
		const customers, each = 6, 8
		var mu sync.Mutex
		acked := []invariant.Ack{}
		var wg sync.WaitGroup
		for range customers {
			wg.Go(func() {
				for range each {
					key := shop.NewKey("eu-west")
					for {
						o, _, err := s.Place(t.Context(), shop.Draft{Key: key, Customer: "Ada", Lines: []shop.Line{{SKU: "flare", Quantity: 1}}}, "eu-west", time.Now())
						if err == nil {
							mu.Lock()
							acked = append(acked, invariant.Ack{ID: o.ID, Key: key.String(), Total: o.Total})
							mu.Unlock()
							break
						}
						if !errors.Is(err, store.ErrAmbiguous) && !strings.Contains(err.Error(), "conn") {
							t.Error(err)
							return
						}
					}
				}
			})
		}
		wg.Wait()
		report := settle(t, s, b, acked, "", 20*time.Second)
		stats := s.DB().Stats()
		t.Logf("%v; %d cuts, %d ambiguous commits, %d retries", report, proxy.Cuts(), stats.Ambiguous, stats.Retries)
		if !report.OK() || report.Orders != customers*each {
			var out strings.Builder
			report.WriteTo(&out)
			t.Errorf("want %d orders and no violation:\n%s", customers*each, out.String())
		}
		if proxy.Cuts() == 0 || stats.Ambiguous == 0 {
			t.Error("nothing was cut")
		}
	})
}
