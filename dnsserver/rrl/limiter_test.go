package rrl

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var seed = [2]uint64{0x243f6a8885a308d3, 0x13198a2e03707344}

func newLimiter(tb testing.TB, o Options) *Limiter {
	tb.Helper()
	l, err := New(o, seed)
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

// sent asks n times, evenly spread over a time, and returns how many answers were sent.
func sent(l *Limiter, client string, class Class, n int, begin, over time.Duration) (count int) {
	addr := netip.MustParseAddr(client)
	for i := range n {
		if l.Check(addr, class, begin+over*time.Duration(i)/time.Duration(n), 1) == Send {
			count++
		}
	}
	return count
}

// A network gets its burst, then its rate however much it asks, and its burst again after a rest.
func TestRate(t *testing.T) {
	for _, rate := range []int{1, 7, 100, 5000, 50_000} {
		l := newLimiter(t, Options{Answers: rate})
		most := rate + rate/200 // times are whole units
		if got := sent(l, "192.0.2.1", Answers, 3*rate, 0, 0); got < rate || got > most {
			t.Errorf("rate %d: a burst of %d", rate, got)
		}
		got := sent(l, "192.0.2.1", Answers, 20*rate, time.Second, 10*time.Second)
		if want := 11 * rate; got < want-want/50-1 || got > want+want/50+1 { // 1 s in advance, and 10 s
			t.Errorf("rate %d: %d in 10 s, want %d", rate, got, want)
		}
		if got := sent(l, "192.0.2.1", Answers, 3*rate, time.Minute, 0); got < rate || got > most {
			t.Errorf("rate %d: a burst of %d after a rest", rate, got)
		}
		if got := sent(l, "192.0.2.1", Answers, 10*rate, 2*time.Minute, 11*time.Second); got < 10*rate-1 {
			t.Errorf("rate %d: %d of %d below the rate", rate, got, 10*rate)
		}
	}
}

func TestBurst(t *testing.T) {
	for burst, want := range map[time.Duration]int{100 * time.Millisecond: 10, time.Second: 100, time.Minute: 6000} {
		l := newLimiter(t, Options{Answers: 100, Burst: burst})
		if got := sent(l, "192.0.2.1", Answers, 10_000, 0, 0); got != want {
			t.Errorf("%v: %d at once, want %d", burst, got, want)
		}
	}
	// A rate of less than one in a burst still lets one through.
	l := newLimiter(t, Options{Answers: 1, Burst: 100 * time.Millisecond})
	if got := sent(l, "192.0.2.1", Answers, 100, 0, 0); got != 1 {
		t.Errorf("%d at once, want 1", got)
	}
}

// A network is what its prefix says; families, classes and other networks have budgets of their own.
func TestNetworks(t *testing.T) {
	l := newLimiter(t, Options{Answers: 10, Empty: 20, Exempt: []netip.Prefix{netip.MustParsePrefix("203.0.113.8/32")}})
	for _, step := range []struct {
		client string
		class  Class
		want   int
	}{
		{"192.0.2.1", Answers, 10},
		{"192.0.2.255", Answers, 0},      // the same /24
		{"::ffff:192.0.2.7", Answers, 0}, // and the same once more
		{"192.0.2.1", Empty, 20},
		{"192.0.2.1", Errors, 100}, // no limit
		{"198.51.100.1", Answers, 10},
		{"2001:db8::1", Answers, 10},
		{"2001:db8:0:ff::1", Answers, 0}, // the same /56
		{"2001:db8:0:100::1", Answers, 10},
		{"203.0.113.8", Answers, 100}, // exempt
		{"203.0.113.9", Answers, 0},   // which the exempt one took from
	} {
		if got := sent(l, step.client, step.class, 100, 0, 0); got != step.want {
			t.Errorf("%s, class %d: %d, want %d", step.client, step.class, got, step.want)
		}
	}
}

func TestSlip(t *testing.T) {
	for _, slip := range []int{1, 2, 5} {
		l := newLimiter(t, Options{Answers: 10, Slip: slip})
		var got [3]int
		for turn := range uint32(110) {
			got[l.Check(netip.MustParseAddr("192.0.2.1"), Answers, 0, turn)]++
		}
		if want := [3]int{Send: 10, Truncate: 100 / slip, Drop: 100 - 100/slip}; got != want {
			t.Errorf("slip %d: %v, want %v", slip, got, want)
		}
	}
}

// Time wraps after 19 hours. Nobody is limited for long because of it.
func TestWrap(t *testing.T) {
	const wrap = time.Duration(1) << (timeBits + unitShift)
	for _, at := range []time.Duration{wrap - time.Second, wrap, 3*wrap - 500*time.Millisecond} {
		l := newLimiter(t, Options{Answers: 100})
		if got := sent(l, "192.0.2.1", Answers, 4000, at, 2*time.Second); got < 295 || got > 305 {
			t.Errorf("%v: %d, want 300", at, got)
		}
		if got := sent(l, "192.0.2.1", Answers, 200, at+wrap-10*time.Minute, 0); got != 100 {
			t.Errorf("%v: %d after a long rest, want 100", at, got)
		}
	}
}

// More networks than the table holds: those that are over their limit stay known.
func TestFullTable(t *testing.T) {
	l := newLimiter(t, Options{Answers: 10, Networks: 1024})
	loud := netip.MustParseAddr("198.51.100.1")
	random := rand.New(rand.NewPCG(1, 2))
	got := 0
	const rounds = 2000
	for i := range rounds {
		now := time.Duration(i) * 10 * time.Second / rounds
		for range 5 {
			if l.Check(loud, Answers, now, 1) == Send {
				got++
			}
		}
		// 30 networks that ask once each.
		for range 30 {
			var a [4]byte
			binary.BigEndian.PutUint32(a[:], random.Uint32())
			l.Check(netip.AddrFrom4(a), Answers, now, 1)
		}
	}
	// 110 are right. Its cell may be taken once in a while, when all of its neighbours owe more.
	if got < 105 || got > 150 {
		t.Errorf("the loud one got %d of %d answers, want about 110", got, 5*rounds)
	}
}

// Workers that share a limiter share its budgets: neither more nor fewer answers go out.
func TestConcurrent(t *testing.T) {
	l := newLimiter(t, Options{Answers: 1000})
	var group sync.WaitGroup
	var total atomic.Int64
	for range 8 {
		group.Go(func() { total.Add(int64(sent(l, "192.0.2.1", Answers, 1000, 0, 0))) })
	}
	group.Wait()
	if got := total.Load(); got != 1000 {
		t.Errorf("%d answers, want 1000", got)
	}
}

// Hashes spread networks that differ in little, so that few share their four cells.
func TestSpread(t *testing.T) {
	l := newLimiter(t, Options{Answers: 1, Networks: 1 << 16})
	lost := 0
	for i := range 8000 { // an eighth of the table
		addr := netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 1})
		l.Check(addr, Answers, 0, 1)
	}
	for i := range 8000 {
		addr := netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 2})
		if l.Check(addr, Answers, 0, 1) == Send {
			lost++
		}
	}
	// With 0.5 networks expected in four cells, about 2 in 10,000 are pushed out (Poisson).
	if lost > 16 {
		t.Errorf("%d of 8000 networks forgotten", lost)
	}
}

