package steer

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/meridian-gtm/meridian/geo"
	"github.com/meridian-gtm/meridian/health"
	"github.com/meridian-gtm/meridian/replication"
)

// threeSites is the fleet most tests are about: one site on each of three continents, eu-west alone with IPv6.
func threeSites() Inputs {
	return Inputs{
		Datacenters: []Datacenter{
			{Name: "us-east", Region: "americas", Coord: geo.Coord{Lat: 40.71, Lon: -74.01}},
			{Name: "eu-west", Region: "europe", Coord: geo.Coord{Lat: 50.11, Lon: 8.68}},
			{Name: "ap-south", Region: "asia", Coord: geo.Coord{Lat: 19.08, Lon: 72.88}},
		},
		Sites: []Site{
			{Name: "us-east", Datacenter: "us-east", V4: addr("198.51.100.1"), Weight: 100, Capacity: 1000},
			{
				Name: "eu-west", Datacenter: "eu-west", V4: addr("198.51.100.2"), V6: addr("2001:db8::2"), Weight: 100,
				Capacity: 1000,
			},
			{Name: "ap-south", Datacenter: "ap-south", V4: addr("198.51.100.3"), Weight: 100, Capacity: 500},
		},
		World:    cities(),
		Verdicts: map[health.Target]health.Verdict{},
	}
}

// cities puts New York, Berlin and Mumbai on the map; everything else is unknown.
func cities() *geo.World {
	return world(
		network("192.0.2.0/26 continent=NA country=US subdivision=NY city=New_York lat=40.7 lon=-74 asn=64500"),
		network("192.0.2.64/26 continent=EU country=DE subdivision=BE city=Berlin lat=52.5 lon=13.4 asn=64501"),
		network("192.0.2.128/26 continent=AS country=IN subdivision=MH city=Mumbai lat=19 lon=72.8 asn=64502"),
		network("2001:db8:1::/48 continent=EU country=DE subdivision=BE city=Berlin lat=52.5 lon=13.4 asn=64501"),
	)
}

var newYork, berlin, nowhere = addr("192.0.2.1"), addr("192.0.2.65"), addr("203.0.113.1")

func world(networks ...geo.Network) *geo.World {
	var b geo.Builder
	if err := b.Add(geo.Layer(networks...)); err != nil {
		panic(err)
	}
	return b.World()
}

// network parses "PREFIX FIELD=VALUE ..."; an underscore is a space.
func network(s string) geo.Network {
	prefix, rest, _ := strings.Cut(s, " ")
	n := geo.Network{Prefix: netip.MustParsePrefix(prefix)}
	p := &n.Place
	for _, f := range strings.Fields(rest) {
		name, value, _ := strings.Cut(f, "=")
		value = strings.ReplaceAll(value, "_", " ")
		number, _ := strconv.ParseFloat(value, 64)
		switch name {
		case "continent":
			p.Continent = value
		case "country":
			p.Country = value
		case "subdivision":
			p.Subdivision = value
		case "city":
			p.City = value
		case "asn":
			p.ASN = uint32(number)
		case "label":
			p.Label = value
		case "sites":
			p.Sites = value
		case "lat":
			p.Coord.Lat, p.Located = number, true
		case "lon":
			p.Coord.Lon = number
		default:
			panic("no field " + name)
		}
	}
	return n
}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// shop is a service with one check.
func shop(policy string) Service {
	return Service{Name: "shop", Policy: parsePolicy(policy), TTLMin: 5, TTLMax: 30, Checks: []string{"web"}}
}

// up, partial and down are settled verdicts.
func up() health.Verdict {
	return health.Verdict{Level: health.Up, Weight: 1000, TTL: 30, Age: time.Hour}
}

func partial(weight uint16) health.Verdict {
	return health.Verdict{Level: health.Partial, Weight: weight, TTL: 10, Age: time.Hour}
}

func down(age time.Duration) health.Verdict {
	return health.Verdict{Level: health.Down, TTL: 10, Age: age, Reason: "down: 2 of 2 foreign datacenters"}
}

