package config

import (
	"net/netip"

	"github.com/meridian-gtm/meridian/dnsserver/steer"
)

func (r *reader) datacenters(c cursor) {
	c.named(func(name string, v cursor) {
		d, votes := steer.Datacenter{Name: name, Region: name}, uint32(1)
		have := v.mapping(fields{
			"region": func(v cursor) { v.name(&d.Region) },
			"lat":    func(v cursor) { v.degrees(&d.Coord.Lat, 90) },
			"lon":    func(v cursor) { v.degrees(&d.Coord.Lon, 180) },
			"weight": func(v cursor) { integer(v, &votes, 1, 100) },
		})
		v.need(have, "lat", "-90..90 degrees, north positive")
		v.need(have, "lon", "-180..180 degrees, east positive")
		r.declare("datacenter", name)
		r.config.Datacenters = append(r.config.Datacenters, d)
		r.config.Votes[name] = votes
	})
	if len(c.node.Content) == 0 {
		c.refuse("at least one datacenter")
	}
}

// lastResort is what traces call an address that belongs to no site.
const lastResort = string(steer.LastResort)

func (r *reader) sites(c cursor) {
	c.named(func(name string, v cursor) {
		if name == lastResort {
			v.report("a reserved name", "another name")
			return
		}
		s := steer.Site{Name: name, Weight: 100}
		have := v.mapping(fields{
			"datacenter": func(v cursor) { r.reference(v, "datacenter", &s.Datacenter) },
			"vip": func(v cursor) {
				have := v.mapping(fields{
					"v4": func(v cursor) { r.vip(v, name, &s.V4, "an IPv4 address of one host", netip.Addr.Is4) },
					"v6": func(v cursor) { r.vip(v, name, &s.V6, "an IPv6 address of one host", netip.Addr.Is6) },
				})
				if len(have) == 0 {
					v.report("no address", "v4, v6 or both")
				}
			},
			"weight":    func(v cursor) { integer(v, &s.Weight, 0, 1_000_000) },
			"capacity":  func(v cursor) { integer(v, &s.Capacity, 0, 1_000_000_000) },
			"directors": func(v cursor) { r.directors(v, name) },
		})
		v.need(have, "datacenter", "the name of a datacenter")
		v.need(have, "vip", "a mapping with v4, v6 or both")
		r.serve(v, s)
		r.declare("site", name)
		r.config.Sites = append(r.config.Sites, s)
	})
}

// vip reads the address of a site. Two sites cannot share one: what is probed through it would count for both.
func (r *reader) vip(c cursor, site string, into *netip.Addr, want string, fits func(netip.Addr) bool) {
	c.addr(into, want, fits)
	if !into.IsValid() {
		return
	}
	if other, taken := r.vips[*into]; taken {
		c.refuse("an address of its own: site %s has it", other)
		return
	}
	r.vips[*into] = site
}
