package dnsserver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/bits"
	"net"
	"net/netip"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/meridian-gtm/meridian/dnsserver/rrl"
	"github.com/meridian-gtm/meridian/dnsserver/tap"
	"github.com/meridian-gtm/meridian/dnsserver/wire"
)

// Options of a [Server]. The zero value serves nothing but is otherwise ready for use.
type Options struct {
	// Listen are addresses to serve, UDP and TCP on each. Port 0 takes a free port, the same for both.
	Listen []netip.AddrPort
	// UDP and TCP are sockets that were opened elsewhere. They are served beside Listen, by one goroutine each, and
	// Run closes them.
	UDP []*net.UDPConn
	TCP []net.Listener
	// TakeOver allows for one server of the same user that serves the Listen addresses already, on Linux: both serve
	// them until the old one is stopped, and no query is lost. Without TakeOver such a server is an error. Call Run
	// when there is a snapshot to answer from.
	TakeOver bool

	// ListenTLS are addresses to serve over TLS (RFC 7858), port 853 by convention, with what [Server.SetCertificate]
	// was given. Connections are limited together with those over TCP. Port 0 takes a free port.
	ListenTLS []netip.AddrPort
	// ProxyFrom are the networks of front ends. Every packet and connection from there must begin with a header of the
	// PROXY protocol, version 2, which says who the client is: its address counts for decisions and limits. From
	// elsewhere no header is accepted.
	ProxyFrom []netip.Prefix

	// Answers says how to answer.
	Answers wire.Options

	// Cookies says how server cookies are made (RFC 7873, RFC 9018).
	Cookies CookieOptions

	// RateLimit limits answers over UDP per network of clients that have no valid server cookie. The zero value limits
	// nothing.
	RateLimit rrl.Options

	// LatencySample measures one of so many UDP batches for [Stats.Latency], 1..1,000,000; 0 = none, and at no cost.
	LatencySample int

	// Workers is the number of UDP sockets and goroutines per address, 1..1024; default GOMAXPROCS.
	Workers int

	// MaxConns limits open TCP connections, 1..1,000,000; default 1024. Who comes in excess takes the place of the
	// connection that has gone longest without an answer.
	MaxConns int
	// MaxConnsPerClient limits those of one IPv4 address or IPv6 /64, 1..MaxConns; default 64. Who comes in excess is
	// hung up on.
	MaxConnsPerClient int
	// MaxPipeline limits the queries of one connection that are answered at the same time, 1..256; default 8. Further
	// ones wait in the connection.
	MaxPipeline int
	// IdleTimeout is the time from accept or from the last answer to the end of the next query; default 10 s
	// (RFC 7766 section 6.2.3 wants a few seconds).
	IdleTimeout time.Duration
	// WriteTimeout is the time for a client to take one answer; default 5 s.
	WriteTimeout time.Duration
	// DrainTimeout is how long Run waits at its end for answers that are being sent; default 5 s. A tenth of a second of
	// it, or all if it is less, is for queries that are on their way.
	DrainTimeout time.Duration

	// Tap gets copies of queries and their answers while Run runs, which runs it; nil = none, and at no cost.
	Tap *tap.Tap

	// Logger gets panics, with the query that caused them, and nothing else: sockets that fail are Run's error. nil
	// discards.
	Logger *slog.Logger
}

