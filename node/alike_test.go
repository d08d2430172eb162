package node

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/meridian-gtm/meridian/control"
	"github.com/meridian-gtm/meridian/geo/mmdb/demodb"
	"github.com/meridian-gtm/meridian/replication"
)

// clients are in every city, in the operator's own networks, nowhere, and as narrow and as wide as resolvers send.
func clients() []netip.Prefix {
	list := []netip.Prefix{{}, netip.MustParsePrefix("203.0.113.240/28"), netip.MustParsePrefix("10.0.0.0/8"),
		netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("2001:db8:ffff::/48"), netip.MustParsePrefix("::/0")}
	for _, c := range demodb.Cities() {
		list = append(list, c.V4, c.V6, c.Loopback, netip.PrefixFrom(c.V4.Addr(), 24).Masked(), netip.PrefixFrom(c.V4.Addr().Next(), 32))
	}
	return list
}

var names = []string{"shop.example", "www.shop.example", "rotated.shop.example", "hashed.shop.example", "x.y.app.shop.example",
	"ordered.shop.example", "blind.shop.example", "alias.shop.example", "txt.shop.example", "nothing.shop.example", "elsewhere.example"}

// answersAlike asks every node everything, and compares. It returns the first node's answers.
func (f *fleet) answersAlike() map[string]string {
	f.t.Helper()
	var first map[string]string
	f.eventually("all nodes answer from one plan while they are asked", func() error {
		first = map[string]string{}
		if err := f.oneEpoch(); err != nil {
			return err
		}
		epoch := f.nodes[0].status().Epoch
		var differ []string
		for i, m := range f.nodes {
			for _, name := range names {
				for _, qtype := range []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeTXT} {
					for _, c := range clients() {
						key := fmt.Sprint(name, " ", dns.TypeToString[qtype], " ", c)
						got := m.ask(name, qtype, c).String()
						if i == 0 {
							first[key] = got
						} else if first[key] != got {
							differ = append(differ, fmt.Sprintf("%s: %s: %s, %s: %s", key, f.nodes[0].site.Name, first[key], m.site.Name, got))
						}
					}
				}
			}
		}
		if err := f.oneEpoch(); err != nil || f.nodes[0].status().Epoch != epoch {
			return fmt.Errorf("the plan changed meanwhile: %v", err)
		}
		for _, d := range differ {
			f.t.Error(d)
		}
		return nil
	})
	return first
}

func TestNodesWithTheSameEvidenceAnswerAlike(t *testing.T) {
	f := running(t, 3)
	settled := f.answersAlike()
	if got := settled["www.shop.example A 198.51.100.0/26"]; !strings.HasPrefix(got, "NOERROR [192.0.2.2] ttl 1 ") {
		t.Errorf("Frankfurt is answered %q: want its own site", got)
	}
	if got := settled["www.shop.example AAAA 203.0.113.0/26"]; !strings.HasPrefix(got, "NOERROR [2001:db8::2] ttl 1 ") {
		t.Errorf("Mumbai, whose site has no IPv6, is answered %q: want the nearest site with it", got)
	}

	// One site down, another avoided by a region, a third weighed down by an operator.
	f.wires.set("us", "ap", true)
	f.wires.set("*", "eu", true)
	f.eventually("eu is down and ap is avoided in the Americas", func() error {
		for _, m := range f.nodes {
			if eu, ap := m.site1("eu"), m.site1("ap"); eu.Level.String() != "down" || fmt.Sprint(avoided(ap)) != "[americas]" {
				return fmt.Errorf("%s: eu %v, ap %v avoided in %v", m.site.Name, eu.Level, ap.Level, avoided(ap))
			}
		}
		return nil
	})
	f.apply(0, replication.Override{Site: "us", Action: replication.Weight, Percent: 50})
	f.eventually("the override is everywhere", func() error { return f.inForce("us", replication.Weight) })
	troubled := f.answersAlike()
	for key, got := range troubled {
		if strings.Contains(got, "192.0.2.2]") || strings.Contains(got, "192.0.2.2 ") {
			t.Errorf("%s is answered %q, and eu is down", key, got)
		}
	}

	// Explain tells what DNS answers.
	for _, c := range clients() {
		if c.IsValid() && !c.IsSingleIP() && c.Bits() > 0 {
			e, err := f.nodes[1].api.Explain(t.Context(), control.ExplainQuery{Name: "www.shop.example", Type: "A", Client: c})
			if err != nil {
				t.Fatal(err)
			}
			a := answer{rcode: e.RCode, ttl: e.Trace.TTL, scope: e.Trace.Scope}
			for _, addr := range e.Trace.Answer {
				a.addrs = append(a.addrs, addr.String())
			}
			if got := troubled[fmt.Sprint("www.shop.example A ", c)]; got != a.String() {
				t.Errorf("%v is answered %s, explained as %s", c, got, a)
			}
			if epoch := f.nodes[1].status().Epoch; e.Trace.Epoch != epoch {
				t.Errorf("explained from epoch %s: want %s", e.Trace.Epoch, epoch)
			}
		}
	}
}

// apply makes a change through a node and expects it to be made.
func (f *fleet) apply(node int, o replication.Override, more ...func(*control.Change)) *control.Outcome {
	f.t.Helper()
	if o.Who == "" {
		o.Who, o.Why = "ana", "a test"
	}
	c := control.Change{Override: o, Wait: min(patience, ackWaitMax)}
	for _, m := range more {
		m(&c)
	}
	out, err := f.nodes[node].api.Apply(f.t.Context(), c)
	if err != nil {
		f.t.Fatalf("%s: %s %s: %v", f.nodes[node].site.Name, o.Action, o.Site, err)
	}
	return out
}

// inForce checks that every node has the override.
func (f *fleet) inForce(site string, action replication.Action) error {
	for _, m := range f.nodes {
		if m.override(site, action) == nil {
			return fmt.Errorf("%s: %s %s is not in force", m.site.Name, action, site)
		}
	}
	return nil
}

func (m *member) override(site string, action replication.Action) *replication.Override {
	for _, o := range m.status().Override {
		if o.Site == site && o.Action == action {
			return &o
		}
	}
	return nil
}
