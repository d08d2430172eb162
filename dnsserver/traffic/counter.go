package traffic

import (
	"cmp"
	"net/netip"
	"strings"
	"time"
)

// How many keys each of the two windows holds.
const (
	maxNames   = 1024
	maxTypes   = 128
	maxClients = 4096
	maxDemands = 16384
)

// Client networks are no longer than this: the lengths that answers may depend on, which are also the most that
// RFC 7871 section 11.1 has resolvers reveal.
const (
	clientBitsV4 = 24
	clientBitsV6 = 48
)

// Network returns the client network that an address of so many known bits is counted under.
func Network(a netip.Addr, bits int) netip.Prefix {
	a = a.Unmap().WithZone("")
	most := clientBitsV4
	if a.Is6() {
		most = clientBitsV6
	}
	p, _ := a.Prefix(min(bits, most)) // which either family has
	return p
}

// Query is one query of the sample.
type Query struct {
	Name    string
	Type    string
	Client  netip.Prefix // see [Network]
	Service string       // "" when no service decided the answer
}

// Demand is a client network that asks a service.
type Demand struct {
	Service string
	Client  netip.Prefix
}

// Counter counts queries of the last one to two windows. It serves one goroutine at a time.
type Counter struct {
	window  time.Duration
	seed    uint64
	current window
	past    window
}

// window is what was counted from begin on.
type window struct {
	begin   time.Time
	names   *Summary[string]
	types   *Summary[string]
	clients *Summary[netip.Prefix]
	demands *Summary[Demand]
}

func newWindow(begin time.Time, seed uint64) window {
	return window{
		begin: begin,
		names: NewSummary[string](maxNames, seed), types: NewSummary[string](maxTypes, seed),
		clients: NewSummary[netip.Prefix](maxClients, seed), demands: NewSummary[Demand](maxDemands, seed),
	}
}

// NewCounter begins to count. The seed should be nobody's to guess.
func NewCounter(span time.Duration, now time.Time, seed uint64) *Counter {
	return &Counter{window: span, seed: seed, current: newWindow(now, seed), past: newWindow(now, seed)}
}

// advance begins a new window when the current one is over. A clock that goes back does nothing.
func (c *Counter) advance(now time.Time) {
	over := now.Sub(c.current.begin) / c.window
	if over < 1 {
		return
	}
	begin := c.current.begin.Add(over * c.window)
	c.past = c.current
	if over > 1 { // in the one before this nobody asked
		c.past = newWindow(begin.Add(-c.window), c.seed)
	}
	c.current = newWindow(begin, c.seed)
}

// Add counts a query.
func (c *Counter) Add(q Query, now time.Time) {
	c.advance(now)
	w := &c.current
	w.names.Add(q.Name)
	w.types.Add(q.Type)
	w.clients.Add(q.Client)
	if q.Service != "" {
		w.demands.Add(Demand{q.Service, q.Client})
	}
}

// Report is what was counted since a time.
type Report[K comparable] struct {
	Since  time.Time
	Total  uint64     // keys counted, those that are not listed included
	Counts []Count[K] // the largest first
	// Estimated says that there were more keys than there is room for: small counts are estimates.
	Estimated bool
}

func report[K comparable](since time.Time, past, current *Summary[K], compare func(K, K) int) Report[K] {
	return Report[K]{
		Since: since, Total: past.Total() + current.Total(), Counts: merge(past, current, compare),
		Estimated: past.Full() || current.Full(),
	}
}

// Names counts by name.
func (c *Counter) Names(now time.Time) Report[string] {
	c.advance(now)
	return report(c.past.begin, c.past.names, c.current.names, strings.Compare)
}

// Types counts by query type.
func (c *Counter) Types(now time.Time) Report[string] {
	c.advance(now)
	return report(c.past.begin, c.past.types, c.current.types, strings.Compare)
}

// Clients counts by client network.
func (c *Counter) Clients(now time.Time) Report[netip.Prefix] {
	c.advance(now)
	return report(c.past.begin, c.past.clients, c.current.clients, netip.Prefix.Compare)
}

// Demands counts by service and client network.
func (c *Counter) Demands(now time.Time) Report[Demand] {
	c.advance(now)
	return report(c.past.begin, c.past.demands, c.current.demands, func(a, b Demand) int {
		return cmp.Or(strings.Compare(a.Service, b.Service), a.Client.Compare(b.Client))
	})
}
