package config

import (
	"net/netip"
	"slices"
	"strconv"

	"github.com/meridian-gtm/meridian/dnsserver/steer"
)

const allDownWant = "last-good, all, none or {last-resort: [addresses]}"

func (r *reader) services(c cursor) {
	c.named(func(name string, v cursor) {
		s := steer.Service{Name: name, AllDown: steer.LastGood}
		var resort cursor
		ecs := true
		have := v.mapping(fields{
			"policy": func(v cursor) { r.policy(v, &s.Policy, 1) },
			"ttl": func(v cursor) {
				v.mapping(fields{
					"min": func(v cursor) { v.seconds(&s.TTLMin) },
					"max": func(v cursor) { v.seconds(&s.TTLMax) },
				})
				if s.TTLMax > 0 && s.TTLMin > s.TTLMax {
					v.report("min "+ttl(s.TTLMin), "at most max, "+ttl(s.TTLMax))
				}
			},
			"all_down": func(v cursor) {
				if len(v.node.Content) == 0 {
					v.word(&s.AllDown)
					return
				}
				v.mapping(fields{lastResort: func(v cursor) { resort = v; r.lastResort(v, &s) }})
			},
			"checks": func(v cursor) {
				items := v.items()
				for _, item := range items {
					var check string
					r.reference(item, "check", &check)
					s.Checks = append(s.Checks, check)
				}
				once(items, s.Checks)
			},
			"ecs": func(v cursor) { v.flag(&ecs) },
		})
		v.need(have, "policy", "a policy")
		s.IgnoreECS = !ecs
		s.TTLMin, s.TTLMax = defaultTTL(s.TTLMin, s.TTLMax)
		if s.AllDown == steer.LastResort {
			r.later(func() { r.families(resort, s) })
		}
		r.declare("service", name)
		r.config.Services = append(r.config.Services, s)
	})
}

// defaultTTL fills what a service leaves open with 10 s and 30 s, or with the other bound where that is nearer.
func defaultTTL(low, high uint32) (uint32, uint32) {
	switch {
	case low == 0 && high == 0:
		return 10, 30
	case low == 0:
		return min(10, high), high
	case high == 0:
		return low, max(30, low)
	}
	return low, high
}

func ttl(seconds uint32) string { return strconv.FormatUint(uint64(seconds), 10) + "s" }

// word reads an all-down policy that needs no addresses.
func (c cursor) word(into *steer.AllDown) {
	s, ok := c.scalar(allDownWant)
	if !ok {
		return
	}
	switch word := steer.AllDown(s); word {
	case steer.LastGood, steer.All, steer.None:
		*into = word
	default:
		words := []string{string(steer.LastGood), string(steer.All), string(steer.None)}
		c.refuse("%s", allDownWant+didYouMean(s, words))
	}
}

func (r *reader) lastResort(c cursor, s *steer.Service) {
	s.AllDown = steer.LastResort
	items := c.items()
	for _, item := range items {
		var a netip.Addr
		item.addr(&a, "the address of one host", netip.Addr.IsValid)
		s.LastResort = append(s.LastResort, a)
	}
	once(items, s.LastResort)
}

// families checks that the last resort has an address for every family that the sites of s serve, since clients of
// that family would else be told that the name has none, and no address that nobody could be given.
func (r *reader) families(c cursor, s steer.Service) {
	var sites, resort struct{ v4, v6 bool }
	for _, name := range Sites(s.Policy) {
		if i := slices.IndexFunc(r.config.Sites, func(t steer.Site) bool { return t.Name == name }); i >= 0 {
			sites.v4 = sites.v4 || r.config.Sites[i].V4.IsValid()
			sites.v6 = sites.v6 || r.config.Sites[i].V6.IsValid()
		}
	}
	if len(s.LastResort) == 0 {
		return // reported
	}
	for _, a := range s.LastResort {
		if !a.IsValid() {
			return // reported
		}
		resort.v4 = resort.v4 || a.Is4()
		resort.v6 = resort.v6 || a.Is6()
	}
	if !sites.v4 && !sites.v6 {
		return // no site is known: reported
	}
	for _, f := range []struct {
		name          string
		sites, resort bool
	}{{"IPv4", sites.v4, resort.v4}, {"IPv6", sites.v6, resort.v6}} {
		switch {
		case f.sites && !f.resort:
			c.report("no "+f.name+" address", "one: sites of the service serve "+f.name)
		case f.resort && !f.sites:
			c.report("an "+f.name+" address", "none: no site of the service serves "+f.name)
		}
	}
}
