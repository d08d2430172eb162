package health

import (
	"cmp"
	"slices"
	"time"
)

// pullSoft takes sites out for soft failures (readiness, latency, loss, certificate age) where that is safe: what
// remains carries the demand with headroom, one pull per pool and SoftPullEvery, and never when every site that
// still answers has the same complaint, because then it lies in something they share.
func (d *decision) pullSoft() {
	candidates := map[Target]weighing{}
	for _, t := range d.fleet.Targets {
		if d.verdicts[t].Level == Down || d.verdicts[t].Held {
			continue
		}
		if w := d.view.tallies[t].weigh(true, d.fleet.Policy); w.level == Down {
			candidates[t] = w
		}
	}
	if len(candidates) == 0 {
		return
	}
	refused := map[Target]string{}
	for i := range d.pools {
		d.judgeSoft(&d.pools[i], candidates, refused)
	}
	for t, w := range candidates {
		v := d.verdicts[t]
		if why := refused[t]; why != "" {
			v.Reason += "; soft failure left alone: " + why
		} else {
			v.Level, v.Weight, v.AvoidRegions, v.Age, v.Reason = Down, 0, nil, w.age, "soft "+w.reason
		}
		d.verdicts[t] = v
	}
}

// judgeSoft notes which candidates pool p cannot let go.
func (d *decision) judgeSoft(p *pool, candidates map[Target]weighing, refused map[Target]string) {
	type complaint struct {
		site *poolSite
		age  time.Duration // of its oldest candidate
	}
	var soft []complaint
	var remaining uint64
	alive := 0
	for i := range p.sites {
		s := &p.sites[i]
		if s.level(d.verdicts) == Down {
			continue
		}
		alive++
		remaining += uint64(s.capacity)
		c := complaint{s, -1}
		for _, t := range s.targets {
			if w, ok := candidates[t]; ok {
				c.age = max(c.age, w.age)
			}
		}
		if c.age >= 0 {
			soft = append(soft, c)
		}
	}
	// The oldest first; sites are sorted by name already.
	slices.SortStableFunc(soft, func(a, b complaint) int { return cmp.Compare(b.age, a.age) })
	pulledFor := never // how long the pull before has stood, were all pulls made as soon as they may be
	for _, c := range soft {
		due := c.age
		if pulledFor != never {
			due = min(due, pulledFor-d.fleet.Policy.SoftPullEvery)
		}
		why := ""
		switch left := remaining - uint64(c.site.capacity); {
		case len(soft) == alive:
			why = "all sites of " + p.name + " have one"
		case !covers(left, p.demand, d.fleet.Policy.Headroom):
			why = "the other sites of " + p.name + " do not carry its demand"
		case due < 0:
			why = "another site of " + p.name + " was just pulled for one"
		default:
			remaining, pulledFor = left, due
			continue
		}
		for _, t := range c.site.targets {
			if _, ok := candidates[t]; ok {
				refused[t] = why
			}
		}
		d.alarm("soft", p.name, "%s fails softly and is kept: %s", c.site.name, why)
	}
}
