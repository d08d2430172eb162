package steer

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/meridian-gtm/meridian/geo"
	"github.com/meridian-gtm/meridian/health"
	"github.com/meridian-gtm/meridian/replication"
)

// random makes fleets, policies and failures from one seed.
type random struct{ *rand.Rand }

func newRandom(seed uint64) random { return random{rand.New(rand.NewPCG(seed, 1))} }

func (r random) one(in int) bool { return r.IntN(in) == 0 }

func pick[T any](r random, list ...T) T { return list[r.IntN(len(list))] }

var spots = []geo.Coord{
	{Lat: 40.71, Lon: -74.01}, {Lat: 50.11, Lon: 8.68}, {Lat: 19.08, Lon: 72.88}, {Lat: 35.68, Lon: 139.69},
	{Lat: -33.87, Lon: 151.21}, {Lat: -23.55, Lon: -46.63}, {Lat: 52.52, Lon: 13.40}, {Lat: 0, Lon: 0},
}

func (r random) inputs() Inputs {
	in := Inputs{Verdicts: map[health.Target]health.Verdict{}}
	for i := range 2 + r.IntN(4) {
		in.Datacenters = append(in.Datacenters, Datacenter{
			Name: fmt.Sprintf("dc%d", i), Region: pick(r, "west", "east", "south"), Coord: pick(r, spots...),
		})
	}
	for i := range 1 + r.IntN(7) {
		s := Site{
			Name: fmt.Sprintf("s%d", i), Datacenter: pick(r, in.Datacenters...).Name, Capacity: uint32(r.IntN(100)),
			Weight: pick[uint32](r, 100, 100, 100, 50, 1, 0),
		}
		if s.V4 = netip.AddrFrom4([4]byte{198, 51, 100, byte(i + 1)}); r.one(6) {
			s.V4 = netip.Addr{}
		}
		if s.V6 = addr(fmt.Sprintf("2001:db8::%d", i+1)); s.V4.IsValid() && r.one(3) {
			s.V6 = netip.Addr{}
		}
		in.Sites = append(in.Sites, s)
	}
	in.World = r.world(in)
	for i := range 1 + r.IntN(3) {
		s := Service{
			Name: fmt.Sprintf("svc%d", i), Policy: r.policy(in, 3), TTLMin: 5, TTLMax: uint32(5 + r.IntN(60)),
			AllDown: pick(r, "", LastGood, All, None, LastResort), Checks: pick(r, nil, []string{"web"}, []string{"web", "sql"}),
		}
		if s.AllDown == LastResort || r.one(4) {
			s.LastResort = pick(r, []netip.Addr{addr("203.0.113.250")}, []netip.Addr{addr("2001:db8::ffff")},
				[]netip.Addr{addr("203.0.113.250"), addr("2001:db8::ffff")})
		}
		in.Services = append(in.Services, s)
	}
	r.fail(&in)
	return in
}

func (r random) world(in Inputs) *geo.World {
	if r.one(10) {
		return nil
	}
	places := make([]geo.Place, 6)
	for i := range places {
		places[i] = geo.Place{
			Continent: pick(r, "EU", "NA", "AS", ""), Country: pick(r, "DE", "US", "IN", ""),
			Subdivision: pick(r, "", "NY", "BE"), City: pick(r, "", "Berlin", "Pune"),
			ASN: uint32(pick(r, 0, 64500, 64501)), Label: pick(r, "", "", "office"),
		}
		if places[i].Located = !r.one(4); places[i].Located {
			places[i].Coord = pick(r, spots...)
		}
		if r.one(5) {
			places[i].Sites = pick(r, "s1,s0", "s0", "s3,nowhere,s1")
		}
	}
	networks := map[netip.Prefix]geo.Network{}
	for range r.IntN(24) {
		a := r.client()
		bits := 20 + r.IntN(12)
		if a.Is6() {
			bits = 32 + r.IntN(30)
		}
		p, _ := a.Prefix(bits)
		networks[p] = geo.Network{Prefix: p, Place: pick(r, places...)}
	}
	var list []geo.Network
	for _, n := range networks {
		list = append(list, n)
	}
	return world(list...)
}

