package gossip

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/meridian-gtm/meridian/replication"
)

var testKey = []byte("0123456789abcdef")

// owner is a Store as a node has one: it merges what is delivered, and publishes what changed.
type owner struct {
	mu    sync.Mutex
	state replication.State
	g     *Gossip
	err   error
}

func (o *owner) View(f func(*replication.State)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f(&o.state)
}

func (o *owner) Deliver(records []replication.Record) {
	var changed []replication.Record
	o.View(func(s *replication.State) {
		for _, r := range records {
			outcome, err := s.Merge(r, time.Now())
			if err != nil {
				o.err = err
			}
			if outcome == replication.Changed {
				merged, _ := s.Get(r.Key)
				changed = append(changed, merged)
			}
		}
	})
	_ = o.g.Publish(changed...)
}

func (o *owner) put(t *testing.T, r replication.Record) {
	t.Helper()
	o.View(func(s *replication.State) {
		if outcome, err := s.Merge(r, time.Now()); outcome != replication.Changed {
			t.Errorf("%q: outcome %d, %v", r.Key, outcome, err)
		}
	})
	if err := o.g.Publish(r); err != nil {
		t.Error(err)
	}
}

func (o *owner) has(r replication.Record) bool {
	known := false
	o.View(func(s *replication.State) { known = s.Knows(r) })
	return known
}

func (o *owner) digest() (d replication.Digest, n int) {
	o.View(func(s *replication.State) { d, n = s.Digest(), s.Len() })
	return d, n
}

// fleet is some nodes that run in this process.
type fleet struct {
	t     *testing.T
	nodes []*node
}

type node struct {
	*owner
	opts   Options
	faults *Faults
	stop   context.CancelFunc
	done   chan error
}

// start adds a node and runs it.
func (f *fleet) start(opts Options) *node {
	f.t.Helper()
	n := &node{owner: &owner{}, faults: &Faults{}, done: make(chan error, 1)}
	if opts.Faults == nil {
		opts.Faults = n.faults
	}
	g, err := New(n.owner, opts)
	if err != nil {
		f.t.Fatal(err)
	}
	n.g, n.opts = g, opts
	ctx, cancel := context.WithCancel(context.Background())
	n.stop = cancel
	go func() { n.done <- g.Run(ctx) }()
	select {
	case <-g.Ready():
	case err := <-n.done:
		f.t.Fatalf("%s: run: %v", opts.Name, err)
	}
	f.nodes = append(f.nodes, n)
	return n
}

func (n *node) end(t *testing.T) {
	t.Helper()
	n.stop()
	if err := <-n.done; err != nil {
		t.Errorf("%s: run: %v", n.opts.Name, err)
	}
	n.done <- nil // a second end finds it ended
}

func (f *fleet) stop() {
	for _, n := range f.nodes {
		n.stop()
	}
	for _, n := range f.nodes {
		n.end(f.t)
		if n.err != nil {
			f.t.Errorf("%s: merge: %v", n.opts.Name, n.err)
		}
		if s := n.g.Stats(); s.Oversize > 0 || s.LargestPacketOut > maxPacket {
			f.t.Errorf("%s made %d packets too large, and sent one of %d bytes", n.opts.Name, s.Oversize, s.LargestPacketOut)
		}
	}
}

// everywhere reports whether all given nodes have r.
func everywhere(r replication.Record, nodes ...*node) func() bool {
	return func() bool {
		return !slices.ContainsFunc(nodes, func(n *node) bool { return !n.has(r) })
	}
}

// equal reports whether all nodes hold the same records.
func equal(nodes ...*node) func() bool {
	return func() bool {
		want, _ := nodes[0].digest()
		return !slices.ContainsFunc(nodes, func(n *node) bool { d, _ := n.digest(); return d != want })
	}
}

// alive reports whether each node sees exactly want alive members.
func alive(want int, nodes ...*node) func() bool {
	return func() bool {
		return !slices.ContainsFunc(nodes, func(n *node) bool { return n.g.table.alive() != want })
	}
}

// silent reports whether no node has anything left to gossip, so that only anti-entropy can still spread it.
func silent(nodes ...*node) func() bool {
	return func() bool {
		return !slices.ContainsFunc(nodes, func(n *node) bool { return n.g.Stats().QueuedItems > 0 })
	}
}

// until waits for a condition, checking often, and fails the test after limit.
func (f *fleet) until(what string, limit time.Duration, condition func() bool) time.Duration {
	f.t.Helper()
	start := time.Now()
	for !condition() {
		if time.Since(start) > limit {
			f.t.Fatalf("%s: not within %s\n%s", what, limit, f)
		}
		time.Sleep(5 * time.Millisecond)
	}
	return time.Since(start)
}

func (f *fleet) String() string {
	out := ""
	for _, n := range f.nodes {
		_, records := n.digest()
		out += fmt.Sprintf("%s %s: %d records, %+v\n", n.opts.Name, n.g.Addr(), records, n.g.Stats())
		for _, m := range n.g.Members() {
			out += fmt.Sprintf("    %s %s %s\n", m.Name, m.Addr, m.State)
		}
	}
	return out
}

// loopback starts nodes on 127.0.0.1, .2, ... in datacenters dc-1, dc-2, ..., each with the first as its seed.
func loopback(t *testing.T, count int) *fleet {
	t.Helper()
	f := &fleet{t: t}
	t.Cleanup(f.stop)
	for i := range count {
		opts := options(i)
		if i > 0 {
			opts.Seeds = []string{f.nodes[0].g.Addr().String()}
		}
		f.start(opts)
	}
	f.until("join", 15*time.Second, alive(count, f.nodes...))
	return f
}

func options(i int) Options {
	return Options{
		Name: fmt.Sprintf("node-%d", i+1), Datacenter: fmt.Sprintf("dc-%d", i+1), Profile: Fast,
		Bind:    netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, byte(i + 1)}), 0),
		Keyring: [][]byte{testKey},

		LeaveTimeout: 100 * time.Millisecond, // all leave at once at the end of a test, and nobody is left to listen
	}
}

// cut parts two nodes at both ends.
func cut(a, b *node) {
	a.faults.Cut(b.g.Addr(), Both)
	b.faults.Cut(a.g.Addr(), Both)
}

func evidence(t testing.TB, name string, seq uint64, size int) replication.Record {
	t.Helper()
	body := make([]byte, size)
	for i := range body {
		body[i] = byte(i * int(seq+7))
	}
	r, err := replication.NewEvidence(name, replication.Version{Major: 1, Minor: seq}, body)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func drain(t testing.TB, site, writer string, counter uint64) replication.Record {
	t.Helper()
	now := uint64(time.Now().UnixMilli())
	r, err := replication.NewOverride(replication.Override{
		Site: site, Action: replication.Drain, Who: "ada", Why: "disk swap", Created: int64(now),
	}, writer, replication.Version{Major: now, Minor: counter})
	if err != nil {
		t.Fatal(err)
	}
	return r
}
