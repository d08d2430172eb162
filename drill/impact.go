package drill

import (
	"slices"
	"time"
)

// Mix says how clients and the resolvers between them and us treat a TTL. It is an assumption: nobody can measure it
// from here.
type Mix []Habit

// Habit is one way to treat a TTL.
type Habit struct {
	Name  string        `json:"name"`
	Share float64       `json:"share"`         // of the clients, 0..1
	Floor time.Duration `json:"floor"`         // keeps an answer at least so long; 0 = obeys the TTL
	Pin   bool          `json:"pin,omitempty"` // never asks again
}

// DefaultMix is the one that reports state.
func DefaultMix() Mix {
	return Mix{
		{Name: "obey the TTL", Share: 0.70},
		{Name: "keep an answer 60 s at least", Share: 0.20, Floor: time.Minute},
		{Name: "keep an answer 300 s at least", Share: 0.08, Floor: 5 * time.Minute},
		{Name: "never ask again", Share: 0.02, Pin: true},
	}
}

// Demand is the assumed load before the drill, as a percentage of the capacity of all sites together.
const Demand = 45

// Impact is what clients with caches noticed, computed from the answers that were measured and a [Mix].
type Impact struct {
	Mix     Mix        `json:"mix"`
	Demand  int        `json:"demand_percent"`
	Errors  []Point    `json:"errors"`  // share of all clients sent to a site that answered nothing, over time
	Peak    float64    `json:"peak"`    // largest of Errors, 0..1
	Mean    float64    `json:"mean"`    // while anything was broken
	Obeying float64    `json:"obeying"` // seconds of error of an average client that obeys the TTL
	Seconds float64    `json:"seconds"` // ... of an average client of the mix
	Loads   []SiteLoad `json:"loads"`   // largest load of each site with a capacity
}

// Point is a value at a time.
type Point struct {
	At    time.Duration `json:"at"`
	Value float64       `json:"value"`
}

// SiteLoad is the largest load of one site.
type SiteLoad struct {
	Site string        `json:"site"`
	Load float64       `json:"load"` // part of its capacity; 1 = full
	At   time.Duration `json:"at"`
	// Survivor says that the drill did not break the site.
	Survivor bool `json:"survivor"`
}

// PeakLoad returns the largest load of a site that was not broken, as a part of its capacity.
func (i Impact) PeakLoad() float64 {
	peak := 0.0
	for _, l := range i.Loads {
		if l.Survivor {
			peak = max(peak, l.Load)
		}
	}
	return peak
}

const (
	impactStep = 250 * time.Millisecond
	// phases is how many clients stand for those of one habit at one node: their caches run out one after another.
	phases = 20
)

// cache is one modelled client.
type cache struct {
	series *Series
	habit  int
	weight float64
	until  time.Duration
	sites  []string
}

// impact plays the mix over the timeline. Clients choose among the nodes with equal shares.
func (t *Timeline) impact(m Mix) Impact {
	out := Impact{Mix: m, Demand: Demand, Errors: []Point{}, Loads: []SiteLoad{}}
	caches, total := t.caches(m)
	if total == 0 {
		return out
	}
	capacity := map[string]float64{}
	sum := 0.0
	for _, s := range t.Sites {
		capacity[s.Name] = float64(s.Capacity)
		sum += float64(s.Capacity)
		if s.Capacity > 0 {
			out.Loads = append(out.Loads, SiteLoad{Site: s.Name, Survivor: !slices.Contains(t.Target, s.Name)})
		}
	}
	broken := 0.0
	for now := t.Broken; now <= t.End; now += impactStep {
		failed, obeying := 0.0, 0.0
		load := map[string]float64{}
		for i := range caches {
			c := &caches[i]
			c.refresh(now, m[c.habit])
			bad := t.failing(c.sites, now)
			failed += c.weight * bad
			if m[c.habit].Floor == 0 && !m[c.habit].Pin {
				obeying += c.weight * bad / m[c.habit].Share
			}
			for _, site := range c.sites {
				load[site] += c.weight / float64(len(c.sites))
			}
		}
		value := failed / total
		out.Errors = append(out.Errors, Point{now, value})
		out.Peak = max(out.Peak, value)
		out.Seconds += value * impactStep.Seconds()
		out.Obeying += obeying / total * impactStep.Seconds()
		if now <= t.Healed {
			out.Mean += value
			broken++
		}
		for i := range out.Loads {
			l := &out.Loads[i]
			if part := load[l.Site] / total * sum * Demand / 100 / capacity[l.Site]; part > l.Load {
				l.Load, l.At = part, now
			}
		}
	}
	if broken > 0 {
		out.Mean /= broken
	}
	return out
}

// caches makes the modelled clients as they were when the first thing broke.
func (t *Timeline) caches(m Mix) (all []cache, total float64) {
	for i := range t.Series {
		series := &t.Series[i]
		was, ok := t.before(series)
		if !ok {
			continue
		}
		for h, habit := range m {
			n := phases
			if habit.Pin {
				n = 1
			}
			life := habit.life(was.TTL)
			for k := range n {
				c := cache{
					series: series, habit: h, weight: t.Clients[series.Client].Weight * habit.Share / float64(n), sites: was.Sites,
					until: t.Broken + life*time.Duration(k+1)/time.Duration(n),
				}
				total += c.weight
				all = append(all, c)
			}
		}
	}
	return all, total
}

func (h Habit) life(ttl uint32) time.Duration { return max(h.Floor, time.Duration(ttl)*time.Second) }

// refresh asks again if the answer is too old. A client whose node is dead is answered by another: its own node's
// last word stands for it.
func (c *cache) refresh(now time.Duration, h Habit) {
	for !h.Pin && c.until <= now {
		a, ok := c.series.at(c.until)
		if !ok {
			return
		}
		c.sites = a.Sites
		c.until += max(h.life(a.TTL), impactStep)
	}
}

// failing returns the part of requests to the sites that fail at a time.
func (t *Timeline) failing(sites []string, now time.Duration) float64 {
	worst := 0.0
	for _, f := range t.Faults {
		if now >= f.From && now < f.To {
			worst = max(worst, share(sites, f.Fault)*f.Fault.Kind.refuses())
		}
	}
	return worst
}