// client is an address of the documentation networks.
func (r random) client() netip.Addr {
	if r.one(2) {
		b := pick(r, [4]byte{192, 0, 2}, [4]byte{198, 51, 100}, [4]byte{203, 0, 113})
		b[3] = byte(r.IntN(256))
		return netip.AddrFrom4(b)
	}
	b := addr("2001:db8::").As16()
	for i := 4; i < 16; i++ {
		b[i] = byte(r.IntN(256))
	}
	b[4] &= 3 // few /40s, so that networks meet
	return netip.AddrFrom16(b)
}

func (r random) policy(in Inputs, depth int) Policy {
	sites := func() []Policy {
		var list []Policy
		for _, i := range r.Perm(len(in.Sites))[:1+r.IntN(len(in.Sites))] {
			list = append(list, Policy{Kind: KindSite, Site: in.Sites[i].Name})
		}
		return list
	}
	if depth == 0 || r.one(8) {
		return sites()[0]
	}
	p := Policy{Kind: pick(r, KindRoundRobin, KindWeighted, KindGeo, KindNearest, KindNearest, KindFailover, KindSticky)}
	switch {
	case p.Kind == KindNearest:
		p.Children = sites()
		p.Count = r.IntN(len(p.Children) + 1)
	case p.Kind == KindGeo:
		for _, i := range r.Perm(6)[:1+r.IntN(4)] {
			rule := []Rule{
				{Kind: MatchLabel, Value: "office"}, {Kind: MatchASN, Value: "64500"}, {Kind: MatchCity, Value: "DE/Berlin"},
				{Kind: MatchSubdivision, Value: "US-NY"}, {Kind: MatchCountry, Value: "DE"},
				{Kind: MatchContinent, Value: "EU"},
			}[i]
			rule.Child = r.policy(in, depth-1)
			p.Rules = append(p.Rules, rule)
		}
		child := r.policy(in, depth-1)
		p.Default = &child
	case r.one(2):
		p.Children = sites()
	default:
		seen := map[string]bool{}
		for range 1 + r.IntN(3) {
			if c := r.policy(in, depth-1); !seen[c.Site] || c.Site == "" {
				seen[c.Site] = true
				p.Children = append(p.Children, c)
			}
		}
	}
	if p.Kind == KindWeighted {
		for range p.Children {
			p.Weights = append(p.Weights, pick[uint32](r, 0, 1, 10, 70))
		}
		p.Weights[r.IntN(len(p.Weights))] = 5
	}
	return p
}

// fail makes verdicts and overrides anew.
func (r random) fail(in *Inputs) {
	bad := r.IntN(4) // how much of the fleet is in trouble
	for _, s := range in.Sites {
		for _, f := range families {
			for _, check := range []string{"web", "sql"} {
				v := up()
				if r.IntN(4) < bad {
					v = pick(r, down(time.Duration(r.IntN(300))*time.Second), partial(uint16(pick(r, 250, 500, 900))),
						health.Verdict{}, health.Verdict{Level: health.Up, Weight: uint16(pick(r, 0, 100, 250, 500)), TTL: 10})
				}
				if r.one(5) {
					v.AvoidRegions = pick(r, []string{"east"}, []string{"east", "west"}, []string{"mars"}, []string{"", "west"})
				}
				in.Verdicts[health.Target{Site: s.Name, Check: check, Family: f}] = v
			}
		}
	}
	in.Overrides = nil
	for range r.IntN(1 + 2*bad) {
		x := in.override(pick(r, in.Sites...).Name,
			pick(r, replication.Freeze, replication.Isolate, replication.ForceUp, replication.Drain, replication.Weight))
		x.Percent, x.FrozenLevel, x.FrozenWeight = pick(r, 0, 10, 50, 100, 300), pick(r, "up", "partial", "down"), r.IntN(1001)
		if r.one(3) {
			x.Service = pick(r, in.Services...).Name
		}
	}
}

// laws runs law over random inputs, four rounds of failures for each fleet, and prints the seed of one that fails.
func laws(t *testing.T, fleets int, law func(t *testing.T, r random, in Inputs, p *Plan)) {
	t.Helper()
	seed := uint64(0)
	defer func() {
		if t.Failed() {
			t.Logf("seed %d", seed)
		}
	}()
	for ; seed < uint64(fleets) && !t.Failed(); seed++ {
		r := newRandom(seed)
		in := r.inputs()
		var p *Plan
		for range 4 {
			p = compile(t, in, p)
			law(t, r, in, p)
			r.fail(&in)
		}
	}
}

