package config

import (
	"math"
	"time"

	"github.com/meridian-gtm/meridian/health"
)

func (r *reader) health(c cursor) {
	p, at := &r.config.Health, map[string]cursor{}
	// The preset lays the ground for all other keys, wherever it stands.
	c.first("preset", func(v cursor) {
		if v.node.Value == "fast" {
			*p = health.FastPolicy
		}
	})
	var preset string
	known := fields{"preset": func(v cursor) { choice(v, &preset, "default", "fast") }}
	duration := func(key string, into *time.Duration) {
		known[key] = func(v cursor) { at[key] = v; v.duration(into, 0, 366*day) }
	}
	number := func(key string, into *int) {
		known[key] = func(v cursor) { at[key] = v; integer(v, into, 0, math.MaxInt32) }
	}
	ttl := func(key string, into *uint32) {
		known[key] = func(v cursor) { at[key] = v; v.seconds(into) }
	}
	duration("stale", &p.Stale)
	number("max_score", &p.MaxScore)
	duration("corroboration_hold", &p.CorroborationHold)
	duration("minority_hold", &p.MinorityHold)
	duration("brake_window", &p.BrakeWindow)
	duration("brake_hold", &p.BrakeHold)
	duration("soft_pull_every", &p.SoftPullEvery)
	number("headroom", &p.Headroom)
	duration("ramp", &p.Ramp)
	ttl("settled_ttl", &p.SettledTTL)
	ttl("unsettled_ttl", &p.UnsettledTTL)
	duration("settle", &p.Settle)
	duration("hold", &p.Hold)
	duration("max_hold", &p.MaxHold)
	duration("flap_half_life", &p.FlapHalfLife)
	c.mapping(known)
	for _, f := range p.Validate() {
		if v, given := at[f.Field]; given {
			v.refuse("%s", f.Want)
		} else { // a key that stands there moved the range of one that does not
			c.child(f.Field, nil, c.node).report(f.Value, f.Want)
		}
	}
}

// Fleet returns the world that health evidence is counted against. Each service is a pool; what it must carry is not
// configured.
func (c *Config) Fleet() health.Fleet {
	f := health.Fleet{Policy: c.Health}
	for _, d := range c.Datacenters {
		f.Datacenters = append(f.Datacenters, health.Datacenter{Name: d.Name, Region: d.Region, Weight: c.Votes[d.Name]})
	}
	for _, s := range c.Sites {
		f.Sites = append(f.Sites, health.Site{Name: s.Name, Datacenter: s.Datacenter, Capacity: s.Capacity})
	}
	for _, s := range c.Services {
		if len(s.Checks) > 0 {
			f.Pools = append(f.Pools, health.Pool{Service: s.Name, Sites: Sites(s.Policy), Checks: s.Checks})
		}
	}
	for _, t := range c.Targets() {
		f.Targets = append(f.Targets, t.ID)
	}
	return f
}
