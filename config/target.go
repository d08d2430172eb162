package config

import (
	"net/netip"
	"slices"

	"github.com/meridian-gtm/meridian/health"
)

// Target is one thing to probe.
type Target struct {
	ID    health.Target
	Addr  netip.AddrPort // the site's VIP and the check's port
	Check health.Check
}

// Targets returns everything that the services need to know the health of, sorted: each check of each service against
// each VIP of each site of its policy.
func (c *Config) Targets() []Target {
	seen := map[health.Target]bool{}
	var out []Target
	add := func(site string, check health.Check, family health.Family, vip netip.Addr) {
		id := health.Target{Site: site, Check: check.Name, Family: family}
		if vip.IsValid() && !seen[id] {
			seen[id] = true
			out = append(out, Target{ID: id, Addr: netip.AddrPortFrom(vip, check.Port), Check: check})
		}
	}
	for _, service := range c.Services {
		sites := Sites(service.Policy)
		for _, site := range c.Sites {
			if !slices.Contains(sites, site.Name) {
				continue
			}
			for _, check := range c.Checks {
				if slices.Contains(service.Checks, check.Name) {
					add(site.Name, check, health.V4, site.V4)
					add(site.Name, check, health.V6, site.V6)
				}
			}
		}
	}
	slices.SortFunc(out, func(a, b Target) int { return a.ID.Compare(b.ID) })
	return out
}
