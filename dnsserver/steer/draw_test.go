package steer

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/meridian-gtm/meridian/health"
	"github.com/meridian-gtm/meridian/replication"
)

// prefixes calls f with an address of each of n client prefixes.
func prefixes(n int, f func(netip.Addr)) {
	for i := range n {
		b := addr("2001:db8::").As16()
		b[4], b[5], b[3] = byte(i>>8), byte(i), 0xb8+byte(i>>16)
		f(netip.AddrFrom16(b))
	}
}

// shares answers 20,000 prefixes and counts the sites.
func shares(t *testing.T, in Inputs, p *Plan, service string) map[string]float64 {
	t.Helper()
	counts := map[string]float64{}
	prefixes(20_000, func(a netip.Addr) { counts[sitesOf(in, answer(p, service, a))]++ })
	return counts
}

// chiSquare compares counts with weights; the critical value for 1 in 1,000 is 10.8 with one degree of freedom,
// 13.8 with two and 16.3 with three. The hashes are fixed, so that it holds or fails for ever.
func chiSquare(counts, weights map[string]float64) float64 {
	var total, sum, x float64
	for name, n := range counts {
		total += n
		if weights[name] == 0 {
			return math.Inf(1)
		}
	}
	for _, w := range weights {
		sum += w
	}
	for name, w := range weights {
		want := total * w / sum
		x += (counts[name] - want) * (counts[name] - want) / want
	}
	return x
}

func TestWeightedShares(t *testing.T) {
	const us, eu, ap = "us-east", "eu-west", "ap-south"
	type weights = map[string]float64
	tests := []struct {
		name, policy string
		fail         func(in *Inputs)
		want         weights
	}{
		{"weighted", "weighted(70 us-east, 20 eu-west, 10 ap-south)", nil, weights{us: 70, eu: 20, ap: 10}},
		{
			"one is down", "weighted(70 us-east, 20 eu-west, 10 ap-south)",
			func(in *Inputs) { in.judge(us, down(0)) }, weights{eu: 20, ap: 10},
		},
		{
			"one ramps", "weighted(50 us-east, 50 eu-west)",
			func(in *Inputs) { in.judge(us, partial(100)) }, weights{us: 10, eu: 100},
		},
		{
			"one is lowered", "weighted(50 us-east, 50 eu-west)",
			func(in *Inputs) { in.override(us, replication.Weight).Percent = 50 }, weights{us: 1, eu: 2},
		},
		{
			"one is raised", "weighted(50 us-east, 50 eu-west)",
			func(in *Inputs) { in.override(us, replication.Weight).Percent = 300 }, weights{us: 3, eu: 1},
		},
		{
			"spare takes nothing", "weighted(1 us-east, 1 eu-west, 0 ap-south)", nil, weights{us: 1, eu: 1},
		},
		{
			"spare takes all", "weighted(1 us-east, 1 eu-west, 0 ap-south)",
			func(in *Inputs) { in.judge(us, down(0)); in.judge(eu, down(0)) }, weights{ap: 1},
		},
		{
			"nested draws are independent", "weighted(1 weighted(1 us-east, 1 eu-west), 1 weighted(1 us-east, 1 ap-south))",
			nil, weights{us: 2, eu: 1, ap: 1},
		},
		{"sticky by site weight", "sticky(us-east, eu-west, ap-south)", func(in *Inputs) {
			in.Sites[0].Weight, in.Sites[1].Weight, in.Sites[2].Weight = 70, 20, 10
		}, weights{us: 70, eu: 20, ap: 10}},
		{"sticky with a ramp", "sticky(us-east, eu-west)", func(in *Inputs) { in.judge(us, partial(500)) }, weights{us: 1, eu: 2}},
		{"nobody's place is known", "nearest(us-east, eu-west, ap-south)", func(in *Inputs) {
			in.Sites[0].Weight = 200
		}, weights{us: 2, eu: 1, ap: 1}},
		{
			"failover ramps back", "failover(us-east, eu-west)",
			func(in *Inputs) { in.judge(us, partial(250)) }, weights{us: 1, eu: 3},
		},
		{
			"two ramps: the larger takes who is left", "failover(us-east, eu-west)",
			func(in *Inputs) { in.judge(us, partial(100)); in.judge(eu, partial(500)) }, weights{us: 1, eu: 9},
		},
		{
			"a whole node ramps", "failover(weighted(1 us-east, 1 eu-west), ap-south)",
			func(in *Inputs) { in.judge(us, partial(200)); in.judge(eu, partial(200)) }, weights{us: 1, eu: 1, ap: 8},
		},
	}
	for _, test := range tests {
		in := threeSites()
		in.World = nil
		in.allUp()
		in.Services = []Service{shop(test.policy)}
		if test.fail != nil {
			test.fail(&in)
		}
		counts := shares(t, in, compile(t, in, nil), "shop")
		if x := chiSquare(counts, test.want); x > 13.8 {
			t.Errorf("%s: %v: chi-square %.1f against %v", test.name, counts, x, test.want)
		}
	}
}