// each calls f with a few random clients for every service and family.
func (r random) each(in Inputs, clients int, f func(s Service, family int, client netip.Addr)) {
	for _, s := range in.Services {
		for family := range families {
			for range clients {
				f(s, family, r.client())
			}
		}
	}
}

func ask(p *Plan, s Service, family int, client netip.Addr) Answer {
	n, _ := p.Service(s.Name)
	return p.Answer(n, [2]uint16{typeA, typeAAAA}[family], Client{Addr: client, ECS: true}, 0, nil)
}

func TestAnswersLikeOracle(t *testing.T) {
	laws(t, 120, func(t *testing.T, r random, in Inputs, p *Plan) {
		r.each(in, 12, func(s Service, family int, client netip.Addr) {
			o := newOracle(in, s, families[family], client)
			sites, resort, cause := o.answer()
			var want []netip.Addr
			for _, name := range sites {
				if a := o.addr(name); !slices.Contains(want, a) {
					want = append(want, a)
				}
			}
			for _, a := range s.LastResort {
				if resort && a.Is4() == (families[family] == health.V4) {
					want = append(want, a)
				}
			}
			got := ask(p, s, family, client)
			if !slices.Equal(got.Addrs, want) || got.Cause != cause {
				t.Errorf("%s %s %s: %v cause %d, the oracle says %v cause %d\npolicy %s", s.Name, families[family], client,
					got.Addrs, got.Cause, want, cause, formatPolicy(s.Policy))
			}
		})
	})
}

func TestEveryoneInScopeGetsTheAnswer(t *testing.T) {
	laws(t, 60, func(t *testing.T, r random, in Inputs, p *Plan) {
		r.each(in, 6, func(s Service, family int, client netip.Addr) {
			a := ask(p, s, family, client)
			prefix, err := client.Prefix(int(a.Scope))
			if err != nil {
				t.Fatalf("scope %d of %s: %v", a.Scope, client, err)
			}
			for _, other := range r.within(in, prefix) {
				b := ask(p, s, family, other)
				if !slices.Equal(a.Addrs, b.Addrs) || a.TTL != b.TTL || a.Cause != b.Cause {
					t.Fatalf("%s in %s: %v, but %s: %v\npolicy %s", client, prefix, a, other, b, formatPolicy(s.Policy))
				}
			}
		})
	})
}

// within samples addresses of a prefix, those next to the edges of networks first.
func (r random) within(in Inputs, prefix netip.Prefix) []netip.Addr {
	var list []netip.Addr
	if in.World != nil {
		for p := range in.World.Networks() {
			if a := p.Addr(); prefix.Contains(a) && len(list) < 40 {
				list = append(list, a)
			}
			if a := p.Addr().Prev(); a.IsValid() && prefix.Contains(a) && len(list) < 40 {
				list = append(list, a)
			}
		}
	}
	for range 10 {
		b := prefix.Addr().AsSlice()
		for i := range b {
			keep := min(max(prefix.Bits()-8*i, 0), 8)
			b[i] |= byte(r.IntN(256)) & (0xff >> keep)
		}
		a, _ := netip.AddrFromSlice(b)
		list = append(list, a)
	}
	return list
}

func TestEmptyOnlyWhenAsked(t *testing.T) {
	laws(t, 60, func(t *testing.T, r random, in Inputs, p *Plan) {
		r.each(in, 6, func(s Service, family int, client netip.Addr) {
			a := ask(p, s, family, client)
			if len(a.Addrs) > 0 || a.Cause == CauseNoFamily || s.AllDown == None {
				return
			}
			o := newOracle(in, s, families[family], client)
			for _, name := range o.reach(s.Policy) {
				if o.addr(name).IsValid() && !o.judge(name).isolated {
					t.Fatalf("%s %s %s: nothing, but %s is not isolated", s.Name, families[family], client, name)
				}
			}
		})
	})
}

func TestIsolatedIsNeverAnswered(t *testing.T) {
	laws(t, 60, func(t *testing.T, r random, in Inputs, p *Plan) {
		r.each(in, 6, func(s Service, family int, client netip.Addr) {
			o := newOracle(in, s, families[family], client)
			for _, a := range ask(p, s, family, client).Addrs {
				for _, site := range in.Sites {
					if o.addr(site.Name) == a && o.judge(site.Name).isolated {
						t.Fatalf("%s %s %s: %s is isolated", s.Name, families[family], client, site.Name)
					}
				}
			}
		})
	})
}

