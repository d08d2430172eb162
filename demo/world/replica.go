package world

import (
	"context"
	"crypto/rand"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/meridian-gtm/meridian/demo/shop"
	"github.com/meridian-gtm/meridian/demo/shop/invariant"
	"github.com/meridian-gtm/meridian/demo/shop/web"
)

// replica is one of a site's shop processes.
type replica struct {
	name    string
	site    string
	real    netip.AddrPort
	shop    *shop.Shop
	bank    Bank
	network *Network
	drain   time.Duration
	log     *slog.Logger
}

// run is one life of the replica.
func (r *replica) run(ctx context.Context) {
	ln := r.bind(ctx)
	if ln == nil {
		return
	}
	page := web.New(r.shop, web.Options{Region: r.site, Replica: r.name, Via: via, Prove: r.prove(), Logger: r.log})
	defer r.work(ctx)()
	server := &http.Server{
		Handler:           r.gray(page),
		ConnContext:       connContext,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      10 * time.Second,
		IdleTimeout:       30 * time.Second,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(r.log.Handler(), slog.LevelDebug),
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		server.Serve(proxyListener{ln}) // ends with the listener
	}()
	<-ctx.Done()
	if !killed(ctx) {
		page.Drain()
		drain, cancel := context.WithTimeout(context.Background(), r.drain)
		server.Shutdown(drain)
		cancel()
	}
	server.Close()
	<-served
}

// work starts the replica's background jobs and returns what waits for their end.
func (r *replica) work(ctx context.Context) (wait func()) {
	if r.bank == nil {
		return func() {}
	}
	// Every life is a worker of its own: what the last one held it has to win again.
	worker, err := r.shop.NewWorker(shop.WorkerOptions{Regions: []string{r.site}, Owner: r.name + "." + rand.Text(), Bank: r.bank, Logger: r.log})
	if err != nil {
		r.log.Error("worker", "replica", r.name, "err", err)
		return func() {}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		worker.Run(ctx)
	}()
	return func() { <-done }
}

// prove checks the invariants for their page.
func (r *replica) prove() func(context.Context) (invariant.Report, error) {
	if r.bank == nil {
		return nil
	}
	return func(ctx context.Context) (invariant.Report, error) {
		return invariant.Check(ctx, r.shop.DB(), invariant.Options{Book: r.bank})
	}
}

// bind waits for the replica's address: whoever took it while the replica was dead may let it go again.
func (r *replica) bind(ctx context.Context) net.Listener {
	for first := true; ; first = false {
		ln, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(r.real))
		if err == nil {
			return ln
		}
		if first {
			r.log.Warn("bind replica", "replica", r.name, "err", err)
		}
		if pause(ctx, 100*time.Millisecond) != nil {
			return nil
		}
	}
}

// gray answers 500 while the site has the fault. Readiness stays as it is: that the directors' checks see nothing is
// what makes this failure a gray one.
func (r *replica) gray(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path != "/readyz" && r.network.failing(r.site) {
			http.Error(w, "injected fault: the shop of "+r.site+" answers 500", http.StatusInternalServerError)
			return
		}
		next.ServeHTTP(w, req)
	})
}
