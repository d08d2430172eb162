package health

import (
	"cmp"
	"fmt"
	"slices"
)

// pool is one service's sites in one address family, resolved to targets.
type pool struct {
	name   string // "shop/v4"
	demand uint32
	sites  []poolSite // sorted by name
}

type poolSite struct {
	name     string
	capacity uint32
	targets  []Target
}

// pools resolves the configured pools. A target that no pool names gets one of its check and family, so that
// nothing is without the rules that protect the last site.
func (f Fleet) pools() []pool {
	capacity := make(map[string]uint32, len(f.Sites))
	for _, s := range f.Sites {
		capacity[s.Name] = s.Capacity
	}
	configured := make(map[Target]bool, len(f.Targets))
	for _, t := range f.Targets {
		configured[t] = true
	}
	var pools []pool
	pooled := make(map[Target]bool, len(f.Targets))
	add := func(name string, demand uint32, family Family, sites, checks []string) {
		p := pool{name: fmt.Sprintf("%s/%v", name, family), demand: demand}
		for _, site := range sites {
			s := poolSite{name: site, capacity: capacity[site]}
			for _, check := range checks {
				if t := (Target{site, check, family}); configured[t] {
					s.targets = append(s.targets, t)
					pooled[t] = true
				}
			}
			if s.targets != nil {
				p.sites = append(p.sites, s)
			}
		}
		slices.SortFunc(p.sites, func(a, b poolSite) int { return cmp.Compare(a.name, b.name) })
		if p.sites != nil {
			pools = append(pools, p)
		}
	}
	for _, p := range f.Pools {
		for _, family := range []Family{V4, V6} {
			add(p.Service, p.Demand, family, p.Sites, p.Checks)
		}
	}
	rest := map[Target][]string{} // keyed without the site
	var order []Target
	for _, t := range f.Targets {
		if !pooled[t] {
			key := Target{Check: t.Check, Family: t.Family}
			if rest[key] == nil {
				order = append(order, key)
			}
			rest[key] = append(rest[key], t.Site)
		}
	}
	for _, key := range order {
		add("check "+key.Check, 0, key.Family, rest[key], []string{key.Check})
	}
	slices.SortFunc(pools, func(a, b pool) int { return cmp.Compare(a.name, b.name) })
	return pools
}

// level is the worst of the site's targets.
func (s *poolSite) level(verdicts map[Target]Verdict) Level {
	worst := Up
	for _, t := range s.targets {
		if l := verdicts[t].Level; l.badness() > worst.badness() {
			worst = l
		}
	}
	return worst
}

// settled says that the site is up with its full weight.
func (s *poolSite) settled(verdicts map[Target]Verdict) bool {
	return !slices.ContainsFunc(s.targets, func(t Target) bool {
		v := verdicts[t]
		return v.Level != Up || v.Weight < FullWeight
	})
}

// short says whether the pool cannot do without site: the others that are up and settled do not carry the demand
// with the headroom, or, where no demand is known, there are none.
func (p *pool) short(site string, verdicts map[Target]Verdict, headroom int) bool {
	var others int
	var capacity uint64
	for i := range p.sites {
		if s := &p.sites[i]; s.name != site && s.settled(verdicts) {
			others++
			capacity += uint64(s.capacity)
		}
	}
	return others == 0 || !covers(capacity, p.demand, headroom)
}

// covers says whether capacity carries demand with headroom percent of it; an unknown demand is carried.
func covers(capacity uint64, demand uint32, headroom int) bool {
	return capacity*100 >= uint64(demand)*uint64(headroom)
}

// shortage finds the targets whose site some pool is short without.
func shortage(pools []pool, verdicts map[Target]Verdict, headroom int) map[Target]bool {
	short := map[Target]bool{}
	for i := range pools {
		p := &pools[i]
		for _, s := range p.sites {
			if p.short(s.name, verdicts, headroom) {
				for _, t := range s.targets {
					short[t] = true
				}
			}
		}
	}
	return short
}
