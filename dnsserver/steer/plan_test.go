package steer

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meridian-gtm/meridian/geo"
	"github.com/meridian-gtm/meridian/health"
	"github.com/meridian-gtm/meridian/replication"
)

func TestAnswerDoesNotAllocate(t *testing.T) {
	for _, policy := range []string{
		"eu-west",
		"nearest(us-east, eu-west, ap-south)",
		"nearest(us-east, eu-west, ap-south, count=2)",
		"round-robin(us-east, eu-west, ap-south)",
		"sticky(us-east, eu-west, ap-south)",
		"geo(country/DE: eu-west, default: weighted(70 us-east, 30 failover(ap-south, eu-west)))",
	} {
		in := threeSites()
		in.allUp()
		in.judge("us-east", partial(500))
		in.Services = []Service{shop(policy)}
		p := compile(t, in, nil)
		dst := make([]netip.Addr, 0, 8)
		turn := uint32(0)
		for _, client := range []netip.Addr{berlin, newYork, nowhere, addr("2001:db8:1::1"), addr("::ffff:192.0.2.1")} {
			n := testing.AllocsPerRun(100, func() {
				turn++
				p.Answer(0, typeA, Client{Addr: client, ECS: true}, turn, dst)
			})
			if n != 0 {
				t.Errorf("%s for %s: %v allocations", policy, client, n)
			}
		}
	}
}

func BenchmarkAnswer(b *testing.B) {
	in := threeSites()
	in.allUp()
	in.Services = []Service{shop("nearest(us-east, eu-west, ap-south)"), shop("weighted(70 us-east, 30 eu-west)"),
		shop("sticky(us-east, eu-west, ap-south)"), shop("nearest(us-east, eu-west, ap-south, count=3)")}
	for i, name := range []string{"nearest", "weighted", "sticky", "nearest-3"} {
		in.Services[i].Name = name
	}
	in.Sites[0].Weight = 50
	p := compile(b, in, nil)
	dst := make([]netip.Addr, 0, 8)
	for _, s := range in.Services {
		b.Run(s.Name, func(b *testing.B) {
			b.ReportAllocs()
			n, _ := p.Service(s.Name)
			turn := uint32(0)
			for b.Loop() {
				turn++
				p.Answer(n, typeA, Client{Addr: berlin, ECS: true}, turn, dst)
			}
		})
	}
}

// manyServices is 10,000 services over 20 sites.
func manyServices() Inputs {
	in := Inputs{Verdicts: map[health.Target]health.Verdict{}, World: cities()}
	var sites []string
	for i := range 20 {
		name := fmt.Sprintf("site%02d", i)
		sites = append(sites, name)
		in.Datacenters = append(in.Datacenters, Datacenter{
			Name: name, Region: fmt.Sprintf("region%d", i%4), Coord: geo.Coord{Lat: float64(i*7%90) - 45, Lon: float64(i*37%360) - 180},
		})
		in.Sites = append(in.Sites, Site{
			Name: name, Datacenter: name, V4: netip.AddrFrom4([4]byte{198, 51, 100, byte(i + 1)}), Weight: 100,
		})
	}
	in.allUp()
	for i := range 10_000 {
		s := shop("nearest(" + strings.Join(sites, ", ") + ")")
		s.Name = fmt.Sprintf("svc%05d", i)
		in.Services = append(in.Services, s)
	}
	return in
}

// BenchmarkVerdictChange is what a site's loss costs with 10,000 services over 20 sites.
func BenchmarkVerdictChange(b *testing.B) {
	in := manyServices()
	p := compile(b, in, nil)
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		v := up()
		if n%2 == 0 {
			v = down(time.Second)
		}
		in.judge("site03", v)
		p = compile(b, in, p)
	}
}

