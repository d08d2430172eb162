package gossip

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/meridian-gtm/meridian/replication"
)

// memoryNet is a network in memory: every packet takes some time, some are lost, some come twice.
type memoryNet struct {
	mu    sync.Mutex
	nodes map[string]*memoryTransport
	rng   *rand.Rand
	loss  float64
	twice float64
	delay time.Duration // at most
}

type memoryTransport struct {
	net     *memoryNet
	addr    netip.AddrPort
	packets chan *memberlist.Packet
	streams chan net.Conn
	done    chan struct{}
	once    sync.Once
}

func (n *memoryNet) transport(addr netip.AddrPort) *memoryTransport {
	t := &memoryTransport{
		net: n, addr: addr, packets: make(chan *memberlist.Packet, 64), streams: make(chan net.Conn), done: make(chan struct{}),
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.nodes[addr.String()] = t
	return t
}

func (t *memoryTransport) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	return t.addr.Addr().AsSlice(), int(t.addr.Port()), nil
}

func (t *memoryTransport) WriteTo(b []byte, addr string) (time.Time, error) {
	n := t.net
	n.mu.Lock()
	defer n.mu.Unlock()
	to := n.nodes[addr]
	copies := 1
	if n.rng.Float64() < n.loss {
		copies = 0
	} else if n.rng.Float64() < n.twice {
		copies = 2
	}
	for range copies {
		if to == nil {
			break
		}
		p := &memberlist.Packet{Buf: append([]byte(nil), b...), From: net.UDPAddrFromAddrPort(t.addr)}
		time.AfterFunc(rand.N(n.delay), func() {
			p.Timestamp = time.Now()
			select {
			case to.packets <- p:
			default: // a full socket buffer
			}
		})
	}
	return time.Now(), nil
}

func (t *memoryTransport) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	t.net.mu.Lock()
	to := t.net.nodes[addr]
	t.net.mu.Unlock()
	if to == nil {
		return nil, errors.New("no such node")
	}
	ours, theirs := net.Pipe()
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case to.streams <- memoryConn{theirs, t.addr}:
		return memoryConn{ours, to.addr}, nil
	case <-to.done:
		return nil, errors.New("connect refused")
	case <-timer.C:
		return nil, errors.New("timeout")
	}
}

type memoryConn struct {
	net.Conn
	peer netip.AddrPort
}

func (c memoryConn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.peer) }

func (t *memoryTransport) PacketCh() <-chan *memberlist.Packet { return t.packets }
func (t *memoryTransport) StreamCh() <-chan net.Conn           { return t.streams }
func (t *memoryTransport) Shutdown() error                     { t.once.Do(func() { close(t.done) }); return nil }

// nine starts nine nodes in three datacenters in memory, with the WAN profile.
func nine(t *testing.T) *fleet {
	seed := rand.Uint64()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("seed of the network %d; memberlist draws its own numbers", seed)
		}
	})
	network := &memoryNet{
		nodes: map[string]*memoryTransport{}, rng: rand.New(rand.NewPCG(seed, 1)),
		loss: 0.2, twice: 0.05, delay: 150 * time.Millisecond,
	}
	f := &fleet{t: t}
	for i := range 9 {
		addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)}), 7946)
		f.start(Options{
			Name: fmt.Sprintf("node-%d", i+1), Datacenter: fmt.Sprintf("dc-%d", i/3+1), Bind: addr,
			Seeds: []string{"192.0.2.1:7946", "192.0.2.4:7946", "192.0.2.7:7946"}, Keyring: [][]byte{testKey},
			Transport: network.transport(addr),
		})
	}
	return f
}

