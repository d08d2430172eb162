package steer

import (
	"errors"
	"math"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestValidatePolicy(t *testing.T) {
	known := func(site string) bool { return site == "a" || site == "b" || site == "c" }
	deep := parsePolicy("a")
	for range maxDepth {
		deep = Policy{Kind: KindFailover, Children: []Policy{deep}}
	}
	tests := []struct {
		name   string
		policy Policy
		want   []string
	}{
		{"site", parsePolicy("a"), nil},
		{"all kinds", parsePolicy("geo(country/DE: weighted(1 a, 0 sticky(b, c)), subdivision/US-NY: round-robin(a, b), " +
			"city/DE/Berlin: failover(a, nearest(b, c, count=2)), asn/64500: a, label/office: b, continent/EU: c, default: a)"), nil},
		{"no kind", Policy{}, []string{`kind: "": want site, round-robin, weighted, geo, nearest, failover or sticky`}},
		{"unknown sites, all of them", parsePolicy("failover(x, round-robin(a, y), a)"), []string{
			`children[0].site: "x": want the name of a site`,
			`children[1].children[1].site: "y": want the name of a site`,
		}},
		{"twice", parsePolicy("failover(a, b, a)"), []string{`children[2].site: "a": want each site once`}},
		{"empty", Policy{Kind: KindSticky}, []string{`children: 0: want 1..4096`}},
		{"deep", deep, []string{
			strings.Repeat("children[0].", 16)[:16*12-1] + ": a policy in 16 others: want at most 15",
		}},
		{"nearest of nodes", parsePolicy("nearest(a, failover(b))"), []string{
			`children[1].kind: "failover": want site: a nearest policy compares distances of sites`,
		}},
		{"count", parsePolicy("nearest(a, b, count=3)"), []string{`count: 3: want 1..2, the number of sites`}},
		{"negative count", Policy{Kind: KindNearest, Count: -1, Children: []Policy{parsePolicy("a")}}, []string{
			`count: -1: want 1..1, the number of sites`,
		}},
		{"weights", Policy{Kind: KindWeighted, Children: []Policy{parsePolicy("a"), parsePolicy("b")}, Weights: []uint32{1_000_001}},
			[]string{`weights: 1: want 2, one per child`, `weights[0]: 1000001: want 0..1000000`}},
		{"no weight", parsePolicy("weighted(0 a, 0 b)"), []string{`weights: all 0: want at least one above 0`}},
		{"geo", Policy{Kind: KindGeo, Children: []Policy{parsePolicy("a")}}, []string{
			`rules: 0: want 1..4096`, `default: none: want a policy for places that no rule matches`,
			`children: 1: want none: a geo policy has rules and a default`,
		}},
		{"matches", parsePolicy("geo(country/de: a, continent/XX: a, subdivision/NY: a, city/Berlin: a, asn/0: a, label/: a, default: x)"),
			[]string{
				`rules[0].value: "de": want an ISO 3166-1 alpha-2 code: "DE"`,
				`rules[1].value: "XX": want AF, AN, AS, EU, NA, OC or SA`,
				`rules[2].value: "NY": want an ISO 3166-2 code: "US-NY"`,
				`rules[3].value: "Berlin": want a country code and a city: "DE/Berlin"`,
				`rules[4].value: "0": want an AS number, 1..4294967295`,
				`rules[5].value: "": want a label`,
				`default.site: "x": want the name of a site`,
			}},
		{"match kind", Policy{Kind: KindGeo, Rules: []Rule{{Kind: 9, Child: parsePolicy("a")}}, Default: &Policy{Kind: KindSite, Site: "a"}},
			[]string{`rules[0].value: "": want a match kind; 9 is none`}},
		{"misplaced", Policy{Kind: KindSite, Site: "a", Count: 1, Weights: []uint32{1}, Children: []Policy{{}},
			Rules: []Rule{{Kind: MatchCountry, Value: "DE", Child: parsePolicy("b")}}, Default: &Policy{Kind: KindSite, Site: "b"}},
			[]string{
				`children: 1: want none`, `weights: set in a "site" policy: want only in weighted`,
				`count: set in a "site" policy: want only in nearest`, `rules: set in a "site" policy: want only in geo`,
				`default: set in a "site" policy: want only in geo`,
				`children[0].kind: "": want site, round-robin, weighted, geo, nearest, failover or sticky`,
			}},
	}
	for _, test := range tests {
		var got []string
		for _, f := range test.policy.Validate(known) {
			got = append(got, f.Error())
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
	}
}

func TestCompileReportsEveryFault(t *testing.T) {
	in := threeSites()
	in.Datacenters = append(in.Datacenters, Datacenter{Name: "eu-west"})
	in.Datacenters[0].Coord.Lat, in.Datacenters[0].Coord.Lon = math.NaN(), 181
	in.Sites = append(in.Sites, Site{Datacenter: "mars", Weight: 1_000_001},
		Site{Name: "us-east", Datacenter: "us-east", V4: addr("2001:db8::9"), V6: addr("::ffff:192.0.2.1")})
	bad := Service{
		Policy: parsePolicy("x"), AllDown: "maybe", TTLMax: 86401, Checks: []string{"web", "web", ""},
		LastResort: []netip.Addr{{}, addr("192.0.2.9"), addr("192.0.2.9")},
	}
	in.Services = []Service{shop("us-east"), shop("us-east"), bad}
	in.Services[1].TTLMin = 31
	in.Services[1].AllDown = LastResort
	_, err := Compile(in, nil)
	want := []string{
		`datacenter "us-east".lat: NaN: want -90..90 degrees`,
		`datacenter "us-east".lon: 181: want -180..180 degrees`,
		`datacenter "eu-west": a second one: want each name once`,
		`site "": no name: want a name`,
		`site "".datacenter: "mars": want the name of a datacenter`,
		`site "": no address: want v4, v6 or both`,
		`site "".weight: 1000001: want 0..1000000`,
		`site "us-east": a second one: want each name once`,
		`site "us-east".v4: 2001:db8::9: want an IPv4 address`,
		`site "us-east".v6: ::ffff:192.0.2.1: want an IPv6 address without zone`,
		`service "shop": a second one: want each name once`,
		`service "shop".ttl_max: 30: want 31..86400`,
		`service "shop".last_resort: empty: want at least one address`,
		`service "": no name: want a name`,
		`service "".policy.site: "x": want the name of a site`,
		`service "".ttl_min: 0: want 1..86400`,
		`service "".ttl_max: 86401: want 1..86400`,
		`service "".all_down: "maybe": want last-good, all, last-resort or none`,
		`service "".last_resort[0]: "invalid IP": want an IPv4 or IPv6 address without zone`,
		`service "".last_resort[2]: 192.0.2.9: want each address once`,
		`service "".checks[1]: "web": want each check once`,
		`service "".checks[2]: empty: want a name`,
	}
	if err == nil {
		t.Fatal("compiled")
	}
	if diff := cmp.Diff(want, strings.Split(err.Error(), "\n")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, ok := errors.AsType[Fault](err); !ok {
		t.Error("the error has no Fault in it")
	}
}

// TestFaultsAreSeenPastThePreviousPlan breaks what the previous plan found sound.
func TestFaultsAreSeenPastThePreviousPlan(t *testing.T) {
	in := threeSites()
	in.Services = []Service{shop("failover(us-east, eu-west)")}
	p := compile(t, in, nil)
	in.Sites = slices.Delete(slices.Clone(in.Sites), 0, 1)
	if _, err := Compile(in, p); err == nil || err.Error() !=
		`service "shop".policy.children[0].site: "us-east": want the name of a site` {
		t.Errorf("a site is gone: %v", err)
	}
}
