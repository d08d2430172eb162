package traveler

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// City is a place to shop from.
type City struct {
	Title   string       // for people: "New York"
	Prefix  netip.Prefix // that its resolver sends as EDNS Client Subnet
	Servers []Server     // that its resolver asks, in this order
	// Dial opens connections from the city; nil = as they are from here.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Name is the city's first label under localhost: its title in small letters and without blanks, "newyork".
func (c City) Name() string { return strings.ToLower(strings.ReplaceAll(c.Title, " ", "")) }

// Options describe a traveler.
type Options struct {
	Shop   string // name to resolve: "www.shop.example"; required
	Port   uint16 // of the shop's addresses; default 80
	Cities []City // required

	// Connect and Answer bound the wait for a connection and then for the whole answer; default 3 s and 6 s.
	Connect, Answer time.Duration

	Logger *slog.Logger // nil = nothing is logged
}

// Traveler shows the shop as clients of several cities see it: an http.Handler for <city>.localhost, and for a list of
// the cities on localhost itself. It forwards to nothing but the shop, and answers to no other name: a page on the
// Internet whose name was made to point here gets nothing.
//
// Every request opens a connection of its own. Browsers keep theirs, and stay where they are for as long as they do;
// here every page shows what DNS says now. What is safe to repeat is repeated at the next address that DNS gives. An
// order is not: whether it was placed is for the shop to find out, by the key in its form.
type Traveler struct {
	opt    Options
	cities []*city
	proxy  *httputil.ReverseProxy
}

// city is one city at work.
type city struct {
	City
	resolver  *resolver
	transport *http.Transport

	mu      sync.Mutex
	trouble map[netip.Addr]time.Time // first failure in a row, of each address
}

// New makes a traveler, or says everything that is wrong with the options.
func New(o Options) (*Traveler, error) {
	if o.Port == 0 {
		o.Port = 80
	}
	if o.Connect == 0 {
		o.Connect = 3 * time.Second
	}
	if o.Answer == 0 {
		o.Answer = 6 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	o.Shop = strings.ToLower(strings.TrimSuffix(o.Shop, "."))
	var faults []error
	if o.Shop == "" {
		faults = append(faults, errors.New("shop: want a name"))
	}
	if len(o.Cities) == 0 {
		faults = append(faults, errors.New("no cities: want one or more"))
	}
	t := &Traveler{opt: o}
	for _, c := range o.Cities {
		if !isLabel(c.Name()) || t.city(c.Name()) != nil {
			faults = append(faults, fmt.Errorf("city %q: want a name of its own, of a-z, 0-9, - and blanks", c.Title))
		}
		if !c.Prefix.IsValid() || c.Prefix != c.Prefix.Masked() {
			faults = append(faults, fmt.Errorf("city %q: prefix %s: want a network, such as 198.51.100.0/26", c.Title, c.Prefix))
		}
		if len(c.Servers) == 0 {
			faults = append(faults, fmt.Errorf("city %q: no DNS server: want one or more", c.Title))
		}
		t.cities = append(t.cities, newCity(c, o))
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	t.proxy = &httputil.ReverseProxy{
		Rewrite: t.rewrite, Transport: roundTripper(t.travel), ModifyResponse: addBadge, ErrorHandler: t.failed,
		ErrorLog: slog.NewLogLogger(o.Logger.Handler(), slog.LevelDebug),
	}
	return t, nil
}

func newCity(c City, o Options) *city {
	if c.Dial == nil {
		c.Dial = new(net.Dialer).DialContext
	}
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, o.Connect)
		defer cancel()
		return c.Dial(ctx, network, address)
	}
	return &city{
		City:     c,
		resolver: newResolver(o.Shop, c),
		// Without connections that are used again net/http repeats nothing by itself, not even what has an
		// Idempotency-Key.
		transport: &http.Transport{DialContext: dial, DisableKeepAlives: true, DisableCompression: true},
		trouble:   map[netip.Addr]time.Time{},
	}
}

func isLabel(s string) bool {
	for _, r := range s {
		if (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' {
			return false
		}
	}
	return s != "" && len(s) <= 63
}

func (t *Traveler) city(name string) *city {
	i := slices.IndexFunc(t.cities, func(c *city) bool { return c.Name() == name })
	if i < 0 {
		return nil
	}
	return t.cities[i]
}

// hostName is the name in a Host header, without its port.
func hostName(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
}

// home reports whether a name is of the traveler's own pages.
func home(name string) bool {
	ip, err := netip.ParseAddr(name)
	return name == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

// maxBody is how long a request's body may be, in octets: it is kept, for a form that can be sent again.
const maxBody = 256 << 10

// ServeHTTP serves the list of cities and the shop as the cities see it.
func (t *Traveler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := hostName(r.Host)
	label, local := strings.CutSuffix(name, ".localhost")
	c := t.city(label)
	switch {
	case r.Method == http.MethodConnect || r.Header.Get("Upgrade") != "":
		ownHeader(w.Header())
		http.Error(w, "this is not a proxy", http.StatusMethodNotAllowed)
	case home(name):
		t.serveHome(w, r)
	case !local || c == nil:
		ownHeader(w.Header())
		http.Error(w, fmt.Sprintf("host %q: want localhost or one of %s", r.Host, t.names()), http.StatusMisdirectedRequest)
	case strings.HasPrefix(r.URL.Path, ownPath):
		t.serveOwn(w, r, c)
	default:
		t.forward(w, r, c)
	}
}

func (t *Traveler) names() string {
	var names []string
	for _, c := range t.cities {
		names = append(names, c.Name()+".localhost")
	}
	return strings.Join(names, ", ")
}

// trip is what happened to one request.
type trip struct {
	city     *city
	port     string // see page
	body     []byte
	answer   Answer // the last one
	fresh    bool   // was asked for on this trip
	attempts []Attempt
	noAnswer error // why there is no address; nil = there was one
}

// Attempt is one address that was tried.
type Attempt struct {
	Addr  netip.Addr
	Sent  bool // a connection was there, and the request may have got through it
	Took  time.Duration
	Since time.Time // the address has failed from this city since then
	Err   error     // nil = it answered
}

// Reason says for people why the address failed.
func (a Attempt) Reason() string {
	switch {
	case errors.Is(a.Err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(a.Err, syscall.ECONNRESET), errors.Is(a.Err, io.EOF), errors.Is(a.Err, io.ErrUnexpectedEOF):
		return "the connection was lost"
	case statusOf(a.Err) == http.StatusGatewayTimeout:
		return "nobody answered"
	default:
		return a.Err.Error()
	}
}

type tripKey struct{}

func tripOf(r *http.Request) *trip { return r.Context().Value(tripKey{}).(*trip) }

// forward brings a request to the shop.
func (t *Traveler) forward(w http.ResponseWriter, r *http.Request, c *city) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		ownHeader(w.Header())
		http.Error(w, fmt.Sprintf("body: %v: want at most %d octets", err, maxBody), http.StatusRequestEntityTooLarge)
		return
	}
	r = r.WithContext(context.WithValue(r.Context(), tripKey{}, &trip{city: c, port: portOf(r), body: body}))
	r.Body = io.NopCloser(bytes.NewReader(body))
	t.proxy.ServeHTTP(w, r)
}

// rewrite makes the shop's request of the browser's. For a browser that went to the shop itself the shop's name would
// be in Host and Origin; an Origin that is not this page's is left, for the shop to refuse.
func (t *Traveler) rewrite(p *httputil.ProxyRequest) {
	p.Out.URL.Scheme, p.Out.URL.Host = "http", t.opt.Shop
	p.Out.Host = t.opt.Shop
	if u, err := url.Parse(p.In.Header.Get("Origin")); err == nil && u.Host == p.In.Host {
		p.Out.Header.Set("Origin", "http://"+t.opt.Shop)
	}
	p.Out.Header.Del("Referer")
	p.Out.Header.Set("Accept-Encoding", "identity") // the badge is added to text
}

type roundTripper func(*http.Request) (*http.Response, error)

// RoundTrip calls the function.
func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// errNoAddress means that DNS answered without an address.
var errNoAddress = errors.New("DNS answered without an address")

// travel resolves, connects and asks. What is safe goes on to the next address: another one of the same answer, or
// that of a new answer when the old one has expired meanwhile.
func (t *Traveler) travel(r *http.Request) (*http.Response, error) {
	trip := tripOf(r)
	for {
		addr, err := trip.next(r.Context())
		if err != nil {
			return nil, err
		}
		if !addr.IsValid() {
			return nil, trip.attempts[len(trip.attempts)-1].Err
		}
		resp, err := t.attempt(r, trip, addr)
		if err == nil {
			return resp, nil
		}
		if r.Context().Err() != nil || r.Method != http.MethodGet && r.Method != http.MethodHead {
			return nil, err
		}
	}
}

// next returns the next address to try; none = every one that DNS gives was tried.
func (p *trip) next(ctx context.Context) (netip.Addr, error) {
	answer, fresh, err := p.city.resolver.resolve(ctx)
	if err == nil && len(answer.Addrs) == 0 {
		err = fmt.Errorf("%w: %s", errNoAddress, answer.Rcode)
	}
	if err != nil {
		p.noAnswer = err
		return netip.Addr{}, err
	}
	p.answer, p.fresh = answer, p.fresh || fresh
	for _, a := range answer.Addrs {
		if !slices.ContainsFunc(p.attempts, func(t Attempt) bool { return t.Addr == a }) {
			return a, nil
		}
	}
	return netip.Addr{}, nil
}

func (t *Traveler) attempt(r *http.Request, p *trip, addr netip.Addr) (*http.Response, error) {
	start := time.Now()
	var connected atomic.Bool
	ctx, cancel := context.WithTimeout(r.Context(), t.opt.Connect+t.opt.Answer)
	defer cancel()
	out := r.Clone(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { connected.Store(true) },
	}))
	out.URL.Host = netip.AddrPortFrom(addr, t.opt.Port).String()
	out.Body, out.ContentLength = http.NoBody, int64(len(p.body))
	if len(p.body) > 0 {
		out.Body = io.NopCloser(bytes.NewReader(p.body))
	}
	resp, err := p.city.transport.RoundTrip(out)
	if resp != nil && err == nil {
		// A whole page or none: half of one would be shown as if it were all.
		err = readAll(resp)
	}
	since := p.city.note(addr, start, err, r.Context().Err() != nil)
	p.attempts = append(p.attempts, Attempt{Addr: addr, Sent: connected.Load(), Took: time.Since(start), Since: since, Err: err})
	if err != nil {
		return nil, err
	}
	return resp, nil
}