func TestSharesWhatIsEqual(t *testing.T) {
	in := threeSites()
	in.allUp()
	for _, name := range []string{"a", "b", "c"} {
		s := shop("nearest(us-east, eu-west)")
		s.Name = name
		in.Services = append(in.Services, s)
	}
	in.Services[2].Policy = parsePolicy("failover(nearest(us-east, eu-west), ap-south)")
	p := compile(t, in, nil)
	if p.services[0].variants != p.services[1].variants || p.services[0].def != p.services[1].def {
		t.Error("services that differ in name alone do not share their answers")
	}
	if p.services[0].def.geo != p.services[2].def.geo {
		t.Error("services with the same distances do not share their geography")
	}
	// An override of one service's own parts it from the others; what is not touched is kept.
	in.override("us-east", replication.Drain).Service = "b"
	q := compile(t, in, p)
	if q.services[0].variants != p.services[0].variants || q.services[0].def != p.services[0].def {
		t.Error("what did not change was made anew")
	}
	if q.services[1].variants[0] == p.services[1].variants[0] || q.ground.regions != p.ground.regions {
		t.Error("the override had no effect, or too much")
	}
	if a := sitesOf(in, answer(q, "b", newYork)); a != "eu-west" {
		t.Errorf("b answers %s with us-east drained", a)
	}
	if a := sitesOf(in, answer(q, "a", newYork)); a != "us-east" {
		t.Errorf("a answers %s with us-east drained for b only", a)
	}
}

// TestInputsAreNotKept changes what was passed in.
func TestInputsAreNotKept(t *testing.T) {
	in := threeSites()
	in.allUp()
	in.Services = []Service{shop("weighted(70 us-east, 30 eu-west)")}
	in.Services[0].AllDown, in.Services[0].LastResort = LastResort, []netip.Addr{addr("203.0.113.9")}
	in.override("ap-south", replication.Drain)
	p := compile(t, in, nil)
	epoch, trace := p.Epoch(), p.Explain(0, typeA, Client{Addr: berlin})

	in.Services[0].Policy.Children[0].Site = "gone"
	in.Services[0].Policy.Weights[1] = 0
	in.Services[0].LastResort[0] = netip.Addr{}
	in.Services[0].Checks[0] = "gone"
	in.Sites[1].V4 = addr("203.0.113.77")
	in.Datacenters[0].Region = "gone"
	in.Overrides[0].Site = "eu-west"
	in.judge("eu-west", down(0))
	if after := p.Explain(0, typeA, Client{Addr: berlin}); fmt.Sprint(after) != fmt.Sprint(trace) || p.Epoch() != epoch {
		t.Errorf("the plan changed with its inputs:\n%v\n%v", trace, after)
	}
	in = threeSites()
	in.allUp()
	in.Services = []Service{shop("weighted(70 us-east, 30 eu-west)")}
	if q := compile(t, in, p); q.Epoch() == epoch {
		t.Error("another service has the epoch of the first")
	}
}