// One digest from one node is enough for both to hold all: nothing else of the protocol helps here.
func TestOneExchange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := &memoryNet{nodes: map[string]*memoryTransport{}, rng: rand.New(rand.NewPCG(1, 1)), delay: time.Millisecond}
		f := &fleet{t: t}
		for i, name := range []string{"a", "b"} {
			addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)}), 7946)
			f.start(Options{Name: name, Datacenter: "dc", Bind: addr, Seeds: []string{"192.0.2.1:7946"},
				Keyring: [][]byte{testKey}, Transport: network.transport(addr)})
		}
		a, b := f.nodes[0], f.nodes[1]
		f.until("join", 3*time.Second, alive(2, a, b))
		quiet := func(n *node, records ...replication.Record) { // merged, but not published
			n.View(func(s *replication.State) {
				for _, r := range records {
					if outcome, err := s.Merge(r, time.Now()); outcome != replication.Changed {
						t.Fatal(outcome, err)
					}
				}
			})
		}
		quiet(a, drain(t, "only-a", "a", 1), drain(t, "newer-a", "a", 9), drain(t, "newer-b", "a", 1))
		quiet(b, drain(t, "only-b", "b", 1), drain(t, "newer-a", "b", 1), drain(t, "newer-b", "b", 9))
		quiet(b, evidence(t, "b", 1, replication.MaxBodyBytes))

		before := a.g.Stats().Exchanges + b.g.Stats().Exchanges
		start := time.Now()
		if !a.g.send("b", a.g.digest()) {
			t.Fatal("not sent")
		}
		f.until("both hold all", time.Second, equal(a, b))
		if _, n := a.digest(); n != 5 {
			t.Errorf("%d records, want 5", n)
		}
		if a.g.Stats().Exchanges+b.g.Stats().Exchanges != before {
			t.Errorf("after %s another exchange helped", time.Since(start))
		}
		f.stop()
		time.Sleep(time.Minute)
	})
}

// A fleet across a bad WAN: a fifth of the packets is lost. What is published is everywhere in 30 s.
func TestLossyNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := nine(t)
		f.until("join", 30*time.Second, alive(9, f.nodes...))
		for round := range uint64(5) {
			for i, n := range f.nodes {
				n.put(t, evidence(t, n.opts.Name, round+1, 100+(i%3)*1500))
			}
			f.nodes[round].put(t, drain(t, fmt.Sprintf("site-%d", round), f.nodes[round].opts.Name, 1))
			took := f.until("everywhere", 30*time.Second, equal(f.nodes...))
			t.Logf("round %d: %s", round+1, took)
		}
		f.stop()
		time.Sleep(time.Minute) // until the last timers of memberlist have run out
	})
}

// A datacenter is cut off for so long that memberlist has forgotten everybody on the other side. Within 30 s of
// the heal all members are back and all records are equal, though only one node of each datacenter is a seed.
func TestLongPartition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := nine(t)
		f.until("join", 30*time.Second, alive(9, f.nodes...))
		for _, a := range f.nodes[:6] {
			for _, b := range f.nodes[6:] {
				cut(a, b)
			}
		}
		f.until("apart", 3*time.Minute, func() bool { return alive(6, f.nodes[:6]...)() && alive(3, f.nodes[6:]...)() })
		time.Sleep(2 * f.nodes[0].g.pace.toTheDead)
		f.nodes[0].put(t, drain(t, "fra", "node-1", 1))
		f.nodes[8].put(t, drain(t, "fra", "node-9", 2)) // about the same site: the later one wins
		f.nodes[8].put(t, evidence(t, "node-9", 1, 20_000))
		f.until("each side", 30*time.Second, func() bool { return equal(f.nodes[:6]...)() && equal(f.nodes[6:]...)() })
		f.until("end of gossip", time.Minute, silent(f.nodes...))
		if equal(f.nodes...)() {
			t.Fatal("a record crossed the cut")
		}

		for _, n := range f.nodes {
			n.faults.Heal()
		}
		healed := time.Now()
		f.until("members", 30*time.Second, alive(9, f.nodes...))
		f.until("records", 30*time.Second-time.Since(healed), equal(f.nodes...))
		t.Logf("whole again after %s", time.Since(healed))
		f.nodes[4].View(func(s *replication.State) {
			if r, _ := s.Get("override/*/fra/drain"); r.Writer != "node-9" {
				t.Errorf("the override of %q won, want node-9's", r.Writer)
			}
		})
		f.stop()
		time.Sleep(time.Minute)
	})
}
