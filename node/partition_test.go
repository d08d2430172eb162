package node

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/meridian-gtm/meridian/replication/gossip"
)

// separate cuts the gossip between all nodes, or heals it.
func (f *fleet) separate(cut bool) {
	d := gossip.Direction(0)
	if cut {
		d = gossip.Both
	}
	for _, a := range f.nodes {
		for _, b := range f.nodes {
			if a != b {
				a.faults.Cut(b.gossip, d)
			}
		}
	}
}

// whereTo says where every name sends clients of the three cities, by every node.
func (f *fleet) whereTo() map[string]string {
	f.t.Helper()
	out := map[string]string{}
	for _, m := range f.nodes {
		for _, name := range []string{"www.shop.example", "rotated.shop.example", "hashed.shop.example", "ordered.shop.example"} {
			out[fmt.Sprint(m.site.Name, " New York ", name)] = m.sitesFor(name, newYork)
			out[fmt.Sprint(m.site.Name, " Frankfurt ", name)] = m.sitesFor(name, frankfurt)
			out[fmt.Sprint(m.site.Name, " Mumbai ", name)] = m.sitesFor(name, mumbai)
		}
	}
	return out
}

func TestCuttingGossipPullsNothing(t *testing.T) {
	for _, witnesses := range []bool{false, true} {
		last := map[bool]string{false: "minority-blind", true: "minority-local"}[witnesses]
		t.Run(last, func(t *testing.T) {
			f := running(t, 3, func(v *fleetVars) { v.Witnesses = witnesses })
			want := f.whereTo()
			f.separate(true)
			seen := map[string]bool{}
			f.eventually("every node is in "+last, func() error {
				if got := f.whereTo(); !maps.Equal(got, want) {
					t.Fatalf("answers changed to %v\nwant %v", got, want)
				}
				waiting := ""
				for _, m := range f.nodes {
					s := m.status()
					seen[s.Mode] = true
					for _, x := range s.Sites {
						if x.Level.String() != "up" {
							t.Fatalf("%s: %s is %v in mode %s", m.site.Name, x.Site, x.Level, s.Mode)
						}
					}
					if s.Mode != last {
						waiting = m.site.Name + " is in " + s.Mode
					}
				}
				if waiting != "" {
					return fmt.Errorf("%s", waiting)
				}
				return nil
			})
			if !seen["minority-hold"] {
				t.Errorf("modes seen: %v: want minority-hold on the way", slices.Sorted(maps.Keys(seen)))
			}
			f.separate(false)
			f.settle()
			if got := f.whereTo(); !maps.Equal(got, want) {
				t.Errorf("after healing answers are %v\nwant %v", got, want)
			}
		})
	}
}

func TestOneBlindDatacenterMovesItsOwnRegionOnly(t *testing.T) {
	f := running(t, 3)
	if got := f.nodes[0].sitesFor("ordered.shop.example", newYork); got != "ap" {
		t.Fatalf("New York is sent to %s: want ap, the first of the order", got)
	}
	f.wires.set("us", "ap", true)
	f.eventually("every node knows", func() error {
		for _, m := range f.nodes {
			ap := m.site1("ap")
			if ap.Level.String() == "down" {
				t.Fatalf("%s: ap is down, and only us cannot reach it", m.site.Name)
			}
			if got := avoided(ap); !slices.Equal(got, []string{"americas"}) {
				return fmt.Errorf("%s: ap is avoided in %v", m.site.Name, got)
			}
		}
		return nil
	})
	for _, m := range f.nodes {
		for _, c := range []struct{ got, want string }{
			{m.sitesFor("ordered.shop.example", newYork), "eu"},
			{m.sitesFor("ordered.shop.example", frankfurt), "ap"},
			{m.sitesFor("ordered.shop.example", mumbai), "ap"},
			{m.sitesFor("www.shop.example", mumbai), "ap"},
		} {
			if c.got != c.want {
				t.Errorf("%s: clients are sent to %s: want %s", m.site.Name, c.got, c.want)
			}
		}
	}
	f.wires.set("us", "ap", false)
	f.settle()
	if got := f.nodes[1].sitesFor("ordered.shop.example", newYork); got != "ap" {
		t.Errorf("after healing New York is sent to %s: want ap", got)
	}
}

func TestBlindNodesSaySo(t *testing.T) {
	f := running(t, 2, func(v *fleetVars) { v.Witnesses = true })
	evidence := func(of string) (blind, isolated bool) {
		e, _ := f.nodes[1].node.store.evidenceOf(of)
		return e.Blind, e.Isolated
	}
	if blind, isolated := evidence("us-1"); blind || isolated {
		t.Fatalf("with witnesses: blind %t, isolated %t", blind, isolated)
	}
	f.wires.set("us", "witness", true)
	f.eventually("us is blind", func() error {
		blind, isolated := evidence("us-1")
		if isolated {
			t.Fatal("us is isolated, and hears eu")
		}
		if !blind {
			return fmt.Errorf("not blind")
		}
		return nil
	})
	f.separate(true)
	f.eventually("us is isolated", func() error {
		if e, _ := f.nodes[0].node.store.evidenceOf("us-1"); !e.Isolated {
			return fmt.Errorf("not isolated")
		}
		return nil
	})
}