func TestEpochTellsWhatDecides(t *testing.T) {
	base := func() Inputs {
		in := threeSites()
		in.allUp()
		in.Services = []Service{shop("nearest(us-east, eu-west, ap-south)")}
		return in
	}
	epoch := compile(t, base(), nil).Epoch()
	if len(epoch) != 24 {
		t.Errorf("epoch %q: want 24 digits", epoch)
	}
	change := func(v health.Verdict, f func(*health.Verdict)) health.Verdict { f(&v); return v }
	for name, test := range map[string]struct {
		change func(in *Inputs)
		same   bool
	}{
		"nothing": {func(in *Inputs) {}, true},
		"verdict's votes": {func(in *Inputs) {
			in.judge("eu-west", change(up(), func(v *health.Verdict) { v.Votes = []health.Vote{{}} }))
		}, true},
		"verdict's age":   {func(in *Inputs) { in.judge("eu-west", change(up(), func(v *health.Verdict) { v.Age = 1 })) }, true},
		"verdict's words": {func(in *Inputs) { in.judge("eu-west", change(up(), func(v *health.Verdict) { v.Reason = "?" })) }, true},
		"who drained":     {func(in *Inputs) { in.Overrides = []replication.Override{{Site: "gone", Action: replication.Drain}} }, true},
		"verdict's level": {func(in *Inputs) { in.judge("eu-west", down(0)) }, false},
		"ramp":            {func(in *Inputs) { in.judge("eu-west", change(up(), func(v *health.Verdict) { v.Weight = 250 })) }, false},
		"verdict's TTL":   {func(in *Inputs) { in.judge("eu-west", change(up(), func(v *health.Verdict) { v.TTL = 20 })) }, false},
		"regions": {func(in *Inputs) {
			in.judge("eu-west", change(up(), func(v *health.Verdict) { v.AvoidRegions = []string{"asia"} }))
		}, false},
		"drain":          {func(in *Inputs) { in.override("eu-west", replication.Drain) }, false},
		"world":          {func(in *Inputs) { in.World = nil }, false},
		"address":        {func(in *Inputs) { in.Sites[0].V4 = addr("198.51.100.9") }, false},
		"site":           {func(in *Inputs) { in.Sites[2].Capacity++ }, false},
		"datacenter":     {func(in *Inputs) { in.Datacenters[2].Coord.Lat++ }, false},
		"policy":         {func(in *Inputs) { in.Services[0].Policy.Count = 2 }, false},
		"TTL":            {func(in *Inputs) { in.Services[0].TTLMax++ }, false},
		"service's name": {func(in *Inputs) { in.Services[0].Name = "cart" }, false},
		"ECS":            {func(in *Inputs) { in.Services[0].IgnoreECS = true }, false},
		"all-down":       {func(in *Inputs) { in.Services[0].AllDown = All }, false},
		"no service":     {func(in *Inputs) { in.Services = nil }, false},
		"the default":    {func(in *Inputs) { in.Services[0].AllDown = LastGood }, true},
	} {
		in := base()
		test.change(&in)
		if got := compile(t, in, nil).Epoch(); (got == epoch) != test.same {
			t.Errorf("%s: epoch %s, before %s: want the same: %t", name, got, epoch, test.same)
		}
	}
}

// TestEpochTellsWhoWentDownLast: ages count where the last-good policy answers by them, and only there.
func TestEpochTellsWhoWentDownLast(t *testing.T) {
	epoch := func(allDown AllDown, us, eu, ap time.Duration) string {
		in := threeSites()
		in.judge("us-east", down(us))
		in.judge("eu-west", down(eu))
		in.judge("ap-south", down(ap))
		if ap == 0 {
			in.judge("ap-south", up())
		}
		in.Services = []Service{shop("failover(us-east, eu-west, ap-south)")}
		in.Services[0].AllDown = allDown
		return compile(t, in, nil).Epoch()
	}
	const m = time.Minute
	tests := []struct {
		name string
		a, b string
		same bool
	}{
		{"all are a second older", epoch(LastGood, m, 9*m, 30*m), epoch(LastGood, m+time.Second, 9*m+time.Second, 30*m+time.Second), true},
		{"together, in another order", epoch(LastGood, m, m+1, 30*m), epoch(LastGood, m+1, m, 30*m), true},
		{"others went down last", epoch(LastGood, m, 9*m, 30*m), epoch(LastGood, 9*m, m, 30*m), false},
		{"one is no longer good", epoch(LastGood, m, 2*m, 30*m), epoch(LastGood, m, 2*m+1, 30*m), false},
		{"all are answered", epoch(All, m, 9*m, 30*m), epoch(All, 9*m, m, 30*m), true},
		{"one is up", epoch(LastGood, m, 9*m, 0), epoch(LastGood, 9*m, m, 0), true},
	}
	for _, test := range tests {
		if (test.a == test.b) != test.same {
			t.Errorf("%s: epochs %s and %s: want the same: %t", test.name, test.a, test.b, test.same)
		}
	}
}