func TestClassOf(t *testing.T) {
	for _, test := range []struct {
		rcode, answers byte
		want           Class
	}{{0, 1, Answers}, {0, 0, Empty}, {3, 0, Empty}, {3, 1, Empty}, {2, 0, Errors}, {5, 0, Errors}, {1, 0, Errors}} {
		header := make([]byte, 12)
		header[3], header[7] = 0x80|test.rcode, test.answers
		if got := ClassOf(header); got != test.want {
			t.Errorf("rcode %d, %d answers: class %d, want %d", test.rcode, test.answers, got, test.want)
		}
	}
}

func TestOptions(t *testing.T) {
	_, err := New(Options{
		Answers: -1, Empty: 1_000_001, Errors: -2, Burst: time.Hour, Slip: -1, V4Prefix: 33, V6Prefix: 65, Networks: 1,
		Exempt: []netip.Prefix{{}},
	}, seed)
	const want = `rrl: answers: -1: want 0..1000000
rrl: empty: 1000001: want 0..1000000
rrl: errors: -2: want 0..1000000
rrl: slip: -1: want 1..1000
rrl: v4 prefix: 33: want 8..32
rrl: v6 prefix: 65: want 16..64
rrl: networks: 1: want 1024..16777216
rrl: burst: 1h0m0s: want 100ms..1m
rrl: exempt: invalid prefix: want IP/LENGTH`
	if err == nil || err.Error() != want {
		t.Errorf("got %v\nwant %s", err, want)
	}
	if (Options{}).Enabled() || !(Options{Errors: 1}).Enabled() {
		t.Error("enabled is wrong")
	}
	if got := len(newLimiter(t, Options{Networks: 1025}).cells); got != 2048 {
		t.Errorf("%d cells", got)
	}
}

// Against a plain model that keeps every network apart, on a table with room for all.
func FuzzLimiter(f *testing.F) {
	f.Add(uint16(10), uint8(3), []byte("a few networks, and times between them"))
	f.Add(uint16(1), uint8(1), []byte(strings.Repeat("\x00", 40)))
	f.Fuzz(func(t *testing.T, rate uint16, slip uint8, script []byte) {
		o := Options{Answers: int(rate), Slip: int(slip)}
		l, err := New(o, seed)
		if err != nil || rate == 0 {
			return
		}
		interval := uint64(time.Second) >> unitShift / uint64(rate)
		full := map[byte]uint64{} // when the budget is full again
		now := uint64(0)
		for i, b := range script {
			now += uint64(b>>3) * uint64(10*time.Millisecond) >> unitShift
			network := b & 7
			want := max(full[network], now)-now+interval <= uint64(time.Second)>>unitShift
			if interval > uint64(time.Second)>>unitShift {
				want = full[network] <= now
			}
			if want {
				full[network] = max(full[network], now) + interval
			}
			verdict := l.Check(netip.AddrFrom4([4]byte{192, 0, network, b}), Answers, time.Duration(now<<unitShift), uint32(i))
			if (verdict == Send) != want {
				t.Fatalf("step %d, network %d: verdict %d, want sent = %v", i, network, verdict, want)
			}
		}
	})
}

func TestAllocations(t *testing.T) {
	l := newLimiter(t, Options{Answers: 10, Exempt: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}})
	addr := netip.MustParseAddr("2001:db8::1")
	if got := testing.AllocsPerRun(100, func() { l.Check(addr, Answers, 0, 1) }); got != 0 {
		t.Errorf("%v allocations", got)
	}
}

func BenchmarkCheck(b *testing.B) {
	l := newLimiter(b, Options{Answers: 1000})
	addr := netip.MustParseAddr("192.0.2.1")
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		l.Check(addr, Answers, time.Duration(i)*10*time.Microsecond, uint32(i))
	}
}
