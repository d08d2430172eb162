package steer

import (
	"math"
	"net/netip"
	"slices"

	"github.com/meridian-gtm/meridian/geo"
)

// resorts reports whether the answer is not of sites.
func (e *explanation) resorts() bool {
	return e.result.stage == stageLastResort || e.result.stage == stageIsolated
}

// siteOf names the site of an answered address.
func (e *explanation) siteOf(a netip.Addr) string {
	for i := range e.bench.def.members {
		if m := &e.bench.def.members[i]; m.addr(e.bench.family) == a && !e.resorts() {
			return m.Name
		}
	}
	return lastResortSite
}

// candidates accounts for every member.
func (e *explanation) candidates(answer []netip.Addr) []Candidate {
	b := e.bench
	list := make([]Candidate, len(b.standings))
	available := b.available()
	for i := range list {
		m, s := &b.def.members[i], &b.standings[i]
		c := Candidate{
			Site: m.Name, Datacenter: m.Datacenter, Addr: m.addr(b.family), Why: s.why(b.family),
			Available: available(i) && !(e.region != "" && s.avoids(e.region)), Verdicts: s.verdicts,
		}
		if e.place.Located {
			c.DistanceKM = math.Round(geo.Distance(e.place.Coord, m.coord)*10) / 10
		}
		if s.stands() || s.unproven() {
			c.Weight = s.weight
		}
		c.Chosen = c.Addr.IsValid() && !e.resorts() && slices.Contains(answer, c.Addr)
		if s.override != nil {
			x := *s.override
			c.Override = &x
		}
		list[i] = c
	}
	return list
}
