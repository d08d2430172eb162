package gossip

import (
	"bytes"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

// MemberState is whether a node can be heard.
type MemberState string

// The member states. A node that is only suspected is still alive.
const (
	Alive  MemberState = "alive"
	Failed MemberState = "failed" // lost without a goodbye
	Left   MemberState = "left"   // said goodbye
)

// Member is what this node knows of one node, itself included.
type Member struct {
	Name       string
	Datacenter string
	Addr       netip.AddrPort
	State      MemberState
	Self       bool
	LastSeen   time.Time     // of a message, or of an answer to a ping
	RTT        time.Duration // of the last answered ping; 0 = none yet
	Meta       []byte        // its Options.Meta
}

const (
	maxMembers = 4096           // kept; of lost ones the longest lost go first
	forgetLost = 24 * time.Hour // lost members are remembered, and tried again, for so long
)

// members is the table of nodes, from memberlist's events. Its lock is taken inside memberlist's, so nothing of
// memberlist is called under it.
type members struct {
	mu   sync.Mutex
	self string
	of   map[string]*entry
}

type entry struct {
	Member
	leaving bool // said goodbye; memberlist reports the departure apart
}

func newMembers(self string) *members { return &members{self: self, of: make(map[string]*entry)} }

// up records that a node is alive, or that its address or metadata changed.
func (m *members) up(n *memberlist.Node) {
	addr, ok := netip.AddrFromSlice(n.Addr)
	if !ok {
		return
	}
	datacenter, meta, _ := decodeMeta(n.Meta)
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.of[n.Name]
	if e == nil {
		m.makeRoom()
		e = &entry{Member: Member{Name: n.Name, Self: n.Name == m.self}}
		m.of[n.Name] = e
	}
	e.Addr, e.Datacenter, e.Meta = netip.AddrPortFrom(addr.Unmap(), n.Port), datacenter, bytes.Clone(meta)
	e.State, e.leaving, e.LastSeen = Alive, false, time.Now()
}

func (m *members) makeRoom() {
	if len(m.of) < maxMembers {
		return
	}
	var oldest *entry
	for _, e := range m.of {
		if e.State != Alive && (oldest == nil || e.LastSeen.Before(oldest.LastSeen)) {
			oldest = e
		}
	}
	if oldest != nil {
		delete(m.of, oldest.Name)
	}
}

func (m *members) down(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e := m.of[name]; e != nil {
		e.State = Failed
		if e.leaving {
			e.State = Left
		}
	}
}

func (m *members) bye(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e := m.of[name]; e != nil && !e.Self {
		e.leaving = true
		if e.State == Failed {
			e.State = Left
		}
	}
}

// heard notes a sign of life; a positive rtt is kept.
func (m *members) heard(name string, rtt time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e := m.of[name]; e != nil {
		e.LastSeen = time.Now()
		if rtt > 0 {
			e.RTT = rtt
		}
	}
}

// forget drops members lost long ago.
func (m *members) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, e := range m.of {
		if e.State != Alive && time.Since(e.LastSeen) > forgetLost {
			delete(m.of, name)
		}
	}
}

// list returns all members, sorted by name.
func (m *members) list() []Member {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make([]Member, 0, len(m.of))
	for _, e := range m.of {
		if e.Self {
			e.LastSeen = time.Now()
		}
		out = append(out, e.Member)
	}
	slices.SortFunc(out, func(a, b Member) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// peer returns another node that is alive.
func (m *members) peer(name string) (Member, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.of[name]
	if e == nil || e.Self || e.State != Alive {
		return Member{}, false
	}
	return e.Member, true
}

// alive counts the nodes that are alive, this one included.
func (m *members) alive() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for _, e := range m.of {
		if e.State == Alive {
			n++
		}
	}
	return n
}

// Metadata is a format byte, the datacenter with a length byte, and Options.Meta.
const metaFormat = 1

func encodeMeta(datacenter string, meta []byte) []byte {
	return append(appendString([]byte{metaFormat}, datacenter), meta...)
}

func decodeMeta(b []byte) (datacenter string, meta []byte, ok bool) {
	if len(b) < 1 || b[0] != metaFormat {
		return "", nil, false
	}
	datacenter, meta, err := takeString(b[1:])
	return datacenter, meta, err == nil
}