// maxPage is how long an answer may be, in octets.
const maxPage = 8 << 20

// readAll replaces a response's body by its bytes.
func readAll(resp *http.Response) error {
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxPage+1))
	if err == nil && len(body) > maxPage {
		err = fmt.Errorf("answer of more than %d octets", maxPage)
	}
	if err != nil {
		return err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return nil
}

// note remembers since when an address fails, and returns that. What a browser gave up itself says nothing.
func (c *city) note(addr netip.Addr, at time.Time, err error, gaveUp bool) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err == nil:
		delete(c.trouble, addr)
		return time.Time{}
	case gaveUp:
		return at
	}
	if _, known := c.trouble[addr]; !known {
		c.trouble[addr] = at
	}
	return c.trouble[addr]
}

// failed tells a shopper what happened, and when to try again.
func (t *Traveler) failed(w http.ResponseWriter, r *http.Request, err error) {
	p := tripOf(r)
	if r.Context().Err() != nil {
		return // the browser left
	}
	t.opt.Logger.Info("trip", "city", p.city.Name(), "method", r.Method, "path", r.URL.Path, "err", err)
	t.failurePage(w, r, p, statusOf(err))
}

// statusOf tells silence from the rest.
func statusOf(err error) int {
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() || errors.Is(err, context.DeadlineExceeded) {
		return http.StatusGatewayTimeout
	}
	return http.StatusBadGateway
}

