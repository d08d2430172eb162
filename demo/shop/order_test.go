package shop

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/meridian-gtm/meridian/demo/shop/dbtest"
	"github.com/meridian-gtm/meridian/demo/shop/store"
)

// TestConcurrentOrdersNeverOversell lets two replicas with connections of their own, as two processes have, sell more
// than there is.
func TestConcurrentOrdersNeverOversell(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, e store.Engine) {
		url := dbtest.New(t, e)
		const stock, buyers = 30, 40
		catalog := []Product{{SKU: "kite", Name: "Kite", Price: 100, Stock: stock}}
		shops := []*Shop{open(t, url, catalog), open(t, url, catalog)}
		var wg sync.WaitGroup
		var mu sync.Mutex
		sold, refused := 0, 0
		for i := range buyers {
			wg.Go(func() {
				_, _, err := shops[i%2].Place(t.Context(), Draft{Key: NewKey("eu-west"), Customer: "Ada", Lines: []Line{{SKU: "kite", Quantity: 1}}}, "eu-west", t0)
				mu.Lock()
				defer mu.Unlock()
				if _, short := errors.AsType[*OutOfStockError](err); short {
					refused++
				} else if err != nil {
					t.Error(err)
				} else {
					sold++
				}
			})
		}
		wg.Wait()
		if sold != stock || refused != buyers-stock {
			t.Errorf("%d sold, %d refused: want %d and %d", sold, refused, stock, buyers-stock)
		}
		p, err := shops[0].Product(t.Context(), "eu-west", "kite")
		if err != nil || p.Stock != 0 {
			t.Errorf("%d left, %v: want 0", p.Stock, err)
		}
		var orders int
		if err := shops[0].db.One(t.Context(), store.Current, `SELECT count(*) FROM orders`, nil, &orders); err != nil || orders != stock {
			t.Errorf("%d orders, %v: want %d", orders, err, stock)
		}
	})
}

// TestRetryInAnotherRegionFindsTheOrder is what the home region in the key is for.
func TestRetryInAnotherRegionFindsTheOrder(t *testing.T) {
	each(t, Catalog(), func(t *testing.T, s *Shop) {
		d := Draft{Key: NewKey("eu-west"), Customer: "Ada", Lines: []Line{{SKU: "flare", Quantity: 2}, {SKU: "chart", Quantity: 1}}}
		first, replayed, err := s.Place(t.Context(), d, "eu-west", t0)
		if err != nil || replayed {
			t.Fatalf("first: replayed %v, %v", replayed, err)
		}
		// The same order spelt otherwise.
		d.Customer = " Ada "
		d.Lines = []Line{{SKU: "chart", Quantity: 1}, {SKU: "flare", Quantity: 1}, {SKU: "flare", Quantity: 1}}
		again, replayed, err := s.Place(t.Context(), d, "us-east", t0.Add(1e9))
		if err != nil || !replayed {
			t.Fatalf("again: replayed %v, %v", replayed, err)
		}
		if diff := cmp.Diff(first, again, cmp.AllowUnexported(Order{})); diff != "" {
			t.Error(diff)
		}
		if want := Money(2*1290 + 2450); first.Total != want || first.Region != "eu-west" || !strings.HasPrefix(first.ID, "eu-west-") {
			t.Errorf("order %+v: want total %d, home and id of eu-west", first, want)
		}
		p, err := s.Product(t.Context(), "eu-west", "flare")
		if err != nil || p.Stock != 11998 {
			t.Errorf("flares left: %d, %v: want 11998", p.Stock, err)
		}

		d.Lines[0].Quantity++
		if _, _, err := s.Place(t.Context(), d, "us-east", t0); !errors.Is(err, ErrKeyReused) {
			t.Errorf("same key, other order: %v: want ErrKeyReused", err)
		}
	})
}

func TestConcurrentRetriesMakeOneOrder(t *testing.T) {
	each(t, Catalog(), func(t *testing.T, s *Shop) {
		d := Draft{Key: NewKey("us-east"), Customer: "Ada", Lines: []Line{{SKU: "anchor", Quantity: 1}}}
		ids := make([]string, 16)
		var wg sync.WaitGroup
		for i := range ids {
			wg.Go(func() {
				o, _, err := s.Place(t.Context(), d, "us-east", t0)
				if err != nil {
					t.Error(err)
				}
				ids[i] = o.ID
			})
		}
		wg.Wait()
		for _, id := range ids {
			if id == "" || id != ids[0] {
				t.Fatalf("orders %q: want one", ids)
			}
		}
		if p, err := s.Product(t.Context(), "us-east", "anchor"); err != nil || p.Stock != 3999 {
			t.Errorf("anchors left: %d, %v: want 3999", p.Stock, err)
		}
	})
}

