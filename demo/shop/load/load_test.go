package load

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/meridian-gtm/meridian/demo/shop"
)

// counter is a shop that never saw a database: it knows keys, and can be made to answer badly.
type counter struct {
	mu     sync.Mutex
	orders map[string]string // id by key
	bad    func(n int, w http.ResponseWriter, place func() string) bool
	n      int
}

func (c *counter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet {
		json.NewEncoder(w).Encode(map[string]any{"products": []shop.Product{{SKU: "a", Price: 100, Stock: 10}}})
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
	status := http.StatusCreated
	place := func() string {
		key := r.Header.Get("Idempotency-Key")
		if id, found := c.orders[key]; found {
			status = http.StatusOK
			return id
		}
		c.orders[key] = strings.Replace(key, ".", "-", 1)
		return c.orders[key]
	}
	if c.bad != nil && c.bad(c.n, w, place) {
		return
	}
	id := place()
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(shop.Order{ID: id, Total: 100})
}

func run(t *testing.T, o Options, shops ...http.Handler) (Result, int, error) {
	t.Helper()
	for _, h := range shops {
		s := httptest.NewServer(h)
		t.Cleanup(s.Close)
		u, err := url.Parse(s.URL)
		if err != nil {
			t.Fatal(err)
		}
		o.Targets = append(o.Targets, u)
	}
	path := filepath.Join(t.TempDir(), "acked.jsonl")
	log, err := OpenAckLog(path)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	o.Log = log
	if o.Regions == nil {
		o.Regions = []string{"us-east", "eu-west"}
	}
	result, err := Run(t.Context(), o)
	if err != nil {
		return result, 0, err
	}
	acked, err := ReadAckLog(path)
	return result, len(acked), err
}

// TestEveryAcknowledgedOrderIsLogged: answers get lost in every way that a client can see, and in the end each order
// is known and logged once.
func TestEveryAcknowledgedOrderIsLogged(t *testing.T) {
	c := &counter{orders: map[string]string{}}
	c.bad = func(n int, w http.ResponseWriter, place func() string) bool {
		switch n % 5 {
		case 0: // nothing happened
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(http.StatusServiceUnavailable)
		case 1: // it happened, and the answer is cut short
			place()
			w.WriteHeader(http.StatusCreated)
			w.Write([]byte(`{"id":"eu-`))
		case 2: // it happened, and the connection is lost
			place()
			panic(http.ErrAbortHandler)
		default:
			return false
		}
		return true
	}
	r, logged, err := run(t, Options{Orders: 30, Rate: 500}, c, c)
	if err != nil || r.Asked != 30 || r.Acked != 30 || logged != 30 || len(c.orders) != 30 || r.GivenUp+r.Refused+r.Skipped != 0 {
		t.Errorf("%v, %v; %d logged, %d placed: want 30 of each", r, err, logged, len(c.orders))
	}
	if r.Replayed == 0 || r.Retries == 0 || r.Median <= 0 || r.P99 < r.Median {
		t.Errorf("%+v: want replays, retries and times", r)
	}
}

func TestRefusedAndGivenUpAreNotLogged(t *testing.T) {
	refuse := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			new(counter).ServeHTTP(w, r)
			return
		}
		w.WriteHeader(http.StatusConflict)
	})
	r, logged, err := run(t, Options{Orders: 5, Rate: 500}, refuse)
	if err != nil || r.Refused != 5 || logged != 0 {
		t.Errorf("refused: %v, %v; %d logged", r, err, logged)
	}
	silent := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			new(counter).ServeHTTP(w, r)
			return
		}
		w.WriteHeader(http.StatusBadGateway)
	})
	r, logged, err = run(t, Options{Orders: 3, Rate: 500, GiveUp: 200 * time.Millisecond}, silent)
	if err != nil || r.GivenUp != 3 || logged != 0 {
		t.Errorf("given up: %v, %v; %d logged", r, err, logged)
	}
}

func TestRunRefuses(t *testing.T) {
	if _, err := Run(t.Context(), Options{}); err == nil || !strings.Contains(err.Error(), "targets") || !strings.Contains(err.Error(), "log") {
		t.Errorf("no targets and no log: %v", err)
	}
	down := httptest.NewServer(http.NotFoundHandler())
	down.Close()
	u, _ := url.Parse(down.URL)
	log, err := OpenAckLog(filepath.Join(t.TempDir(), "acked.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if _, err := Run(ctx, Options{Targets: []*url.URL{u}, Regions: []string{"us-east"}, Log: log}); err == nil {
		t.Error("a shop that is not there")
	}
}
