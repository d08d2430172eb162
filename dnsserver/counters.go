package dnsserver

import (
	"maps"
	"math/bits"
	"strconv"
	"sync/atomic"

	"github.com/miekg/dns"

	"github.com/meridian-gtm/meridian/dnsserver/steer"
	"github.com/meridian-gtm/meridian/dnsserver/wire"
)

const rcodeServFail = dns.RcodeServerFailure

// Types and RCODEs up to these are counted one by one, the rest together.
const (
	maxCountedType  = dns.TypeCAA // 257, the last in common use
	maxCountedRcode = dns.RcodeBadCookie
	causes          = int(steer.CauseNoFamily) + 1
	cookieStatuses  = int(wire.CookieValid) + 1
)

// counters are written by one goroutine (UDP) or, when shared, by all connections (TCP), and read by anybody.
type counters struct {
	shared bool

	silent, truncated, edns, ecs, slow atomic.Uint64
	readErrors, writeErrors            atomic.Uint64
	rateDropped, rateTruncated         atomic.Uint64
	proxyAccepted, proxyMalformed      atomic.Uint64
	proxyUntrusted, rateBadCookie      atomic.Uint64
	latency                            latency

	types  [maxCountedType + 2]atomic.Uint64
	rcodes [maxCountedRcode + 2]atomic.Uint64

	cookies [cookieStatuses]atomic.Uint64 // CookieNone is not counted: it is the rest

	// services is replaced when a service is first seen; their number is that of the configuration.
	services atomic.Pointer[map[string]*serviceCounters]

	// The service counted last, for the one writer.
	lastName string
	last     *serviceCounters
}

// serviceCounters count one service's answers.
type serviceCounters struct {
	causes [causes]atomic.Uint64
	ecs    atomic.Uint64
	sites  atomic.Pointer[siteCounters]
}

// siteCounters count answers by site. They are replaced when a plan has other sites for the service.
type siteCounters struct {
	of     *steer.SiteNames
	counts []*atomic.Uint64 // by bit of wire.Meta.Sites
	all    map[string]*atomic.Uint64
}

// otherSites counts the sites that a plan does not tell apart.
const otherSites = "other"

// bySite returns the counters for a plan's sites. Counts of sites that are no more stay: they never go back.
func (s *serviceCounters) bySite(names *steer.SiteNames) *siteCounters {
	for {
		old := s.sites.Load()
		if old != nil && old.of == names {
			return old
		}
		grown := &siteCounters{of: names, all: map[string]*atomic.Uint64{}}
		if old != nil {
			maps.Copy(grown.all, old.all)
		}
		for i, name := range (*names)[:min(len(*names), steer.MaxSites)] {
			if i == steer.MaxSites-1 && len(*names) > steer.MaxSites {
				name = otherSites
			}
			if grown.all[name] == nil {
				grown.all[name] = new(atomic.Uint64)
			}
			grown.counts = append(grown.counts, grown.all[name])
		}
		if s.sites.CompareAndSwap(old, grown) {
			return grown
		}
	}
}

func newCounters(shared bool) *counters {
	c := &counters{shared: shared}
	c.services.Store(&map[string]*serviceCounters{})
	return c
}

// bump adds one. Without other writers there is no need to lock the memory for it, which costs as much as all the rest.
func (c *counters) bump(n *atomic.Uint64) {
	if c.shared {
		n.Add(1)
		return
	}
	n.Store(n.Load() + 1)
}

// count takes account of one query.
func (c *counters) count(answered bool, m *wire.Meta) {
	if !answered {
		c.bump(&c.silent)
		return
	}
	c.bump(&c.types[min(m.Qtype, maxCountedType+1)])
	c.bump(&c.rcodes[min(m.Rcode, maxCountedRcode+1)])
	if m.EDNS {
		c.bump(&c.edns)
	}
	if m.Cookie != wire.CookieNone {
		c.bump(&c.cookies[min(int(m.Cookie), cookieStatuses-1)])
	}
	if m.Truncated {
		c.bump(&c.truncated)
	}
	if m.Slow {
		c.bump(&c.slow)
	}
	if m.Service == "" {
		return
	}
	s := c.service(m.Service)
	c.bump(&s.causes[min(int(m.Cause), causes-1)])
	if m.ECS {
		c.bump(&c.ecs)
		c.bump(&s.ecs)
	}
	if m.Sites == 0 {
		return
	}
	by := s.bySite(m.SiteNames)
	for left := m.Sites; left != 0; left &= left - 1 {
		c.bump(by.counts[bits.TrailingZeros64(left)])
	}
}

