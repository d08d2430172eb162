package world

import (
	"context"
	"math/rand/v2"
	"net"
	"sync"
	"syscall"
	"time"
)

// connectPatience is when a connection attempt that nobody answers ends by itself, as after Linux's six SYNs.
const connectPatience = 127 * time.Second

// Network is what lies between the sites: the one place where faults act. It is safe for concurrent use.
type Network struct {
	rtt  RoundTrips
	real map[string]string // address as DNS names it -> where it is bound
	vips map[string]*vip   // by both addresses

	mu     sync.RWMutex
	faults Faults
	news   chan struct{} // closed and replaced when a fault or a VIP changes
	ended  chan struct{} // closed at the end of the world

	rngMu sync.Mutex
	rng   *rand.Rand
}

func newNetwork(rtt RoundTrips, seed uint64) *Network {
	return &Network{
		rtt: rtt, real: map[string]string{}, vips: map[string]*vip{},
		news: make(chan struct{}), ended: make(chan struct{}), rng: rand.New(rand.NewPCG(seed, seed)),
	}
}

// Dialer returns the dial function of somebody at a site: a node's probes, a traveler, a director. Addresses are
// those that DNS gives; where they are bound elsewhere the network knows. A connection to a VIP takes one modelled
// round trip to open. One to a VIP that does not answer, or over a cut path, hangs until that changes or ctx ends.
// Addresses outside the world are dialed as they are.
func (n *Network) Dialer(from string) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if err := n.approach(ctx, from, address); err != nil {
			return nil, &net.OpError{Op: "dial", Net: network, Addr: textAddr{network, address}, Err: err}
		}
		if real, ok := n.real[address]; ok {
			address = real
		}
		var d net.Dialer
		return d.DialContext(ctx, network, address)
	}
}

// approach takes the time that it takes to get an answer from address, which may be for ever.
func (n *Network) approach(ctx context.Context, from, address string) error {
	v := n.vips[address]
	if v == nil {
		return nil
	}
	if err := pause(ctx, n.rtt.Between(from, v.site)); err != nil {
		return err
	}
	// A context alone does not end every wait: http.Transport dials on without its request's.
	patience := time.NewTimer(connectPatience)
	defer patience.Stop()
	for {
		news := n.nextNews()
		if !n.pathCut(from, v.site) && !v.dark() {
			return nil
		}
		select {
		case <-news: // the next SYN may get through
		case <-ctx.Done():
			return ctx.Err()
		case <-patience.C:
			return syscall.ETIMEDOUT
		case <-n.ended:
			return syscall.ENETDOWN
		}
	}
}

// GossipAllowed reports whether a packet from a node of one datacenter reaches a node of another.
func (n *Network) GossipAllowed(from, to string) bool {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return !n.faults.GossipCut(from, to)
}

// NodeFault reports whether the traffic manager node of a site has a fault of the given kind.
func (n *Network) NodeFault(kind Kind, site string) bool {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.faults.Node(kind, site)
}

func (n *Network) pathCut(from, to string) bool {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.faults.PathCut(from, to)
}

func (n *Network) failing(site string) bool {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.faults.Failing(site)
}

// hold is how long the border of a site holds back the bytes that just arrived.
func (n *Network) hold(site string) time.Duration {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.faults.Hold(site, func() float64 {
		n.rngMu.Lock()
		defer n.rngMu.Unlock()
		return n.rng.Float64()
	})
}

// look calls fn with the faults as they are.
func (n *Network) look(fn func(*Faults)) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	fn(&n.faults)
}

// change calls fn to change the faults and tells everybody who waits for news.
func (n *Network) change(fn func(*Faults)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	fn(&n.faults)
	n.tell()
}

// poke makes everybody who waits for news look again.
func (n *Network) poke() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.tell()
}

func (n *Network) tell() {
	close(n.news)
	n.news = make(chan struct{})
}

// nextNews is closed when something changes after this call: ask for it first, then look.
func (n *Network) nextNews() <-chan struct{} {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.news
}

// pause waits for d or the end of ctx, whose error it returns.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// textAddr is an address as somebody wrote it.
type textAddr struct{ network, address string }

func (a textAddr) Network() string { return a.network }
func (a textAddr) String() string  { return a.address }