// TestRefusedOrderTakesNothing: the lines before the one that is short go back, and the key stays usable.
func TestRefusedOrderTakesNothing(t *testing.T) {
	each(t, []Product{{SKU: "a", Name: "A", Price: 1, Stock: 5}, {SKU: "b", Name: "B", Price: 1, Stock: 1}}, func(t *testing.T, s *Shop) {
		d := Draft{Key: NewKey("us-east"), Customer: "Ada", Lines: []Line{{SKU: "a", Quantity: 2}, {SKU: "b", Quantity: 2}}}
		_, _, err := s.Place(t.Context(), d, "us-east", t0)
		short, ok := errors.AsType[*OutOfStockError](err)
		if !ok || *short != (OutOfStockError{SKU: "b", Region: "us-east", Want: 2, Left: 1}) {
			t.Fatalf("%v: want b short in us-east, 1 left, 2 wanted", err)
		}
		if p, err := s.Product(t.Context(), "us-east", "a"); err != nil || p.Stock != 5 {
			t.Errorf("a: %d left, %v: want 5", p.Stock, err)
		}
		d.Lines[1].Quantity = 1
		if _, replayed, err := s.Place(t.Context(), d, "us-east", t0); err != nil || replayed {
			t.Errorf("the key after a refusal: replayed %v, %v", replayed, err)
		}
	})
}

func TestInvalidOrders(t *testing.T) {
	each(t, Catalog(), func(t *testing.T, s *Shop) {
		ok := Line{SKU: "flare", Quantity: 1}
		for name, c := range map[string]struct {
			region, customer string
			lines            []Line
			want             string
		}{
			"unknown region":   {"mars", "Ada", []Line{ok}, `region "mars"`},
			"no name":          {"us-east", "  ", []Line{ok}, "customer: 0 characters"},
			"long name":        {"us-east", strings.Repeat("é", 81), []Line{ok}, "customer: 81 characters"},
			"not text":         {"us-east", "\xff", []Line{ok}, "customer"},
			"no lines":         {"us-east", "Ada", nil, "lines: 0"},
			"too many lines":   {"us-east", "Ada", make([]Line, 21), "lines: 21"},
			"no quantity":      {"us-east", "Ada", []Line{{SKU: "flare"}}, "quantity 0"},
			"negative":         {"us-east", "Ada", []Line{{SKU: "flare", Quantity: -1}}, "quantity -1"},
			"unknown product":  {"us-east", "Ada", []Line{{SKU: "unicorn", Quantity: 1}}, `"unicorn": no such product`},
			"everything wrong": {"mars", "", nil, "region \"mars\": want one of us-east, eu-west, ap-south\ncustomer: 0 characters: want 1..80\nlines: 0"},
		} {
			_, _, err := s.Place(t.Context(), Draft{Key: NewKey(c.region), Customer: c.customer, Lines: c.lines}, "us-east", t0)
			if _, invalid := errors.AsType[*InvalidError](err); !invalid || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v: want an InvalidError with %q", name, err, c.want)
			}
		}
	})
}

func TestOrderNotFound(t *testing.T) {
	each(t, Catalog(), func(t *testing.T, s *Shop) {
		for _, id := range []string{"", "x", "-", "eu-west-unheardof", "EU-x", strings.Repeat("-", 100)} {
			if _, err := s.Order(t.Context(), id); !errors.Is(err, ErrNotFound) {
				t.Errorf("order %q: %v: want ErrNotFound", id, err)
			}
		}
	})
}

func FuzzParseKey(f *testing.F) {
	for _, s := range []string{"eu-west.ABCDEFGH", "eu-west.", ".ABCDEFGH", "a.b.cdefghijk", "eu-west.abc/efgh", NewKey("us-east").String()} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		k, err := ParseKey(s)
		if err != nil {
			return
		}
		if k.String() != s || len(s) > 97 || !validRegion(k.Region) {
			t.Errorf("%q read as %+v", s, k)
		}
	})
}