// service returns a service's counters, making them when it is new.
func (c *counters) service(name string) *serviceCounters {
	if c.shared {
		return c.findService(name)
	}
	if c.last == nil || c.lastName != name {
		c.lastName, c.last = name, c.findService(name)
	}
	return c.last
}

func (c *counters) findService(name string) *serviceCounters {
	for {
		old := c.services.Load()
		if s := (*old)[name]; s != nil {
			return s
		}
		grown := maps.Clone(*old)
		s := &serviceCounters{}
		grown[name] = s
		if c.services.CompareAndSwap(old, &grown) {
			return s
		}
	}
}

// Stats are counts since the server was made.
type Stats struct {
	UDP, TCP TrafficStats
	DoT      TrafficStats // over TLS
	TLS      HandshakeStats
	Conns    ConnStats
	Services map[string]ServiceStats
	Latency  Latency // of UDP, sampled: see Options.LatencySample
	Panics   uint64  // queries that made the server panic; they got SERVFAIL
}

// TrafficStats are counts of one transport.
type TrafficStats struct {
	Types   map[string]uint64 // queries answered, by type: "A", ..., "none" (no question could be read), "other"
	Rcodes  map[string]uint64 // queries answered, by RCODE: "NOERROR", ..., "other"
	Cookies CookieStats

	Silent      uint64 // packets that were no query, and got no answer
	Truncated   uint64 // answers with TC
	EDNS        uint64 // queries with EDNS(0)
	ECS         uint64 // answers decided by a client subnet
	Slow        uint64 // answers that were not compiled when the zones were loaded
	ReadErrors  uint64 // failed reads and accepts
	WriteErrors uint64 // answers that could not be sent

	RateDropped   uint64 // answers over Options.RateLimit that were not sent
	RateTruncated uint64 // answers over Options.RateLimit that were sent without content
	RateBadCookie uint64 // the same with a server cookie, to clients that had sent a cookie

	ProxyAccepted  uint64 // PROXY headers of Options.ProxyFrom
	ProxyMalformed uint64 // packets and connections from there that were dropped because they do not begin with one
	ProxyUntrusted uint64 // such as were dropped because they begin with one and come from elsewhere
}

// CookieStats are counts of queries answered, by their cookie.
type CookieStats struct {
	None    uint64 // without one, or with a malformed one
	Client  uint64 // with a client cookie alone
	Invalid uint64 // with a server cookie that is not ours, not this client's, or too old
	Valid   uint64
}

// Answered returns the number of queries answered.
func (t TrafficStats) Answered() (n uint64) {
	for _, v := range t.Rcodes {
		n += v
	}
	return n
}

// HandshakeStats are counts of TLS handshakes.
type HandshakeStats struct {
	Full    uint64
	Resumed uint64 // of earlier sessions: cheap
	Failed  uint64 // or not done within Options.IdleTimeout
}

// handshakes count what HandshakeStats report.
type handshakes struct{ full, resumed, failed atomic.Uint64 }

// ConnStats are counts of connections, over TCP and TLS.
type ConnStats struct {
	Open           int
	Accepted       uint64
	Displaced      uint64 // closed for a newcomer, at Options.MaxConns
	RejectedClient uint64 // over Options.MaxConnsPerClient
}

// ServiceStats are counts of one steered service.
type ServiceStats struct {
	Policy   uint64 // answers by policy over available sites
	AllDown  uint64 // answers by the all-down policy
	NoFamily uint64 // NODATA: no site has the address family
	ECS      uint64 // of all these, decided by a client subnet

	Sites map[string]uint64 // answers that name a site; of more than 64 sites the last count as "other"
}