func TestScope(t *testing.T) {
	tests := []struct {
		name, policy string
		fail         func(in *Inputs)
		client       netip.Addr
		want         uint8
	}{
		{"one site for everybody", "eu-west", nil, berlin, 0},
		{"nobody's place matters", "failover(us-east, eu-west)", nil, berlin, 0},
		{"place", "nearest(us-east, eu-west, ap-south)", nil, berlin, 26},
		{"IPv6 place", "nearest(us-east, eu-west, ap-south)", nil, addr("2001:db8:1::7"), 48},
		{"place, hosts inside", "geo(country/DE: eu-west, default: us-east)", nil, newYork, 26},
		{"place of no importance", "geo(country/DE: eu-west, default: eu-west)", nil, berlin, 0},
		{"one site left", "nearest(us-east, eu-west)", func(in *Inputs) { in.judge("us-east", down(0)) }, berlin, 0},
		{"draw", "weighted(1 us-east, 1 eu-west)", nil, nowhere, 24},
		{"IPv6 draw", "weighted(1 us-east, 1 eu-west)", nil, addr("2001:db8:1::7"), 48},
		{"draw with one outcome", "weighted(1 us-east, 0 eu-west)", nil, nowhere, 0},
		{"draw with equal outcomes", "weighted(1 eu-west, 1 failover(eu-west, us-east))", nil, nowhere, 0},
		{"draw with one left", "sticky(us-east, eu-west)", func(in *Inputs) { in.judge("us-east", down(0)) }, nowhere, 0},
		{"ramp", "failover(eu-west, us-east)", func(in *Inputs) { in.judge("eu-west", partial(250)) }, nowhere, 24},
		{"ramp of the only one", "failover(eu-west)", func(in *Inputs) { in.judge("eu-west", partial(250)) }, nowhere, 0},
		{"ramp behind", "failover(us-east, eu-west)", func(in *Inputs) { in.judge("eu-west", partial(250)) }, nowhere, 0},
		{"place and draw", "geo(country/DE: eu-west, default: weighted(1 us-east, 1 ap-south))", nil, newYork, 26},
		{"place without draw", "geo(country/DE: eu-west, default: weighted(1 us-east, 1 ap-south))", nil, berlin, 26},
		{"wide place and draw", "geo(country/DE: eu-west, default: weighted(1 us-east, 1 ap-south))", nil, addr("2001:db8:ff::"), 48},
		{"wide place without draw", "geo(country/DE: eu-west, default: us-east)", nil, addr("8000::"), 1},
		{"rotation", "round-robin(us-east, eu-west)", nil, berlin, 0},
		{
			"region", "failover(us-east, eu-west)",
			func(in *Inputs) { in.judge("us-east", avoided("europe")) }, berlin, 26,
		},
		{
			"region of no importance here", "failover(us-east, eu-west)",
			func(in *Inputs) { in.judge("eu-west", avoided("europe")) }, berlin, 0,
		},
		{"all down", "nearest(us-east, eu-west)", func(in *Inputs) {
			in.judge("us-east", down(0))
			in.judge("eu-west", down(0))
		}, berlin, 26},
	}
	for _, test := range tests {
		in := threeSites()
		in.allUp()
		if test.fail != nil {
			test.fail(&in)
		}
		in.Services = []Service{shop(test.policy)}
		p := compile(t, in, nil)
		if got := answer(p, "shop", test.client).Scope; got != test.want {
			t.Errorf("%s: %s: scope %d for %s, want %d", test.name, test.policy, got, test.client, test.want)
		}
		in.Services[0].IgnoreECS = true
		if p = compile(t, in, p); answer(p, "shop", test.client).Scope != 0 || !p.IgnoresECS(0) {
			t.Errorf("%s: %s: scope above 0 with ECS ignored", test.name, test.policy)
		}
	}
}

func avoided(regions ...string) health.Verdict {
	v := up()
	v.AvoidRegions = regions
	return v
}

