package steer

import (
	"fmt"
	"testing"

	"github.com/meridian-gtm/meridian/geo"
)

func define(in Inputs, policy string) *definition {
	f := fleet{sites: map[string]Site{}, datacenters: map[string]Datacenter{}}
	for _, s := range in.Sites {
		f.sites[s.Name] = s
	}
	for _, d := range in.Datacenters {
		f.datacenters[d.Name] = d
	}
	return f.define(shop(policy))
}

// TestGeographyKeys pairs policies: equal keys share a classification, so they must classify alike.
func TestGeographyKeys(t *testing.T) {
	in := threeSites()
	tests := []struct {
		a, b string
		same bool
	}{
		{"us-east", "failover(us-east, eu-west)", true},
		{"nearest(us-east, eu-west)", "weighted(1 ap-south, 1 nearest(us-east, eu-west, count=2))", true},
		{"nearest(us-east, eu-west)", "nearest(eu-west, us-east)", false},
		{"nearest(us-east, eu-west)", "nearest(us-east, ap-south)", false},
		{"geo(country/DE: us-east, default: eu-west)", "geo(country/DE: ap-south, default: us-east)", true},
		{"geo(country/DE: us-east, default: eu-west)", "geo(label/DE: us-east, default: eu-west)", false},
		{
			"geo(country/DE: us-east, continent/EU: eu-west, default: eu-west)",
			"geo(continent/EU: eu-west, country/DE: us-east, default: eu-west)", false,
		},
		{
			"geo(country/DE: failover(nearest(us-east), nearest(eu-west)), default: ap-south)",
			"geo(country/DE: nearest(us-east), default: nearest(eu-west))", false,
		},
		{"geo(subdivision/US-NY: us-east, default: eu-west)", "geo(subdivision/US-NJ: us-east, default: eu-west)", false},
		{"geo(asn/64500: us-east, default: eu-west)", "geo(asn/64501: us-east, default: eu-west)", false},
	}
	for _, test := range tests {
		if a, b := define(in, test.a).geographyKey(), define(in, test.b).geographyKey(); (a == b) != test.same {
			t.Errorf("%s and %s: same key: %t, want %t", test.a, test.b, a == b, test.same)
		}
	}
	before := define(in, "nearest(us-east, eu-west)").geographyKey()
	in.Datacenters[0].Coord.Lat = -in.Datacenters[0].Coord.Lat
	if define(in, "nearest(us-east, eu-west)").geographyKey() == before {
		t.Error("a datacenter moved, and the key did not change")
	}
}

func TestOrderOfSites(t *testing.T) {
	in := threeSites()
	in.Datacenters = append(in.Datacenters, Datacenter{Name: "eu-near", Coord: geo.Coord{Lat: 50.115, Lon: 8.68}})
	in.Sites = append(in.Sites, Site{Name: "eu-2", Datacenter: "eu-near"})
	d := define(in, "nearest(us-east, eu-west, ap-south, eu-2)")
	at := func(lat, lon float64) geo.Place {
		return geo.Place{Coord: geo.Coord{Lat: lat, Lon: lon}, Located: true}
	}
	mapped := func(p geo.Place, sites string) geo.Place { p.Sites = sites; return p }
	for _, test := range []struct {
		place geo.Place
		want  string
	}{
		{at(50.11, 8.68), "eu-west=eu-2 us-east ap-south"}, // 556 m apart
		{at(40.71, -74.01), "us-east eu-2=eu-west ap-south"},
		{geo.Place{}, "ap-south=eu-2=eu-west=us-east"},
		{mapped(geo.Place{}, "us-east,eu-2"), "us-east eu-2 ap-south=eu-west"},
		{mapped(at(40.71, -74.01), "ap-south, nowhere,ap-south"), "ap-south us-east eu-2=eu-west"},
		{mapped(at(40.71, -74.01), "nowhere"), "us-east eu-2=eu-west ap-south"},
	} {
		got := ""
		for group := range groups(d.order(d.root, &test.place)) {
			for i, n := range group {
				if i > 0 {
					got += "="
				} else if got != "" {
					got += " "
				}
				got += d.members[d.root.children[n&^tied].member].Name
			}
		}
		if got != test.want {
			t.Errorf("%+v: %s, want %s", test.place, got, test.want)
		}
	}
}

// TestUnreachedNodesDoNotDivide counts classes: where a place cannot come to a nearest node, its order is nothing
// to tell places apart by, and the scope stays wide.
func TestUnreachedNodesDoNotDivide(t *testing.T) {
	in := threeSites()
	for policy, want := range map[string]int{
		"us-east":                             1,
		"nearest(us-east, eu-west, ap-south)": 4, // three cities and nowhere
		"geo(country/DE: nearest(us-east, eu-west, ap-south), default: us-east)":               2,
		"geo(country/DE: us-east, default: nearest(us-east, eu-west, ap-south))":               4,
		"geo(country/FR: nearest(us-east, eu-west, ap-south), default: us-east)":               1,
		"geo(country/DE: us-east, continent/EU: eu-west, label/x: us-east, default: ap-south)": 2,
	} {
		if g := survey(in.World, define(in, policy)); len(g.classes) != want {
			t.Errorf("%s: %d classes, want %d: %v", policy, len(g.classes), want, fmt.Sprint(g.classes))
		}
	}
}

func TestRegions(t *testing.T) {
	in := threeSites()
	twin := Datacenter{Name: "a-twin", Region: "twin", Coord: in.Datacenters[1].Coord}
	r := newRegions(in.World, []Datacenter{twin, in.Datacenters[2], in.Datacenters[1], in.Datacenters[0]})
	for client, want := range map[string]string{
		"192.0.2.1": "americas", "192.0.2.129": "asia", "203.0.113.1": "", "2001:db8:1::1": "twin", // the first by name
	} {
		n, bits := r.table.Lookup(addr(client))
		place, _ := in.World.Lookup(addr(client))
		if r.names[n] != want || r.of(&place) != want || bits == 0 {
			t.Errorf("%s: region %q by table, %q by place, want %q", client, r.names[n], r.of(&place), want)
		}
	}
}
