package gossip

import (
	"net/netip"
	"sync"
)

// Direction is a way of a link, seen from this node.
type Direction uint8

// The directions.
const (
	Out  Direction = 1
	In   Direction = 2
	Both Direction = Out | In
)

// Faults cuts links between this node and chosen peers, for drills and tests. The zero value and a nil *Faults cut
// nothing. It is safe for concurrent use, and may be changed while a Gossip uses it.
//
// A packet is stopped in the direction that is cut. A stream needs both directions, so it is refused when either is
// cut. An inbound stream shows its peer's address but not its port: between nodes that share one IP address, cut
// both ends.
type Faults struct {
	mu   sync.RWMutex
	cuts map[netip.AddrPort]Direction
}

// Cut stops what goes to or comes from a peer's gossip address, and nothing else of that link: it replaces what was
// cut there before. Direction 0 heals.
func (f *Faults) Cut(peer netip.AddrPort, d Direction) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.cuts == nil {
		f.cuts = make(map[netip.AddrPort]Direction)
	}
	if d == 0 {
		delete(f.cuts, plain(peer))
		return
	}
	f.cuts[plain(peer)] = d
}

// Heal undoes every cut.
func (f *Faults) Heal() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.cuts)
}

// cut reports whether any of d is cut towards peer.
func (f *Faults) cut(peer netip.AddrPort, d Direction) bool {
	if f == nil {
		return false
	}
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.cuts[plain(peer)]&d != 0
}

// cutFrom reports whether some peer with address ip is cut.
func (f *Faults) cutFrom(ip netip.Addr) bool {
	if f == nil {
		return false
	}
	f.mu.RLock()
	defer f.mu.RUnlock()
	for peer := range f.cuts {
		if peer.Addr() == ip.Unmap() {
			return true
		}
	}
	return false
}

// plain makes an IPv4 address in IPv6 form the IPv4 address.
func plain(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }
