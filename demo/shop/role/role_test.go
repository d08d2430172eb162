package role

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
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
	"github.com/meridian-gtm/meridian/demo/shop/load"
	"github.com/meridian-gtm/meridian/demo/shop/store"
	"github.com/meridian-gtm/meridian/demo/shop/web"
)

func TestMain(m *testing.M) { os.Exit(dbtest.Main(m)) }

func TestParse(t *testing.T) {
	if got, err := Parse([]string{"all"}); err != nil || len(got) != len(All()) {
		t.Errorf("all: %v, %v", got, err)
	}
	if got, err := Parse([]string{"web", "order", "web"}); err != nil || !slices.Equal(got, []Role{Order, Web}) {
		t.Errorf("web, order, web: %v, %v", got, err)
	}
	for _, names := range [][]string{nil, {"everything"}, {"web", ""}} {
		if got, err := Parse(names); err == nil {
			t.Errorf("%q: %v: want an error", names, got)
		}
	}
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln
}

// process is one of the shop's.
type process struct {
	url  *url.URL
	bank string
	stop func()
}

var errKilled = errors.New("killed")

// start runs a process until stop, which ends it without a word: its leases stay where they are, and its listener and
// connections are cut.
func start(t *testing.T, o Options) process {
	t.Helper()
	ln := &cutListener{Listener: listen(t)}
	o.HTTP, o.Regions = ln, dbtest.Regions
	if slices.Contains(o.Roles, Bank) {
		o.Bank = listen(t)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, o) }()
	p := process{url: &url.URL{Scheme: "http", Host: ln.Addr().String()}}
	if o.Bank != nil {
		p.bank = o.Bank.Addr().String()
	}
	var once sync.Once
	p.stop = func() {
		once.Do(func() {
			ln.cut()
			cancel(errKilled)
			if err := <-ended; err != nil && !errors.Is(err, net.ErrClosed) {
				t.Errorf("%s: %v", o.Replica, err)
			}
		})
	}
	t.Cleanup(p.stop)
	client := &http.Client{Timeout: time.Second}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		resp, err := client.Get(p.url.String() + "/readyz")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return p
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s is not ready: %v", o.Replica, err)
		}
	}
}

// cutListener can cut all of its connections.
type cutListener struct {
	net.Listener
	mu    sync.Mutex
	conns []net.Conn
}

func (l *cutListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.conns = append(l.conns, c)
	}
	return c, err
}

func (l *cutListener) cut() {
	l.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.conns {
		c.Close()
	}
}

// TestRegionIsLostUnderLoad runs a process with all roles in each of three regions, with 40 orders per second, and
// kills eu-west without a word in the middle. Customers go elsewhere with the same keys, workers elsewhere take its
// jobs over, and in the end nothing is lost, double or oversold.
func TestRegionIsLostUnderLoad(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, e store.Engine) {
		at := dbtest.New(t, e)
		outside := start(t, Options{Roles: []Role{Bank}, Region: "us-east", Replica: "bank", Database: at, Book: filepath.Join(t.TempDir(), "book")})
		work := []Role{Web, Catalog, Cart, Order, Payment, Inventory, Messages}
		var regions []process
		for _, r := range dbtest.Regions {
			regions = append(regions, start(t, Options{Roles: work, Region: r, Replica: r + "-1", Database: at, Ask: outside.bank, Lease: time.Second}))
		}
		path := filepath.Join(t.TempDir(), "acked.jsonl")
		log, err := load.OpenAckLog(path)
		if err != nil {
			t.Fatal(err)
		}
		defer log.Close()
		o := load.Options{Regions: dbtest.Regions, Rate: 40, Orders: 120, Log: log, GiveUp: 20 * time.Second}
		for _, p := range regions {
			o.Targets = append(o.Targets, p.url)
		}
		kill := time.AfterFunc(time.Second, regions[1].stop)
		defer kill.Stop()
		result, err := load.Run(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		regions[1].stop()
		acked, err := load.ReadAckLog(path)
		if err != nil {
			t.Fatal(err)
		}
		db, err := store.Open(t.Context(), at)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		options := invariant.Options{Book: bank.NewClient(outside.bank, nil), Acked: acked, Late: time.Hour}
		lost := time.Now()
		var report invariant.Report
		for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
			if report, err = invariant.Check(t.Context(), db, options); err != nil {
				t.Fatal(err)
			}
			if report.Open+report.Events == 0 || time.Now().After(deadline) {
				break
			}
		}
		t.Logf("%v; %v; settled %v after the last order", result, report, time.Since(lost).Round(time.Millisecond))
		if !report.OK() || report.Open+report.Events > 0 || result.Acked != result.Asked || result.GivenUp+result.Skipped > 0 || len(acked) != result.Acked {
			var b strings.Builder
			report.WriteTo(&b)
			t.Errorf("%v\n%s", result, b.String())
		}
		if result.Retries == 0 {
			t.Error("nobody noticed that a region was lost")
		}
	})
}

// TestRolesApart runs every role in a process of its own, and sees an order through from a page to its shipping.
func TestRolesApart(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, e store.Engine) {
		at := dbtest.New(t, e)
		one := func(r Role, o Options) process {
			o.Roles, o.Region, o.Replica, o.Database, o.Alone = []Role{r}, "us-east", string(r), at, true
			return start(t, o)
		}
		outside := one(Bank, Options{})
		orders := one(Order, Options{})
		one(Payment, Options{Ask: outside.bank})
		one(Inventory, Options{})
		one(Messages, Options{})
		front := one(Web, Options{Peer: map[web.Part]*url.URL{web.Order: orders.url}})
		client := &http.Client{Timeout: 5 * time.Second}
		form := url.Values{"key": {shop.NewKey("us-east").String()}, "customer": {"Ada"}, "sku": {"compass"}, "quantity": {"1"}}
		resp, err := client.PostForm(front.url.String()+"/orders", form)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		page := resp.Request.URL.String()
		for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			body, err := get(client, page)
			if err == nil && strings.Contains(body, `<b class="status">shipped</b>`) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: not shipped: %v\n%s", page, err, body)
			}
		}
	})
}

func get(client *http.Client, at string) (string, error) {
	resp, err := client.Get(at)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}
