package gossip

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/meridian-gtm/meridian/replication"
)

func TestRecordReachesAll(t *testing.T) {
	f := loopback(t, 3)
	for seq := range uint64(5) {
		for _, n := range f.nodes {
			r := evidence(t, n.opts.Name, seq+1, 300)
			n.put(t, r)
			took := f.until("small record everywhere", 5*time.Second, everywhere(r, f.nodes...))
			t.Logf("%s %d: %s", n.opts.Name, seq+1, took.Round(time.Millisecond))
		}
	}
	for _, n := range f.nodes {
		if s := n.g.Stats(); s.Malformed > 0 || s.Overflow > 0 || s.SendErrors > 0 || s.Announced > 0 {
			t.Errorf("%s: %+v", n.opts.Name, s)
		}
	}
}

func TestLargeRecordIsFetched(t *testing.T) {
	f := loopback(t, 3)
	for i, size := range []int{960, 2_000, replication.MaxBodyBytes} {
		r := evidence(t, "node-1", uint64(i+1), size)
		f.nodes[0].put(t, r)
		took := f.until("large record everywhere", 5*time.Second, everywhere(r, f.nodes...))
		t.Logf("%d bytes: %s", size, took.Round(time.Millisecond))
	}
	if s := f.nodes[0].g.Stats(); s.Announced != 3 {
		t.Errorf("announced %d records, want 3", s.Announced)
	}
}

// Two sides of a partition go different ways, for longer than members are held alive, and find together after it
// without a restart.
func TestPartitionHeals(t *testing.T) {
	f := loopback(t, 3)
	a, b, c := f.nodes[0], f.nodes[1], f.nodes[2]
	cut(a, c)
	cut(b, c)
	f.until("c is alone", 15*time.Second, alive(1, c))
	f.until("a and b know", 15*time.Second, alive(2, a, b))
	if i := slices.IndexFunc(a.g.Members(), func(m Member) bool { return m.Name == "node-3" && m.State == Failed }); i < 0 {
		t.Errorf("members of a: %+v: want node-3 failed", a.g.Members())
	}

	ours, theirs, large := drain(t, "fra", "node-1", 1), drain(t, "ams", "node-3", 1), evidence(t, "node-3", 1, 5_000)
	a.put(t, ours)
	c.put(t, theirs)
	c.put(t, large)
	f.until("ours in our half", 5*time.Second, everywhere(ours, a, b))
	if c.has(ours) || a.has(theirs) {
		t.Fatal("a record crossed the cut")
	}

	for _, n := range f.nodes {
		n.faults.Heal()
	}
	f.until("members after heal", 15*time.Second, alive(3, f.nodes...))
	for _, r := range []replication.Record{ours, theirs, large} {
		f.until("records after heal", 15*time.Second, everywhere(r, f.nodes...))
	}
	f.until("equal digests", 5*time.Second, equal(f.nodes...))
}

// With one direction of one link cut, records take the detour.
func TestOneWayCut(t *testing.T) {
	f := loopback(t, 3)
	a, b := f.nodes[0], f.nodes[1]
	a.faults.Cut(b.g.Addr(), Out)
	b.faults.Cut(a.g.Addr(), In)
	small, large := evidence(t, "node-1", 1, 100), drain(t, "fra", "node-1", 1)
	a.put(t, small)
	a.put(t, large)
	f.until("detour", 10*time.Second, everywhere(small, f.nodes...))
	f.until("detour", 10*time.Second, everywhere(large, f.nodes...))
	// The detour may be faster than the first packet that goes straight.
	f.until("packets that are cut", 10*time.Second, func() bool { return a.g.Stats().CutPackets > 0 })
}

// A node that was away when records were published, so that gossip is over, gets them by anti-entropy.
func TestLateJoinerCatchesUp(t *testing.T) {
	f := loopback(t, 2)
	for i := range uint64(40) {
		f.nodes[0].put(t, drain(t, "site-"+string(rune('a'+i%26))+string(rune('a'+i/26)), "node-1", i))
		f.nodes[1].put(t, evidence(t, "node-2", i+1, 3_000))
	}
	f.until("end of gossip", 15*time.Second, silent(f.nodes...))
	opts := options(2)
	opts.Seeds = []string{f.nodes[1].g.Addr().String()}
	late := f.start(opts)
	f.until("late joiner", 15*time.Second, equal(f.nodes...))
	if _, n := late.digest(); n != 41 {
		t.Errorf("late joiner has %d records, want 41", n)
	}
}

func TestWrongKeyIsRefused(t *testing.T) {
	f := loopback(t, 2)
	opts := options(2)
	opts.Seeds = []string{f.nodes[0].g.Addr().String()}
	opts.Keyring = [][]byte{[]byte("another key 1234")}
	stranger := f.start(opts)
	stranger.put(t, drain(t, "fra", "node-3", 1))
	r := drain(t, "ams", "node-1", 1)
	f.nodes[0].put(t, r)
	f.until("record among friends", 5*time.Second, everywhere(r, f.nodes[:2]...))

	// The stranger has tried to join, on a stream that the others have seen, and they answered.
	f.until("stranger tries", 10*time.Second, func() bool { return f.nodes[0].g.Stats().StreamsIn > 3 && stranger.g.Stats().StreamBytesIn > 0 })
	if !alive(2, f.nodes[:2]...)() || !alive(1, stranger)() {
		t.Errorf("members mix:\n%s", f)
	}
	if stranger.has(r) || f.nodes[0].has(drain(t, "fra", "node-3", 1)) {
		t.Error("records mix")
	}
}