// judge sets the verdict on a site's check web for both families.
func (in *Inputs) judge(site string, v health.Verdict) {
	for _, f := range families {
		in.Verdicts[health.Target{Site: site, Check: "web", Family: f}] = v
	}
}

// allUp gives every site a settled verdict.
func (in *Inputs) allUp() {
	for _, s := range in.Sites {
		in.judge(s.Name, up())
	}
}

func (in *Inputs) override(site string, a replication.Action) *replication.Override {
	in.Overrides = append(in.Overrides, replication.Override{
		Site: site, Action: a, Who: "ana", Why: "disk swap", Created: 1000 + int64(len(in.Overrides)),
	})
	return &in.Overrides[len(in.Overrides)-1]
}

func compile(t testing.TB, in Inputs, prev *Plan) *Plan {
	t.Helper()
	p, err := Compile(in, prev)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// answer asks for the service's A addresses over ECS.
func answer(p *Plan, service string, client netip.Addr) Answer {
	n, ok := p.Service(service)
	if !ok {
		panic("no service " + service)
	}
	return p.Answer(n, typeA, Client{Addr: client, ECS: true}, 0, nil)
}

// sitesOf names the sites of an answer.
func sitesOf(in Inputs, a Answer) string {
	var names []string
	for _, x := range a.Addrs {
		name := "last-resort"
		for _, s := range in.Sites {
			if s.V4 == x || s.V6 == x {
				name = s.Name
			}
		}
		names = append(names, name)
	}
	return strings.Join(names, " ")
}

// parsePolicy reads the policies of tests: "SITE", "KIND(CHILD, ...)" with "WEIGHT CHILD" in weighted,
// "KIND/VALUE: CHILD" and "default: CHILD" in geo and "count=N" in nearest.
func parsePolicy(s string) Policy {
	p := &policyParser{s: s}
	policy := p.policy()
	if p.s = strings.TrimSpace(p.s); p.s != "" {
		panic("left over: " + p.s)
	}
	return policy
}

type policyParser struct{ s string }

// word reads up to one of "(),:" or a space.
func (p *policyParser) word() string {
	p.s = strings.TrimLeft(p.s, " \n")
	end := strings.IndexAny(p.s, "(),: \n")
	if end < 0 {
		end = len(p.s)
	}
	w := p.s[:end]
	p.s = strings.TrimLeft(p.s[end:], " \n")
	return w
}

func (p *policyParser) accept(s string) bool {
	rest, ok := strings.CutPrefix(p.s, s)
	if ok {
		p.s = strings.TrimLeft(rest, " \n")
	}
	return ok
}

var matchKinds = map[string]MatchKind{
	"label": MatchLabel, "asn": MatchASN, "city": MatchCity, "subdivision": MatchSubdivision, "country": MatchCountry,
	"continent": MatchContinent,
}

func (p *policyParser) policy() Policy {
	name := p.word()
	if !p.accept("(") {
		return Policy{Kind: KindSite, Site: name}
	}
	policy := Policy{Kind: Kind(name)}
	for !p.accept(")") {
		before := p.s
		w := p.word()
		n, err := strconv.Atoi(w)
		kind, value, isMatch := strings.Cut(w, "/")
		count, isCount := strings.CutPrefix(w, "count=")
		switch {
		case isCount:
			policy.Count, _ = strconv.Atoi(count)
		case p.accept(":") && isMatch:
			value = strings.ReplaceAll(value, "_", " ")
			policy.Rules = append(policy.Rules, Rule{Kind: matchKinds[kind], Value: value, Child: p.policy()})
		case w == "default":
			child := p.policy()
			policy.Default = &child
		case policy.Kind == KindWeighted && err == nil:
			policy.Weights = append(policy.Weights, uint32(n))
			policy.Children = append(policy.Children, p.policy())
		default:
			p.s = before
			policy.Children = append(policy.Children, p.policy())
		}
		if p.accept(",") {
			continue
		}
		if !strings.HasPrefix(p.s, ")") {
			panic(fmt.Sprintf("policy: want , or ) before %q", p.s))
		}
	}
	return policy
}