// addBadge adds the way that a response came to it: as headers, and on a page as the first part of its badge.
func addBadge(resp *http.Response) error {
	p := tripOf(resp.Request)
	last := p.attempts[len(p.attempts)-1]
	h := resp.Header
	h.Set(headerPrefix+"City", p.city.Name())
	h.Set(headerPrefix+"Address", last.Addr.String())
	h.Set(headerPrefix+"Ttl-Left", strconv.Itoa(p.answer.secondsLeft(time.Now())))
	h.Set(headerPrefix+"Dns", p.answer.Server.String())
	if p.answer.Node != "" {
		h.Set(headerPrefix+"Node", p.answer.Node)
	}
	if !strings.HasPrefix(h.Get("Content-Type"), "text/html") || h.Get("Content-Encoding") != "" || resp.Request.Method == http.MethodHead {
		return nil
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	var badge bytes.Buffer
	if err := pages.ExecuteTemplate(&badge, "badge.html", newBadge(p, time.Now())); err != nil {
		return err
	}
	body = insert(body, badge.Bytes())
	resp.Body = io.NopCloser(bytes.NewReader(body))
	resp.ContentLength = int64(len(body))
	h.Set("Content-Length", strconv.Itoa(len(body)))
	return nil
}

// headerPrefix begins the names of headers that the traveler adds.
const headerPrefix = "Traveler-"

// insert puts a fragment at the beginning of a page's footer, or else at the end of its body.
func insert(page, fragment []byte) []byte {
	const footer, end = "<footer>", "</body>"
	at := bytes.LastIndex(page, []byte(footer))
	if at >= 0 {
		at += len(footer)
	} else if at = bytes.LastIndex(page, []byte(end)); at < 0 {
		return page
	}
	return slices.Concat(page[:at], fragment, page[at:])
}

// secondsLeft is the rest of the answer's time, in full seconds, rounded up; at least 0.
func (a Answer) secondsLeft(now time.Time) int {
	left := a.Expires().Sub(now)
	return int((max(left, 0) + time.Second - 1) / time.Second)
}

// Serve serves a traveler on ln until ctx ends, then lets requests under way finish for a moment. It closes ln. logger
// may be nil.
func Serve(ctx context.Context, ln net.Listener, t *Traveler, logger *slog.Logger) error {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	server := &http.Server{
		Handler: t, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: time.Minute,
		IdleTimeout: 30 * time.Second, MaxHeaderBytes: 32 << 10, ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()
	select {
	case err := <-served:
		return fmt.Errorf("traveler: %w", err)
	case <-ctx.Done():
	}
	leave, cancel := context.WithTimeout(context.Background(), 250*time.Millisecond)
	defer cancel()
	server.Shutdown(leave)
	server.Close()
	<-served
	return nil
}
