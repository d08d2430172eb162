package node

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/meridian-gtm/meridian/control"
)

func TestAllSitesDown(t *testing.T) {
	f := running(t, 3)
	f.wires.set("*", "*", true)
	f.eventually("every service is all down everywhere", func() error {
		f.whereTo() // fails the test on any answer without an address
		for _, m := range f.nodes {
			for _, s := range m.status().Services {
				if !s.AllDown {
					return fmt.Errorf("%s: %s %s has %v", m.site.Name, s.Service, s.Family, s.Available)
				}
			}
		}
		return f.oneEpoch()
	})
	for _, m := range f.nodes {
		for name, want := range map[string]string{
			"rotated.shop.example": "ap eu us",      // all
			"ordered.shop.example": "198.51.100.99", // last-resort
		} {
			if got := m.sitesFor(name, frankfurt); got != want {
				t.Errorf("%s: %s is %s: want %s", m.site.Name, name, got, want)
			}
		}
		s := m.status()
		if !strings.Contains(s.Summary, "service shop v4: nothing available, the all-down policy answers") {
			t.Errorf("summary %q: want it to say that the all-down policy answers", s.Summary)
		}
		if !slices.ContainsFunc(s.Alarms, func(a string) bool { return strings.Contains(a, "all 3 sites are down") }) {
			t.Errorf("alarms %q: want that all sites are down", s.Alarms)
		}
		e, err := m.api.Explain(t.Context(), control.ExplainQuery{Name: "www.shop.example", Type: "A", Client: frankfurt})
		if err != nil || e.Trace.AllDown != "last-good" || !strings.Contains(strings.Join(e.Trace.Steps, "\n"), "all down") {
			t.Errorf("explain says %+v, %v: want the last-good policy", e.Trace, err)
		}
		metrics := m.metrics()
		if metrics[`meridian_service_all_down{family="v4",service="shop"}`] != 1 || metrics[`meridian_site_level{check="web",family="v4",site="eu"}`] != 1 {
			t.Error("metrics do not say that everything is down")
		}
	}
	f.answersAlike()

	f.wires.set("*", "*", false)
	f.settle()
	if got := f.nodes[2].sitesFor("www.shop.example", frankfurt); got != "eu" {
		t.Errorf("after recovery Frankfurt is sent to %s", got)
	}
	if m := f.nodes[0].metrics(); m[`meridian_service_all_down{family="v4",service="shop"}`] != 0 {
		t.Error("metrics still say all down")
	}
}

// A family that a service has no site of is NODATA with the zone's SOA, whatever health says, not an error.
func TestNoFamilyIsNoData(t *testing.T) {
	f := running(t, 3, func(v *fleetVars) {
		v.Services = "  old: {policy: ap, checks: [web]}"
		v.Steer = ", old: old"
	})
	if a := f.nodes[0].ask("old.shop.example", dns.TypeAAAA, netip.Prefix{}); a.rcode != "NOERROR" || len(a.addrs) != 0 {
		t.Errorf("AAAA of a service without IPv6: %v: want NODATA", a)
	}
}
