package zone

import (
	"slices"

	"github.com/miekg/dns"
)

// seal precomputes what look-ups hand out besides answers: the negative SOA and the additional sections.
func (b *builder) seal() {
	if soa := b.apex.set(dns.TypeSOA); len(soa) > 0 {
		b.serial = soa[0].(*dns.SOA).Serial
		b.negative = []dns.RR{negativeSOA(soa[0].(*dns.SOA))}
	}
	for _, n := range b.order {
		for _, s := range n.sets {
			if by := n.opt().shade; by != nil && (by != n || s.rtype != dns.TypeNS) {
				continue // never an answer
			}
			if extra, glue := b.additional(n, s.rrs); len(extra) > 0 {
				more := n.grow()
				if more.extra == nil {
					more.extra = make(map[uint16][]dns.RR)
				}
				more.extra[s.rtype] = extra
				if s.rtype == dns.TypeNS {
					more.glue = glue
				}
			}
		}
	}
}

// negativeSOA is the SOA as negative answers carry it: its TTL is the lesser of its own and MINIMUM (RFC 2308
// section 3).
func negativeSOA(soa *dns.SOA) *dns.SOA {
	negative := *soa
	negative.Hdr.Ttl = min(soa.Hdr.Ttl, soa.Minttl)
	return &negative
}

// additional collects the addresses of the hosts that an RRset of n names. In-domain glue stands first, glue of it
// is that many records: a referral without all of those must be marked as truncated (RFC 9471 section 3.1). Sibling
// glue and addresses in the zone follow. A service binding's target adds its own bindings (RFC 9460 section 4.1).
func (b *builder) additional(n *node, rrs []dns.RR) (extra []dns.RR, glue int) {
	var seen, later []string
	for _, rr := range rrs {
		host := target(n.name, rr)
		switch {
		case host == "" || slices.Contains(seen, host):
		case n.opt().cut && below(host, n.name):
			seen = append(seen, host)
			extra = b.addresses(extra, host, true)
		default:
			seen, later = append(seen, host), append(later, host)
		}
	}
	glue = len(extra)
	rtype := rrs[0].Header().Rrtype
	for _, host := range later {
		extra = b.addresses(extra, host, rtype == dns.TypeNS)
		if (rtype == dns.TypeSVCB || rtype == dns.TypeHTTPS) && host != n.name {
			extra = b.bindings(extra, host, rtype)
		}
	}
	return slices.Clip(extra), glue
}

// target returns the host in the rdata of rr whose addresses a client will want next, canonical, or "".
func target(owner string, rr dns.RR) string {
	switch rr := rr.(type) {
	case *dns.NS:
		return canonical(rr.Ns)
	case *dns.MX:
		return canonical(rr.Mx)
	case *dns.SRV:
		return canonical(rr.Target)
	case *dns.SVCB:
		return svcbTarget(owner, rr)
	case *dns.HTTPS:
		return svcbTarget(owner, &rr.SVCB)
	}
	return ""
}

// svcbTarget reads "." as the owner in service mode, and as "no such service" in alias mode (RFC 9460 section 2.5).
func svcbTarget(owner string, rr *dns.SVCB) string {
	switch {
	case rr.Target != ".":
		return canonical(rr.Target)
	case rr.Priority == 0 || isWildcard(owner):
		return ""
	}
	return owner
}

// addresses appends the A and AAAA of a host; glue allows those that a delegation hides.
func (b *builder) addresses(to []dns.RR, host string, glue bool) []dns.RR {
	n := b.nodes[host]
	if n == nil || (n.opt().shade != nil && !glue) {
		return to
	}
	return append(append(to, n.set(dns.TypeA)...), n.set(dns.TypeAAAA)...)
}

// bindings appends the service bindings of a host.
func (b *builder) bindings(to []dns.RR, host string, rtype uint16) []dns.RR {
	n := b.nodes[host]
	if n == nil || n.opt().shade != nil {
		return to
	}
	return append(to, n.set(rtype)...)
}