// TestLowerWeightNeverRaises drains or lowers a site: no client comes to it who was not there. Weighted nodes are
// left out, whose draw moves clients both ways; TestWeightedShares counts them.
func TestLowerWeightNeverRaises(t *testing.T) {
	laws(t, 60, func(t *testing.T, r random, in Inputs, p *Plan) {
		in.Overrides = nil
		before := compile(t, in, p)
		site := pick(r, in.Sites...)
		lower := in
		if r.one(2) {
			lower.override(site.Name, replication.Drain)
		} else {
			lower.override(site.Name, replication.Weight).Percent = r.IntN(100)
		}
		after := compile(t, lower, before)
		r.each(in, 10, func(s Service, family int, client netip.Addr) {
			if strings.Contains(formatPolicy(s.Policy), "weighted") {
				return
			}
			o := newOracle(in, s, families[family], client)
			a, b := ask(before, s, family, client).Addrs, ask(after, s, family, client).Addrs
			if x := o.addr(site.Name); slices.Contains(b, x) && !slices.Contains(a, x) {
				t.Fatalf("%s %s %s: %v -> %v by %v\npolicy %s", s.Name, families[family], client, a, b, lower.Overrides,
					formatPolicy(s.Policy))
			}
		})
	})
}

func TestOrderOfInputsDoesNotMatter(t *testing.T) {
	laws(t, 40, func(t *testing.T, r random, in Inputs, p *Plan) {
		shuffled := in
		shuffled.Datacenters, shuffled.Sites = slices.Clone(in.Datacenters), slices.Clone(in.Sites)
		shuffled.Services, shuffled.Overrides = slices.Clone(in.Services), slices.Clone(in.Overrides)
		r.Shuffle(len(in.Datacenters), func(i, j int) {
			shuffled.Datacenters[i], shuffled.Datacenters[j] = shuffled.Datacenters[j], shuffled.Datacenters[i]
		})
		r.Shuffle(len(in.Sites), func(i, j int) {
			shuffled.Sites[i], shuffled.Sites[j] = shuffled.Sites[j], shuffled.Sites[i]
		})
		r.Shuffle(len(in.Services), func(i, j int) {
			shuffled.Services[i], shuffled.Services[j] = shuffled.Services[j], shuffled.Services[i]
		})
		r.Shuffle(len(in.Overrides), func(i, j int) {
			shuffled.Overrides[i], shuffled.Overrides[j] = shuffled.Overrides[j], shuffled.Overrides[i]
		})
		q := compile(t, shuffled, nil)
		if p.Epoch() != q.Epoch() {
			t.Fatalf("epoch %s, shuffled %s", p.Epoch(), q.Epoch())
		}
		alikePlans(t, r, in, p, q)
	})
}

// TestPreviousPlanIsOnlyACache walks through failures and repairs: a plan made from the one before is the plan made
// from nothing.
func TestPreviousPlanIsOnlyACache(t *testing.T) {
	laws(t, 6, func(t *testing.T, r random, in Inputs, prev *Plan) {
		in.Sites, in.Services = slices.Clone(in.Sites), slices.Clone(in.Services)
		in.Datacenters, in.Verdicts = slices.Clone(in.Datacenters), maps.Clone(in.Verdicts)
		for range 8 {
			fresh, cached := compile(t, in, nil), compile(t, in, prev)
			if fresh.Epoch() != cached.Epoch() {
				t.Fatalf("epoch %s, with a previous plan %s", fresh.Epoch(), cached.Epoch())
			}
			if diff := cmp.Diff(fresh.Pools(), cached.Pools()); diff != "" {
				t.Fatal(diff)
			}
			alikePlans(t, r, in, fresh, cached)
			prev = cached
			switch r.IntN(6) {
			case 0:
				in.World = r.world(in)
			case 1:
				in.Services[0].Policy = r.policy(in, 2)
			case 2:
				in.Sites[0].Weight = uint32(r.IntN(100))
			case 3:
				in.Datacenters[0].Coord = pick(r, spots...)
			default:
				r.fail(&in)
			}
		}
	})
}