func (o Options) withDefaults() Options {
	setDefault(&o.Workers, runtime.GOMAXPROCS(0))
	setDefault(&o.MaxConns, 1024)
	setDefault(&o.MaxConnsPerClient, min(64, o.MaxConns))
	setDefault(&o.MaxPipeline, 8)
	setDefault(&o.IdleTimeout, 10*time.Second)
	setDefault(&o.WriteTimeout, 5*time.Second)
	setDefault(&o.DrainTimeout, 5*time.Second)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (o Options) validate() error {
	var errs []error
	for _, addr := range o.Listen {
		if !addr.IsValid() {
			errs = append(errs, errors.New("listen: invalid address: want IP:PORT"))
		}
	}
	for _, addr := range o.ListenTLS {
		if !addr.IsValid() {
			errs = append(errs, errors.New("listen tls: invalid address: want IP:PORT"))
		}
	}
	for _, network := range o.ProxyFrom {
		if !network.IsValid() || network.Addr().Is4In6() {
			errs = append(errs, fmt.Errorf("proxy from: %v: want a network like 192.0.2.0/24 or 2001:db8::/32", network))
		}
	}
	if o.TakeOver && !canShare {
		errs = append(errs, fmt.Errorf("take over: not possible on %s: want linux", runtime.GOOS))
	}
	for _, limit := range []struct {
		name       string
		value, max int
	}{
		{"workers", o.Workers, 1024},
		{"max conns", o.MaxConns, 1_000_000},
		{"max conns per client", o.MaxConnsPerClient, o.MaxConns},
		{"max pipeline", o.MaxPipeline, 256},
	} {
		if limit.value < 1 || limit.value > limit.max {
			errs = append(errs, fmt.Errorf("%s: %d: want 1..%d", limit.name, limit.value, limit.max))
		}
	}
	if o.LatencySample < 0 || o.LatencySample > 1_000_000 {
		errs = append(errs, fmt.Errorf("latency sample: %d: want 0..1000000", o.LatencySample))
	}
	for _, timeout := range []struct {
		name  string
		value time.Duration
	}{
		{"idle timeout", o.IdleTimeout}, {"write timeout", o.WriteTimeout}, {"drain timeout", o.DrainTimeout},
	} {
		if timeout.value < 0 {
			errs = append(errs, fmt.Errorf("%s: %v: want more than 0s", timeout.name, timeout.value))
		}
	}
	errs = append(errs, o.Cookies.Keys.validate())
	return errors.Join(errs...)
}

// Server answers DNS queries. Its methods are safe for concurrent use.
type Server struct {
	opts      Options
	log       *slog.Logger
	responder *wire.Responder // never used itself, only cloned
	snapshot  atomic.Pointer[wire.Snapshot]
	cookies   cookieClock
	rate      *rateLimit // nil: none

	ready chan struct{}
	ran   atomic.Bool // Run or Close was called

	// drainEnd returns the time up to which queries are read once ctx has ended; it is first called then.
	drainEnd func() time.Time

	singly bool // tests read UDP packets one by one

	mu       sync.Mutex // guards the next seven until Run has opened them
	opened   bool
	addrs    []netip.AddrPort
	tlsAddrs []netip.AddrPort
	udp      []*udpSocket
	tcp, dot []net.Listener
	udpAll   []*counters // one per element of udp, merged on read

	overTCP, overTLS *stream

	tls         *tls.Config
	certificate atomic.Pointer[tls.Certificate]
	handshakes  handshakes

	conns  connTable
	turns  atomic.Uint32 // where workers begin
	panics atomic.Uint64
}

// New checks the options and reports every fault. It opens nothing: see [Server.Listen].
func New(o Options) (*Server, error) {
	o = o.withDefaults()
	responder, err := wire.NewResponder(o.Answers)
	rate, rateErr := newRateLimit(o.RateLimit)
	if err := errors.Join(o.validate(), err, rateErr); err != nil {
		return nil, err
	}
	s := &Server{
		opts: o, log: o.Logger, responder: responder, rate: rate,
		ready: make(chan struct{}),
		conns: newConnTable(o.MaxConns, o.MaxConnsPerClient),
	}
	s.cookies.begin(o.Cookies)
	s.overTCP, s.overTLS, s.tls = s.newStream(wire.TCP), s.newStream(wire.DoT), s.newTLS()
	s.drainEnd = sync.OnceValue(func() time.Time { return time.Now().Add(s.drainTime()) })
	return s, nil
}

// Store makes snap the state that queries are answered from. snap must not be nil or change afterwards.
func (s *Server) Store(snap *wire.Snapshot) { s.snapshot.Store(snap) }

// Snapshot returns the state that queries are answered from, or nil before the first Store.
func (s *Server) Snapshot() *wire.Snapshot { return s.snapshot.Load() }

// SetCookieKeys replaces what server cookies are made with. The error names keys that are too short; then nothing
// changes.
func (s *Server) SetCookieKeys(k CookieKeys) error {
	if err := k.validate(); err != nil {
		return err
	}
	s.cookies.setKeys(k)
	return nil
}

// Ready is closed once Run serves every socket.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// Addrs returns the addresses served, in the order of Options.Listen and then of Options.UDP, with the ports that
// were taken. It is empty before Listen.
func (s *Server) Addrs() []netip.AddrPort {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.addrs)
}

// TLSAddrs returns the addresses of Options.ListenTLS, as Addrs does.
func (s *Server) TLSAddrs() []netip.AddrPort {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.tlsAddrs)
}