// The key of a running fleet changes without anybody being lost, and the old one is then worth nothing.
func TestKeyRotation(t *testing.T) {
	f := loopback(t, 3)
	next := []byte("the next key, of 32 bytes length")
	for step, keys := range [][][]byte{{testKey, next}, {next, testKey}, {next}} {
		for i, n := range f.nodes {
			if err := n.g.SetKeys(keys); err != nil {
				t.Fatal(err)
			}
			r := evidence(t, n.opts.Name, uint64(step+1), 100+2000*(i%2)) // while the others still have the older ring
			n.put(t, r)
			f.until("record during rotation", 10*time.Second, everywhere(r, f.nodes...))
		}
	}
	if !alive(3, f.nodes...)() {
		t.Errorf("a member is lost:\n%s", f)
	}
	if got := f.nodes[0].g.keyring.GetKeys(); len(got) != 1 || string(got[0]) != string(next) {
		t.Errorf("keys %q, want the new one", got)
	}
}

func TestGracefulLeave(t *testing.T) {
	f := loopback(t, 2)
	opts := options(2)
	opts.Seeds = []string{f.nodes[0].g.Addr().String()}
	opts.LeaveTimeout = 10 * time.Second // an upper bound: it ends when the goodbye has gone out
	leaver := f.start(opts)
	f.until("join", 15*time.Second, alive(3, f.nodes...))
	start := time.Now()
	leaver.end(t)
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("goodbye took %s", took)
	}
	f.until("leave", 5*time.Second, alive(2, f.nodes[:2]...))
	for _, n := range f.nodes[:2] {
		f.until("state of who left", 5*time.Second, func() bool {
			return slices.ContainsFunc(n.g.Members(), func(m Member) bool { return m.Name == "node-3" && m.State == Left })
		})
	}

	// It comes back at another port, under its name.
	opts.LeaveTimeout = time.Millisecond
	f.start(opts)
	f.until("return", 15*time.Second, alive(3, f.nodes[0], f.nodes[1], f.nodes[3]))
}

func TestMembers(t *testing.T) {
	f := &fleet{t: t}
	defer f.stop()
	for i := range 2 {
		opts := options(i)
		opts.Meta = []byte("meta of " + opts.Name)
		if i > 0 {
			opts.Seeds = []string{f.nodes[0].g.Addr().String(), "127.0.0.1:1", "localhost:1"}
		}
		f.start(opts)
	}
	f.until("join", 15*time.Second, alive(2, f.nodes...))
	f.until("ping", 10*time.Second, func() bool {
		return !slices.ContainsFunc(f.nodes[0].g.Members(), func(m Member) bool { return !m.Self && m.RTT == 0 })
	})
	for i, m := range f.nodes[0].g.Members() {
		want := f.nodes[i]
		if m.Name != want.opts.Name || m.Datacenter != want.opts.Datacenter || m.Addr != want.g.Addr() || m.State != Alive ||
			string(m.Meta) != "meta of "+m.Name || m.Self != (i == 0) || time.Since(m.LastSeen) > 10*time.Second {
			t.Errorf("got %+v", m)
		}
	}
	if f.nodes[0].g.HealthScore() != 0 {
		t.Errorf("health score %d", f.nodes[0].g.HealthScore())
	}
}

func TestRunReportsTakenAddress(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	opts := options(0)
	opts.Bind = netip.MustParseAddrPort(l.Addr().String())
	g, err := New(&owner{}, opts)
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Run(context.Background()); err == nil {
		t.Error("run on a taken address returned nil")
	}
	if err := g.Run(context.Background()); err == nil {
		t.Error("second run returned nil")
	}
	if g.Addr().IsValid() || g.HealthScore() != 0 || len(g.Members()) != 0 {
		t.Error("a node that does not run has an address or members")
	}
}

// Publishing before Run, and without peers, keeps one item per key.
func TestQueueIsBoundedByKeys(t *testing.T) {
	g, err := New(&owner{}, options(0))
	if err != nil {
		t.Fatal(err)
	}
	for seq := range uint64(100) {
		if err := g.Publish(evidence(t, "node-1", seq+1, 10), evidence(t, "node-2", seq+1, 5000)); err != nil {
			t.Fatal(err)
		}
	}
	if s := g.Stats(); s.QueuedItems != 2 || s.Published != 200 || s.Announced != 100 {
		t.Errorf("got %+v, want 2 items", s)
	}
	if err := g.Publish(replication.Record{Body: make([]byte, replication.MaxBodyBytes+1)}); err == nil {
		t.Error("an oversize record was published")
	}
}