// TestEqualEpochsAnswerAlike changes one thing: either the epoch changes or no answer does.
func TestEqualEpochsAnswerAlike(t *testing.T) {
	same := 0
	laws(t, 60, func(t *testing.T, r random, in Inputs, p *Plan) {
		in.Verdicts = maps.Clone(in.Verdicts)
		for k, v := range in.Verdicts {
			v.Age += time.Duration(r.IntN(200)) * time.Second
			v.Reason = "retold"
			v.Votes = []health.Vote{{Datacenter: "dc0"}}
			if r.one(20) {
				v.Weight /= 2
			}
			in.Verdicts[k] = v
		}
		q := compile(t, in, p)
		if p.Epoch() == q.Epoch() {
			same++
			alikePlans(t, r, in, p, q)
		}
	})
	if same == 0 {
		t.Error("ages and reasons alone always changed the epoch")
	}
}

func alikePlans(t *testing.T, r random, in Inputs, p, q *Plan) {
	t.Helper()
	r.each(in, 6, func(s Service, family int, client netip.Addr) {
		a, b := ask(p, s, family, client), ask(q, s, family, client)
		if !slices.Equal(a.Addrs, b.Addrs) || a.TTL != b.TTL || a.Scope != b.Scope || a.Cause != b.Cause {
			t.Fatalf("%s %s %s: %v and %v", s.Name, families[family], client, a, b)
		}
	})
}

// TestExplainTellsTheAnswer compares the account with the answer: the walk it tells ends where the answer is.
func TestExplainTellsTheAnswer(t *testing.T) {
	laws(t, 60, func(t *testing.T, r random, in Inputs, p *Plan) {
		r.each(in, 6, func(s Service, family int, client netip.Addr) {
			a := ask(p, s, family, client)
			n, _ := p.Service(s.Name)
			trace := p.Explain(n, [2]uint16{typeA, typeAAAA}[family], Client{Addr: client, ECS: true})
			if !slices.Equal(trace.Answer, a.Addrs) || trace.TTL != a.TTL || trace.Scope != a.Scope ||
				(trace.AllDown != "") != (a.Cause == CauseAllDown) || trace.Epoch != p.Epoch() {
				t.Fatalf("%v explained as %+v", a, trace)
			}
			var chosen []string
			for _, c := range trace.Candidates {
				if c.Chosen {
					chosen = append(chosen, c.Site)
				}
			}
			sites := slices.DeleteFunc(slices.Clone(trace.Sites), func(s string) bool { return s == "last-resort" })
			if slices.Sort(sites); !slices.Equal(slices.Sorted(slices.Values(chosen)), sites) {
				t.Fatalf("chosen %v of sites %v", chosen, sites)
			}
			var counted []string
			for i, name := range *p.Sites(n) {
				if a.Sites>>min(i, MaxSites-1)&1 == 1 {
					counted = append(counted, name)
				}
			}
			if slices.Sort(counted); !slices.Equal(counted, sites) {
				t.Fatalf("counted %v of sites %v", counted, sites)
			}
			policy := formatPolicy(s.Policy)
			if len(sites) == 0 || s.Policy.Kind == KindSite {
				return
			}
			// Without a round-robin the walk is one path, whose last step gives the answer.
			last := trace.Steps[len(trace.Steps)-1]
			if !strings.Contains(policy, "round-robin") && !strings.HasSuffix(last, "-> "+strings.Join(trace.Sites, ", ")) {
				t.Fatalf("%s %s %s: sites %v, but the steps say:\n%s\npolicy %s", s.Name, families[family], client, trace.Sites,
					strings.Join(trace.Steps, "\n"), policy)
			}
		})
	})
}

func formatPolicy(p Policy) string {
	if p.Kind == KindSite {
		return p.Site
	}
	var parts []string
	for i, c := range p.Children {
		part := formatPolicy(c)
		if p.Kind == KindWeighted {
			part = fmt.Sprintf("%d %s", p.Weights[i], part)
		}
		parts = append(parts, part)
	}
	for _, r := range p.Rules {
		parts = append(parts, newMatch(r, 0).String()+": "+formatPolicy(r.Child))
	}
	if p.Default != nil {
		parts = append(parts, "default: "+formatPolicy(*p.Default))
	}
	if p.Count > 0 {
		parts = append(parts, fmt.Sprintf("count=%d", p.Count))
	}
	return string(p.Kind) + "(" + strings.Join(parts, ", ") + ")"
}
