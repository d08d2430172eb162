package config

import (
	"strings"

	"github.com/miekg/dns"

	"github.com/meridian-gtm/meridian/dnsserver/zone"
)

func (r *reader) zones(c cursor) {
	if c.isMapping() && len(c.node.Content) == 0 {
		c.refuse("at least one zone")
	}
	origins := map[string]string{}
	c.entries(func(key string, v cursor) {
		v.key = "zones.NAME"
		if !isName(key) {
			v.report(quote(key)+" as a zone", "a domain name")
			return
		}
		z := zone.Source{Origin: dns.CanonicalName(key), Steer: map[string]string{}}
		if other, twice := origins[z.Origin]; twice {
			v.report("the zone of "+other+" again", "it once")
			return
		}
		origins[z.Origin] = v.path
		have := v.mapping(fields{
			"file":  func(v cursor) { r.file(v, &z.File) },
			"steer": func(v cursor) { r.steer(v, z) },
		})
		if v.need(have, "file", "a master file"); z.File == "" && len(have) > 0 && have[0] == "file" {
			v.child("file", nil, v.node).report(`""`, "a master file")
		}
		r.config.Zones = append(r.config.Zones, z)
	})
}

// steer reads which names of a zone which services answer for. Owners are kept as written.
func (r *reader) steer(c cursor, z zone.Source) {
	owners := map[string]string{}
	c.entries(func(owner string, v cursor) {
		full, ok := ownerName(owner, z.Origin)
		if !ok {
			v.report(quote(owner)+" as an owner", `"@", or a name in `+z.Origin)
			return
		}
		if other, twice := owners[full]; twice {
			v.report("the owner of "+other+" again", "it once")
			return
		}
		owners[full] = v.path
		var service string
		r.reference(v, "service", &service)
		z.Steer[owner] = service
	})
}

// ownerName makes an owner as written in a zone canonical.
func ownerName(owner, origin string) (string, bool) {
	full := owner
	switch {
	case owner == "@":
		full = origin
	case !dns.IsFqdn(owner):
		full = owner + "." + strings.TrimPrefix(origin, ".")
	}
	full = dns.CanonicalName(full)
	return full, isName(full) && dns.IsSubDomain(origin, full)
}

// isName reports whether s is a domain name without white space or control characters, as its author surely meant.
func isName(s string) bool {
	_, ok := dns.IsDomainName(s)
	return ok && s != "" && !strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c >= 0x7f || c == '@' })
}