// Run serves until ctx ends, then stops reading, lets answers that are being sent go out for at most
// Options.DrainTimeout, closes every socket and returns nil. It returns an error when a socket cannot be opened or
// fails. It can be called once.
func (s *Server) Run(ctx context.Context) error {
	if s.ran.Swap(true) {
		return errors.New("dns server: run twice, or after close")
	}
	if err := s.listen(); err != nil {
		return err
	}
	// kill ends what draining does not.
	kill, killNow := context.WithCancel(context.WithoutCancel(ctx))
	defer killNow()
	defer s.runTap(context.WithoutCancel(ctx))()
	group, ctx := errgroup.WithContext(ctx)
	context.AfterFunc(ctx, func() {
		timer := time.NewTimer(s.opts.DrainTimeout)
		defer timer.Stop()
		select {
		case <-timer.C:
			killNow()
		case <-kill.Done():
		}
	})
	for i, socket := range s.udp {
		w := s.newWorker(s.udpAll[i], wire.UDP)
		w.rate = s.rate
		w.proxies = s.opts.ProxyFrom
		w.tap = s.opts.Tap.NewFeed().NewPoint(socket.localAddr())
		group.Go(func() error { return s.serveUDP(ctx, socket, &w) })
	}
	for _, listener := range s.tcp {
		group.Go(func() error { return s.serveTCP(ctx, kill, listener, s.overTCP) })
	}
	for _, listener := range s.dot {
		group.Go(func() error { return s.serveTCP(ctx, kill, listener, s.overTLS) })
	}
	if !s.opts.Cookies.Off {
		group.Go(func() error { return s.cookies.run(ctx) })
	}
	if s.rate != nil {
		group.Go(func() error { return s.rate.run(ctx) })
	}
	if s.opts.TakeOver {
		for _, listener := range slices.Concat(s.tcp[:len(s.opts.Listen)], s.dot) {
			if err := wantConnections(listener.(*net.TCPListener)); err != nil {
				group.Go(func() error { return fmt.Errorf("take over %s: %w", listener.Addr(), err) })
			}
		}
	}
	close(s.ready)
	group.Go(func() error { <-ctx.Done(); return nil }) // a server without sockets runs, too
	return group.Wait()
}

// runTap runs the tap until the function that it returns is called.
func (s *Server) runTap(ctx context.Context) (stop func()) {
	if s.opts.Tap == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { s.opts.Tap.Run(ctx) })
	return func() {
		cancel()
		running.Wait()
	}
}

// drainTime is how long queries are read after the end was decided, so that those under way are answered: packets that
// the kernel was about to hand over, handshakes that it had begun, and first queries on new connections. That takes a
// network's round trip.
const drainTime = 100 * time.Millisecond

func (s *Server) drainTime() time.Duration { return min(drainTime, s.opts.DrainTimeout) }

// worker answers the queries of one goroutine.
type worker struct {
	server    *Server
	responder *wire.Responder
	counters  *counters
	transport wire.Transport
	turn      uint32
	rate      *rateLimit // nil: none
	proxies   proxies    // UDP: whose packets begin with a header
	sampler   sampler
	tap       *tap.Point // nil: none

	// respond is responder.Respond.
	respond func(*wire.Snapshot, *wire.Cookies, []byte, netip.AddrPort, wire.Transport, uint32, []byte) ([]byte, wire.Meta)
}

func (s *Server) newWorker(c *counters, tr wire.Transport) worker {
	r := s.responder.Clone()
	return worker{
		server: s, responder: r, counters: c, transport: tr, turn: s.turns.Add(turnStep), respond: r.Respond,
		sampler: newSampler(s.opts.LatencySample),
	}
}

// begin says that the queries to come were read together.
func (w *worker) begin() {
	if w.tap != nil {
		w.tap.Begin()
	}
}

// turnStep is 2^32 divided by the golden ratio. A plain count would give a client that asks A and AAAA in turn every
// other number, and so one order of two addresses for ever; the upper bits of this sequence are evenly spread for
// such clients, too.
const turnStep = 0x9e3779b9

// answer returns the answer to req from snap, written into out; nil means silence.
func (w *worker) answer(
	snap *wire.Snapshot, cookies *wire.Cookies, req []byte, client netip.AddrPort, out []byte,
) (answer []byte) {
	defer func() {
		if v := recover(); v != nil {
			answer = w.responder.ServFail(req, out)
			w.panicked(v, req)
		}
	}()
	w.turn += turnStep
	answer, m := w.respond(snap, cookies, req, client, w.transport, w.turn>>16, out)
	w.counters.count(answer != nil, &m)
	if w.rate != nil && answer != nil && m.Cookie != wire.CookieValid {
		answer = w.rate.limit(w.counters, answer, client.Addr(), m.Cookie, w.turn>>16)
	}
	if w.tap != nil && w.tap.Next() {
		w.tap.Take(req, answer, client, w.responder.Subnet(), w.transport, &m)
	}
	return answer
}

// panicked counts a panic and logs the first, second, fourth and so on: a client that knows how to cause one must
// not fill the log.
func (w *worker) panicked(v any, req []byte) {
	n := w.server.panics.Add(1)
	w.counters.count(true, &wire.Meta{Rcode: rcodeServFail})
	if bits.OnesCount64(n) == 1 {
		w.server.log.Error("query caused a panic", "panic", fmt.Sprint(v), "panics", n,
			"query", fmt.Sprintf("%x", req), "stack", string(debug.Stack()))
	}
}
