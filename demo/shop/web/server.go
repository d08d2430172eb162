package web

import (
	"cmp"
	"context"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"sync/atomic"
	"time"

	"github.com/meridian-gtm/meridian/demo/shop"
	"github.com/meridian-gtm/meridian/demo/shop/invariant"
)

//go:embed templates
var templateFiles embed.FS

// Part is a part of the shop that can be served by a process of its own.
type Part string

// The parts.
const (
	Storefront Part = "web"     // pages; catalogue and forms are read from the database
	Catalog    Part = "catalog" // its API
	Cart       Part = "cart"    // cart pages and API
	Order      Part = "order"   // checkout, orders and their API
	Payment    Part = "payment" // what the bank calls
)

// Parts returns every part.
func Parts() []Part { return []Part{Storefront, Catalog, Cart, Order, Payment} }

// Options describe one replica.
type Options struct {
	Region  string // required; one of the shop's regions
	Replica string // required; its name on the badge

	// Via says how a request's connection came here; nil = nothing is known.
	Via func(*http.Request) Via

	Parts []Part            // that are served here; nil = all
	Peers map[Part]*url.URL // where the other parts are; what has no peer answers 503

	// Prove checks the invariants for their page; nil = the page says that it cannot.
	Prove func(context.Context) (invariant.Report, error)

	Secret   []byte // that signs the bank's calls; nil = none are accepted
	Weight   int    // told to the traffic manager; 1..100, default 100
	Capacity int    // requests at a time that are a load of 1; default 64

	Patience time.Duration // for the database, per request; default 4 s
	Logger   *slog.Logger  // nil = nothing is logged
}

func (o Options) withDefaults() Options {
	if o.Parts == nil {
		o.Parts = Parts()
	}
	o.Weight = cmp.Or(o.Weight, 100)
	o.Capacity = cmp.Or(o.Capacity, 64)
	o.Patience = cmp.Or(o.Patience, 4*time.Second)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// Server is one replica.
type Server struct {
	opt      Options
	shop     *shop.Shop
	log      *slog.Logger
	health   *health
	metrics  *metrics
	database *database
	pages    *template.Template
	handler  http.Handler
	busy     atomic.Int64
}

// New makes a replica of a shop.
func New(s *shop.Shop, opt Options) *Server {
	opt = opt.withDefaults()
	w := &Server{
		opt: opt, shop: s, log: opt.Logger, database: &database{db: s.DB()},
		pages: template.Must(template.ParseFS(templateFiles, "templates/*.html")),
	}
	w.health = &health{shop: s, region: opt.Region, replica: opt.Replica}
	w.metrics = newMetrics(w)
	mux := http.NewServeMux()
	for _, r := range w.routes() {
		mux.Handle(r.pattern, w.metrics.count(r.pattern, w.part(r)))
	}
	mux.HandleFunc("GET /", func(rw http.ResponseWriter, r *http.Request) { w.errorPage(rw, r, shop.ErrNotFound) })
	// A page of another origin can send forms here, with the visitor's cart in a cookie.
	w.handler = http.NewCrossOriginProtection().Handler(mux)
	return w
}

// route is one address. part "" is in every process.
type route struct {
	part    Part
	pattern string
	handle  http.HandlerFunc
}

func (s *Server) routes() []route {
	return []route{
		{Storefront, "GET /{$}", s.catalogPage},
		{Storefront, "GET /products/{sku}", s.productPage},
		{Storefront, "GET /invariants", s.invariantsPage},
		{Cart, "GET /cart", s.cartPage},
		{Cart, "POST /cart", s.cartForm},
		{Order, "GET /checkout", s.checkoutPage},
		{Order, "GET /orders", s.ordersPage},
		{Order, "POST /orders", s.orderForm},
		{Order, "GET /orders/{id}", s.orderPage},
		{Order, "POST /orders/{id}/cancel", s.cancelForm},
		{Catalog, "GET /api/v1/products", s.apiProducts},
		{Catalog, "GET /api/v1/products/{sku}", s.apiProduct},
		{Cart, "GET /api/v1/carts/{id}", s.apiCart},
		{Cart, "PUT /api/v1/carts/{id}/lines/{sku}", s.apiCartLine},
		{Order, "POST /api/v1/orders", s.apiPlace},
		{Order, "GET /api/v1/orders/{id}", s.apiOrder},
		{Order, "POST /api/v1/orders/{id}/cancel", s.apiCancel},
		{Payment, "POST /api/v1/payments/callback", s.paymentCallback},
		{"", "GET /api/v1/invariants", s.apiInvariants},
		{"", "GET /style.css", s.style},
		{"", "GET /healthz", s.healthz},
		{"", "GET /readyz", s.readyz},
		{"", "GET /gtm/health", s.gtmHealth},
		{"", "GET /metrics", s.metrics.serve},
	}
}

// part serves a route here, or where its part is.
func (s *Server) part(r route) http.Handler {
	if r.part == "" || slices.Contains(s.opt.Parts, r.part) {
		return r.handle
	}
	peer := s.opt.Peers[r.part]
	if peer == nil {
		return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			s.errorPage(w, req, fmt.Errorf("%w: %s", errNoPart, r.part))
		})
	}
	return &httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(peer)
			p.Out.Host = p.In.Host
		},
		// The badge is of the replica that the client reached.
		ModifyResponse: func(resp *http.Response) error {
			for name := range resp.Header {
				if badgeHeader(name) {
					resp.Header.Del(name)
				}
			}
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, req *http.Request, err error) {
			s.errorPage(w, req, fmt.Errorf("part %s at %s: %w", r.part, peer, err))
		},
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
}

// errNoPart means that a request is for a part that is not in this process and has no peer.
var errNoPart = errors.New("this part of the shop is not here")

// maxBody is how long a request's body may be, in octets.
const maxBody = 64 << 10

// ServeHTTP serves pages and API.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.busy.Add(1)
	defer s.busy.Add(-1)
	h := w.Header()
	s.badge(r).header(h)
	h.Set("Cache-Control", "no-store") // a cached page would show the badge of another time
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("X-Content-Type-Options", "nosniff")
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	ctx, cancel := context.WithTimeout(r.Context(), s.opt.Patience)
	defer cancel()
	s.handler.ServeHTTP(w, r.WithContext(ctx))
}