func TestTTL(t *testing.T) {
	verdict := func(l health.Level, weight uint16, ttl uint32) health.Verdict {
		return health.Verdict{Level: l, Weight: weight, TTL: ttl}
	}
	tests := []struct {
		name string
		fail func(in *Inputs)
		want uint32
	}{
		{"settled", func(in *Inputs) {}, 30},
		{"health would allow more", func(in *Inputs) { in.judge("us-east", verdict(health.Up, 1000, 300)) }, 30},
		{"suspect", func(in *Inputs) { in.judge("us-east", verdict(health.Up, 1000, 10)) }, 10},
		{"least", func(in *Inputs) { in.judge("us-east", verdict(health.Up, 1000, 1)) }, 5},
		{"ramp", func(in *Inputs) { in.judge("us-east", verdict(health.Up, 500, 30)) }, 5},
		{"partial", func(in *Inputs) { in.judge("us-east", verdict(health.Partial, 1000, 30)) }, 5},
		{"unknown", func(in *Inputs) { in.judge("us-east", health.Verdict{}) }, 5},
		{"not probed", func(in *Inputs) { in.Services[0].Checks = nil }, 30},
		{"down", func(in *Inputs) { in.judge("us-east", verdict(health.Down, 0, 20)) }, 20},
		{"held", func(in *Inputs) {
			in.judge("us-east", verdict(health.Partial, 300, 10))
			x := in.override("us-east", replication.Freeze)
			x.FrozenLevel, x.FrozenWeight = "up", 1000
		}, 30},
		{"drained", func(in *Inputs) {
			in.judge("us-east", verdict(health.Down, 0, 10))
			in.override("us-east", replication.Drain)
		}, 30},
		{"all down", func(in *Inputs) {
			in.judge("us-east", verdict(health.Down, 0, 30))
			in.judge("eu-west", verdict(health.Down, 0, 30))
		}, 5},
	}
	for _, test := range tests {
		in := threeSites()
		in.allUp()
		in.Services = []Service{shop("failover(us-east, eu-west)")}
		test.fail(&in)
		if got := answer(compile(t, in, nil), "shop", berlin).TTL; got != test.want {
			t.Errorf("%s: TTL %d, want %d", test.name, got, test.want)
		}
	}
}

func TestRotation(t *testing.T) {
	for _, policy := range []string{
		"round-robin(us-east, eu-west, ap-south)", "nearest(us-east, eu-west, ap-south, count=3)",
		"round-robin(us-east, failover(us-east, eu-west), round-robin(eu-west, ap-south))",
	} {
		in := threeSites()
		in.allUp()
		in.Services = []Service{shop(policy)}
		p := compile(t, in, nil)
		first := map[netip.Addr]int{}
		for turn := range uint32(12) {
			a := p.Answer(0, typeA, Client{Addr: berlin}, turn, nil)
			first[a.Addrs[0]]++
			if len(slices.Compact(slices.SortedFunc(slices.Values(a.Addrs), netip.Addr.Compare))) != 3 {
				t.Errorf("%s: %v: want three addresses", policy, a.Addrs)
			}
		}
		for a, n := range first {
			if n != 4 {
				t.Errorf("%s: %s is first %d times in 12", policy, a, n)
			}
		}
	}
}

func TestAnswerAppends(t *testing.T) {
	in := threeSites()
	in.allUp()
	in.Services = []Service{shop("round-robin(us-east, eu-west)")}
	p := compile(t, in, nil)
	before := addr("198.51.100.1") // us-east's, which must not count as answered already
	dst := append(make([]netip.Addr, 0, 4), before)
	a := p.Answer(0, typeA, Client{Addr: berlin}, 0, dst)
	if sitesOf(in, a) != "us-east eu-west" || &a.Addrs[0] != &dst[:2][1] {
		t.Errorf("appended %v", a.Addrs)
	}
	for _, qtype := range []uint16{0, 5, 255} {
		if a := p.Answer(0, qtype, Client{Addr: berlin}, 0, dst); len(a.Addrs) != 0 || a.Cause != CauseNoFamily {
			t.Errorf("type %d: %+v", qtype, a)
		}
	}
	// A client without an address is in no known place.
	if a := p.Answer(0, typeA, Client{}, 0, nil); len(a.Addrs) != 2 {
		t.Errorf("no address: %+v", a)
	}
	if _, ok := p.Service("shoe"); ok {
		t.Error("there is no shoe")
	}
}