// TestServicesDrawApart asks two equal services: where a client goes in one says nothing about the other.
func TestServicesDrawApart(t *testing.T) {
	in := threeSites()
	in.allUp()
	in.Services = []Service{shop("weighted(1 us-east, 1 eu-west)"), shop("weighted(1 us-east, 1 eu-west)")}
	in.Services[1].Name = "cart"
	p := compile(t, in, nil)
	counts := map[string]float64{}
	prefixes(20_000, func(a netip.Addr) {
		counts[sitesOf(in, answer(p, "shop", a))+" "+sitesOf(in, answer(p, "cart", a))]++
	})
	want := map[string]float64{"us-east us-east": 1, "us-east eu-west": 1, "eu-west us-east": 1, "eu-west eu-west": 1}
	if x := chiSquare(counts, want); x > 16.3 {
		t.Errorf("%v: chi-square %.1f", counts, x)
	}
}

// TestRendezvousMovesOnlyTheLost takes one site away by health and one by configuration, and lowers one.
func TestRendezvousMovesOnlyTheLost(t *testing.T) {
	for _, policy := range []string{"sticky(us-east, eu-west, ap-south)", "nearest(us-east, eu-west, ap-south)"} {
		in := threeSites()
		in.World = nil // all tie
		in.Sites[0].Weight = 300
		in.allUp()
		in.Services = []Service{shop(policy)}
		before := compile(t, in, nil)

		lost, lowered, removed := in, in, in
		lost.Verdicts = map[health.Target]health.Verdict{}
		lost.allUp()
		lost.judge("us-east", down(0))
		lowered.override("us-east", replication.Weight).Percent = 50
		removed.Services = []Service{shop(strings.Replace(policy, "us-east, ", "", 1))}
		for name, after := range map[string]*Plan{
			"lost": compile(t, lost, before), "lowered": compile(t, lowered, before), "removed": compile(t, removed, nil),
		} {
			moved := 0
			prefixes(10_000, func(a netip.Addr) {
				was, is := sitesOf(in, answer(before, "shop", a)), sitesOf(in, answer(after, "shop", a))
				if was != is {
					moved++
				}
				if was != is && was != "us-east" {
					t.Fatalf("%s, us-east %s: %s moved from %s to %s", policy, name, a, was, is)
				}
			})
			if moved == 0 {
				t.Errorf("%s, us-east %s: nobody moved", policy, name)
			}
		}
	}
}

// TestDrawsAreFixed pins the hashes: a change moves every client of every draw when a fleet is upgraded, and tears
// the answers of its old and new nodes apart.
func TestDrawsAreFixed(t *testing.T) {
	if got := nameKey("eu-west"); got != 0xcd50c14774877cb6 {
		t.Errorf("nameKey = %#x", got)
	}
	in := threeSites()
	in.allUp()
	in.Services = []Service{shop("weighted(1 us-east, 1 eu-west, 1 ap-south)"), shop("sticky(us-east, eu-west, ap-south)")}
	in.Services[1].Name = "cart"
	p := compile(t, in, nil)
	var got []byte
	for _, service := range []string{"shop", "cart"} {
		for i := range 16 {
			got = append(got, sitesOf(in, answer(p, service, netip.AddrFrom4([4]byte{198, 51, byte(i), 0})))[0])
		}
	}
	if want := "aueauuuuueuuauaeeaueaaueueuaeueu"; string(got) != want {
		t.Errorf("draws %s, were %s", got, want)
	}
}

func TestClientKeyIsOfThePrefix(t *testing.T) {
	for _, test := range []struct {
		a, b string
		same bool
	}{
		{"192.0.2.1", "192.0.2.254", true}, {"192.0.2.1", "192.0.3.1", false},
		{"2001:db8:1::", "2001:db8:1:ffff::1", true}, {"2001:db8:1::", "2001:db8:2::", false},
		{"::c000:0200", "192.0.2.0", false},
	} {
		a, _ := clientKey(addr(test.a))
		b, _ := clientKey(addr(test.b))
		if (a == b) != test.same {
			t.Errorf("%s and %s: keys %#x and %#x", test.a, test.b, a, b)
		}
	}
}

func TestLogarithm(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	hashes := []uint64{0, 1, 2, 1<<63 - 1, 1 << 63, 1<<64 - 2, 1<<64 - 1}
	for range 100_000 {
		hashes = append(hashes, rnd.Uint64()>>rnd.IntN(64))
	}
	slices.Sort(hashes)
	last := uint64(math.MaxUint64)
	for _, h := range hashes {
		got := logarithm(h)
		want := (64 - math.Log2(float64(h)+1)) * (1 << logBits)
		if math.Abs(float64(got)-want) > 2 {
			t.Fatalf("logarithm(%#x) = %d, want %f", h, got, want)
		}
		if got > last {
			t.Fatalf("logarithm(%#x) = %d, more than that of a smaller hash, %d", h, got, last)
		}
		last = got
	}
}

// TestAheadIsAnOrder checks what sorting by it needs.
func TestAheadIsAnOrder(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	random := func() contender {
		return contender{hash: rnd.Uint64() >> rnd.IntN(64), weight: 1 + rnd.Uint64N(3), place: rnd.IntN(3)}
	}
	for range 200_000 {
		a, b, c := random(), random(), random()
		if a != b && ahead(a, b) == ahead(b, a) {
			if a.hash != b.hash || a.place != b.place { // else they are one child with two weights
				t.Fatal(fmt.Sprint("neither or both are ahead: ", a, b))
			}
		}
		if ahead(a, b) && ahead(b, c) && !ahead(a, c) {
			t.Fatal(fmt.Sprint("not transitive: ", a, b, c))
		}
	}
}