// Stats merges the counters of all goroutines. Counts of queries in progress may be half in.
func (s *Server) Stats() Stats {
	st := Stats{Panics: s.panics.Load(), Services: map[string]ServiceStats{}}
	s.mu.Lock()
	udp := s.udpAll
	s.mu.Unlock()
	st.UDP, st.TCP, st.DoT = newTrafficStats(), newTrafficStats(), newTrafficStats()
	for _, c := range udp {
		c.addTo(&st.UDP, st.Services)
		c.latency.addTo(&st.Latency)
	}
	s.overTCP.counters.addTo(&st.TCP, st.Services)
	s.overTLS.counters.addTo(&st.DoT, st.Services)
	st.TLS = HandshakeStats{s.handshakes.full.Load(), s.handshakes.resumed.Load(), s.handshakes.failed.Load()}
	s.conns.mu.Lock()
	st.Conns = s.conns.stats
	s.conns.mu.Unlock()
	return st
}

func newTrafficStats() TrafficStats {
	return TrafficStats{Types: map[string]uint64{}, Rcodes: map[string]uint64{}}
}

func (c *counters) addTo(t *TrafficStats, services map[string]ServiceStats) {
	for i := range c.types {
		if n := c.types[i].Load(); n > 0 {
			t.Types[typeName(i)] += n
		}
	}
	// Read before the response codes, which are written first, so that None is not below 0.
	client, invalid := c.cookies[wire.CookieClient].Load(), c.cookies[wire.CookieInvalid].Load()
	valid := c.cookies[wire.CookieValid].Load()
	t.Cookies.Client += client
	t.Cookies.Invalid += invalid
	t.Cookies.Valid += valid
	t.Cookies.None -= client + invalid + valid
	for i := range c.rcodes {
		if n := c.rcodes[i].Load(); n > 0 {
			t.Rcodes[rcodeName(i)] += n
			t.Cookies.None += n
		}
	}
	t.Silent += c.silent.Load()
	t.Truncated += c.truncated.Load()
	t.EDNS += c.edns.Load()
	t.ECS += c.ecs.Load()
	t.Slow += c.slow.Load()
	t.ReadErrors += c.readErrors.Load()
	t.WriteErrors += c.writeErrors.Load()
	t.RateDropped += c.rateDropped.Load()
	t.RateTruncated += c.rateTruncated.Load()
	t.RateBadCookie += c.rateBadCookie.Load()
	t.ProxyAccepted += c.proxyAccepted.Load()
	t.ProxyMalformed += c.proxyMalformed.Load()
	t.ProxyUntrusted += c.proxyUntrusted.Load()
	for name, from := range *c.services.Load() {
		to := services[name]
		to.Policy += from.causes[steer.CausePolicy].Load()
		to.AllDown += from.causes[steer.CauseAllDown].Load()
		to.NoFamily += from.causes[steer.CauseNoFamily].Load()
		to.ECS += from.ecs.Load()
		if by := from.sites.Load(); by != nil {
			if to.Sites == nil {
				to.Sites = map[string]uint64{}
			}
			for site, n := range by.all {
				to.Sites[site] += n.Load()
			}
		}
		services[name] = to
	}
}

// typeName returns the type's mnemonic; types without one are counted together, so that metrics stay few.
func typeName(t int) string {
	if t == int(dns.TypeNone) {
		return "none"
	}
	if name, ok := dns.TypeToString[uint16(t)]; ok && t <= int(maxCountedType) {
		return name
	}
	return "other"
}

func rcodeName(rcode int) string {
	switch {
	case rcode > maxCountedRcode:
		return "other"
	case rcode == dns.RcodeBadVers:
		return "BADVERS" // the library knows 16 by its TSIG name
	}
	if name, ok := dns.RcodeToString[rcode]; ok {
		return name
	}
	return strconv.Itoa(rcode)
}
