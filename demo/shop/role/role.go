// Package role runs the parts of the shop that one process has: all of them, which is how the shop starts its life, or
// any subset. Parts that serve requests find the others through their addresses; parts that work in the background
// find their work in the database.
package role

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/meridian-gtm/meridian/demo/shop"
	"github.com/meridian-gtm/meridian/demo/shop/bank"
	"github.com/meridian-gtm/meridian/demo/shop/invariant"
	"github.com/meridian-gtm/meridian/demo/shop/web"
)

// Role is what a process can be.
type Role string

// The roles.
const (
	Web       Role = "web"       // pages
	Catalog   Role = "catalog"   // API of products
	Cart      Role = "cart"      // cart pages and API
	Order     Role = "order"     // checkout and orders
	Payment   Role = "payment"   // asks the bank, and is called by it
	Inventory Role = "inventory" // ships what was paid
	Messages  Role = "worker"    // relay and letters
	Bank      Role = "bank"      // the mock of somebody else's bank
)

// All returns every role.
func All() []Role { return []Role{Web, Catalog, Cart, Order, Payment, Inventory, Messages, Bank} }

// Parse reads a list of roles; "all" stands for every one.
func Parse(names []string) ([]Role, error) {
	var roles []Role
	for _, n := range names {
		switch r := Role(n); {
		case n == "all":
			roles = append(roles, All()...)
		case slices.Contains(All(), r):
			roles = append(roles, r)
		default:
			return nil, fmt.Errorf("role %q: want all, or some of %v", n, All())
		}
	}
	if len(roles) == 0 {
		return nil, fmt.Errorf("no roles: want all, or some of %v", All())
	}
	slices.Sort(roles)
	return slices.Compact(roles), nil
}

// parts and jobs are what the roles mean to the packages that do the work.
var (
	parts = map[Role]web.Part{Web: web.Storefront, Catalog: web.Catalog, Cart: web.Cart, Order: web.Order, Payment: web.Payment}
	jobs  = map[Role][]shop.Job{Payment: {shop.Cashier}, Inventory: {shop.Warehouse}, Messages: {shop.Relay, shop.Postman}}
)

// Options describe a process.
type Options struct {
	Roles    []Role   // required
	Region   string   // required
	Replica  string   // required; its name on the badge
	Regions  []string // required; all regions of the shop, the primary one first
	Database string   // required; see store.Open

	HTTP net.Listener          // for pages, API, health and metrics; required
	Bank net.Listener          // for the bank; required with that role
	Book string                // path of the bank's journal; "" = memory
	Ask  string                // address of the bank, for payment and the invariants; default Bank's
	Peer map[web.Part]*url.URL // where the parts are that are not here

	Alone  bool   // nobody else works in the other regions
	Secret []byte // that signs the bank's calls
	Weight int    // told to the traffic manager; default 100

	Lease  time.Duration // see shop.WorkerOptions
	Drain  time.Duration // between saying that it leaves and leaving; default 0
	Logger *slog.Logger  // nil = nothing is logged
}

// Run runs the roles until ctx ends. Then it says that it is not ready, waits for Drain, finishes the requests under
// way and returns nil. A database that is not there yet is waited for.
func Run(ctx context.Context, o Options) error {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if !slices.Contains(o.Regions, o.Region) {
		return fmt.Errorf("region %q: want one of %v", o.Region, o.Regions)
	}
	has := func(r Role) bool { return slices.Contains(o.Roles, r) }
	group, running := errgroup.WithContext(ctx)
	if has(Bank) {
		book, err := bank.OpenBook(o.Book, bank.DeclineBroke)
		if err != nil {
			return err
		}
		defer book.Close()
		group.Go(func() error { return bank.Serve(running, o.Bank, book, o.Logger) })
		if o.Ask == "" {
			o.Ask = o.Bank.Addr().String()
		}
	}
	var client *bank.Client
	if o.Ask != "" {
		client = bank.NewClient(o.Ask, nil)
	}
	group.Go(func() error {
		s, err := open(running, o)
		if s == nil {
			return err
		}
		defer s.Close()
		return serve(running, o, s, client)
	})
	return group.Wait()
}

// open waits for the database. It returns nil and nil at the end of ctx.
func open(ctx context.Context, o Options) (*shop.Shop, error) {
	for said := false; ; {
		s, err := shop.Open(ctx, o.Database, o.Regions, shop.Catalog())
		if err == nil {
			return s, nil
		}
		if ctx.Err() != nil {
			return nil, nil
		}
		if !said {
			o.Logger.Warn("waiting for the database", "err", err)
			said = true
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return nil, nil
		}
	}
}

// serve runs what needs the database.
func serve(ctx context.Context, o Options, s *shop.Shop, b *bank.Client) error {
	options := web.Options{
		Region: o.Region, Replica: o.Replica, Parts: []web.Part{}, Peers: o.Peer, Secret: o.Secret, Weight: o.Weight, Logger: o.Logger,
	}
	var work []shop.Job
	for _, r := range o.Roles {
		if p, ok := parts[r]; ok {
			options.Parts = append(options.Parts, p)
		}
		work = append(work, jobs[r]...)
	}
	if b != nil {
		options.Prove = func(ctx context.Context) (invariant.Report, error) {
			return invariant.Check(ctx, s.DB(), invariant.Options{Book: b})
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	if len(work) > 0 {
		w := shop.WorkerOptions{Regions: []string{o.Region}, Owner: o.Replica + "." + rand.Text(), Jobs: work, Lease: o.Lease, Logger: o.Logger}
		if b != nil {
			w.Bank = b
		}
		if o.Alone {
			w.Regions = o.Regions
		}
		worker, err := s.NewWorker(w)
		if err != nil {
			return err
		}
		group.Go(func() error { return worker.Run(ctx) })
	}
	page := web.New(s, options)
	server := &http.Server{
		Handler: page, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 15 * time.Second,
		IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(o.Logger.Handler(), slog.LevelDebug),
	}
	group.Go(func() error {
		if err := server.Serve(o.HTTP); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("http: %w", err)
		}
		return nil
	})
	group.Go(func() error {
		<-ctx.Done()
		page.Drain()
		<-time.After(o.Drain)
		leave, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		return server.Shutdown(leave)
	})
	return group.Wait()
}
