package traffic

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// stream is keys as clients ask: few of them very often (Zipf), and an oracle's count of each.
func stream(seed uint64, keys, length int) (all []string, oracle map[string]uint64) {
	random := rand.New(rand.NewPCG(seed, 1))
	zipf := rand.NewZipf(random, 1.2, 1, uint64(keys-1))
	oracle = map[string]uint64{}
	for range length {
		key := fmt.Sprint("k", zipf.Uint64())
		all = append(all, key)
		oracle[key]++
	}
	return all, oracle
}

// While there is room a summary is the oracle; beyond it nothing is lost from the total, the keys of which there are most
// are found, and their counts are close.
func TestSummaryLikeOracle(t *testing.T) {
	for seed := range uint64(8) {
		const length = 40_000
		all, oracle := stream(seed, 5000, length)
		s := NewSummary[string](200, seed)
		for _, key := range all {
			s.Add(key)
		}
		counts := merge(s, NewSummary[string](1, 0), strings.Compare)
		sum, found := uint64(0), map[string]uint64{}
		for _, c := range counts {
			sum += c.Count
			found[c.Key] = c.Count
		}
		if sum != length || s.Total() != length || len(counts) != 200 || !s.Full() {
			t.Fatalf("seed %d: %d keys sum up to %d of %d", seed, len(counts), sum, s.Total())
		}
		for key, n := range oracle {
			if n > length/100 && math.Abs(float64(found[key])-float64(n)) > float64(length/200) {
				t.Errorf("seed %d: %s was counted %d times: want about %d", seed, key, found[key], n)
			}
		}

		exact := NewSummary[string](5000, seed)
		for _, key := range all {
			exact.Add(key)
		}
		for _, c := range merge(exact, NewSummary[string](1, 0), strings.Compare) {
			if c.Count != oracle[c.Key] {
				t.Fatalf("seed %d: %s was counted %d times: want %d", seed, c.Key, c.Count, oracle[c.Key])
			}
			delete(oracle, c.Key)
		}
		if len(oracle) > 0 || exact.Full() {
			t.Errorf("seed %d: not counted: %v", seed, oracle)
		}
	}
}

// The estimate of a sum over half of many rare keys is right on average, so that the load that a replay of them puts on a
// site is.
func TestSumsAreUnbiased(t *testing.T) {
	const seeds, keys, rounds = 60, 2000, 3
	total := 0.0
	for seed := range uint64(seeds) {
		random := rand.New(rand.NewPCG(seed, 2))
		s := NewSummary[int](100, seed)
		for range rounds {
			for _, key := range random.Perm(keys) {
				s.Add(key)
			}
		}
		for key, p := range s.index {
			if key < keys/2 {
				total += float64(p.count)
			}
		}
	}
	if mean := total / seeds; math.Abs(mean-keys*rounds/2) > keys*rounds/2*0.06 {
		t.Errorf("half of the keys were counted %.0f times on average: want about %d", mean, keys*rounds/2)
	}
}

// The heap is one, and the index knows it, after every step.
func TestSummaryHolds(t *testing.T) {
	for seed := range uint64(5) {
		all, _ := stream(seed, 60, 2000)
		s := NewSummary[string](17, seed)
		for n, key := range all {
			s.Add(key)
			for i, p := range s.heap {
				if p.at != i || s.index[p.key] != p || s.heap[(max(i, 1)-1)/2].count > p.count || len(s.index) != len(s.heap) {
					t.Fatalf("seed %d: after %d keys: place %d is %+v", seed, n+1, i, *p)
				}
			}
		}
	}
}

func TestWindows(t *testing.T) {
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	at := func(d time.Duration) time.Time { return begin.Add(d) }
	c := NewCounter(time.Hour, begin, 1)
	network := netip.MustParsePrefix("192.0.2.0/24")
	add := func(name string, d time.Duration) {
		c.Add(Query{Name: name, Type: "A", Client: network, Service: strings.TrimSuffix(name, ".static")}, at(d))
	}
	show := func(d time.Duration) string {
		r := c.Names(at(d))
		return fmt.Sprint(r.Since.Sub(begin), " ", r.Total, " ", r.Counts)
	}
	add("a", 0)
	add("b", 30*time.Minute)
	add("a", 59*time.Minute)
	for _, tt := range []struct {
		at   time.Duration
		want string
	}{
		{59 * time.Minute, "0s 3 [{a 2} {b 1}]"},
		{119 * time.Minute, "0s 3 [{a 2} {b 1}]"},
	} {
		if got := show(tt.at); got != tt.want {
			t.Errorf("at %v: got %s, want %s", tt.at, got, tt.want)
		}
	}
	add("c", 119*time.Minute)
	add("d", 118*time.Minute) // the clock went back
	if got := show(121 * time.Minute); got != "1h0m0s 2 [{c 1} {d 1}]" {
		t.Errorf("a window later: %s", got)
	}
	if got := show(181 * time.Minute); got != "2h0m0s 0 []" {
		t.Errorf("two windows later: %s", got)
	}
	add("e", 10*time.Hour)
	if got := show(10 * time.Hour); got != "9h0m0s 1 [{e 1}]" {
		t.Errorf("after a long silence: %s", got)
	}
	if r := c.Demands(at(10 * time.Hour)); len(r.Counts) != 1 || r.Counts[0] != (Count[Demand]{Demand{"e", network}, 1}) {
		t.Errorf("demands: %+v", r)
	}
	if r := c.Clients(at(10 * time.Hour)); len(r.Counts) != 1 || r.Counts[0].Key != network || r.Estimated {
		t.Errorf("clients: %+v", r)
	}
	if r := c.Types(at(10 * time.Hour)); len(r.Counts) != 1 || r.Counts[0].Key != "A" {
		t.Errorf("types: %+v", r)
	}
}

func TestNetwork(t *testing.T) {
	for _, tt := range []struct {
		addr string
		bits int
		want string
	}{
		{"192.0.2.7", 32, "192.0.2.0/24"}, {"192.0.2.7", 20, "192.0.0.0/20"}, {"::ffff:192.0.2.7", 128, "192.0.2.0/24"},
		{"2001:db8:1:2::3", 128, "2001:db8:1::/48"}, {"2001:db8:1:2::3", 32, "2001:db8::/32"}, {"fe80::1%lo", 128, "fe80::/48"},
		{"192.0.2.7", 0, "0.0.0.0/0"},
	} {
		if got := Network(netip.MustParseAddr(tt.addr), tt.bits); got.String() != tt.want {
			t.Errorf("%s/%d: got %v, want %s", tt.addr, tt.bits, got, tt.want)
		}
	}
}
