package zone

import (
	"slices"

	"github.com/miekg/dns"
)

// maxChain is how many CNAMEs, synthesized ones included, one answer follows.
const maxChain = 16

// Lookup answers (qname, qtype) as RFC 1034 section 4.3.2 says, with the refinements of RFC 2308, RFC 4592 and
// RFC 6672. qname must be canonical (as dns.CanonicalName makes it of an unpacked name) and at or below the origin.
//
// A look-up costs one hash per label at most, and the records that it returns are unpacked for it. [Set.Match] finds
// them as they are.
//
// qtype ANY finds one RRset of the name, without following a CNAME (RFC 8482 section 4.1), and Steered for a name
// that has none. Types for zone transfer are the caller's.
func (z *Zone) Lookup(qname string, qtype uint16) Result {
	var r Result
	if next := z.step(&r, qname, qtype); next != "" {
		z.follow(&r, qname, next, qtype)
	}
	return r
}

// follow continues at the target of a CNAME until the chain ends, leaves the zone, comes round or gets too long.
func (z *Zone) follow(r *Result, qname, next string, qtype uint16) {
	seen := append(make([]string, 0, maxChain), qname)
	for next != "" {
		if len(seen) == maxChain || !below(next, z.origin) || slices.Contains(seen, next) {
			r.Kind = ChainEnd
			return
		}
		seen = append(seen, next)
		next = z.step(r, next, qtype)
	}
}

// step adds to r what is at one name. It returns where the look-up goes on, or "".
func (z *Zone) step(r *Result, qname string, qtype uint16) (next string) {
	n, exact := z.find(qname)
	more := n.opt()
	if by := more.shade; by != nil {
		if !by.opt().cut {
			return r.substitute(qname, by, qtype)
		}
		if n != by || !exact || qtype != dns.TypeDS { // the DS is the parent's (RFC 4035 section 3.1.4.1)
			r.refer(by)
			return ""
		}
	}
	if exact {
		return z.answer(r, n, qname, qtype, false)
	}
	if n.set(dns.TypeDNAME) != nil {
		return r.substitute(qname, n, qtype)
	}
	if more.wild != nil {
		return z.answer(r, more.wild, qname, qtype, true)
	}
	r.Kind, r.Authority = NXDomain, z.negative
	return ""
}

// at returns the node of a name, or nil.
func (z *Zone) at(name string) *node {
	if z.packed == nil {
		return z.nodes[name]
	}
	return z.packed.thaw(name)
}

// find returns the node of a name, or else its closest encloser (RFC 4592 section 3.3.1).
func (z *Zone) find(name string) (n *node, exact bool) {
	if n := z.at(name); n != nil {
		return n, true
	}
	for tooDeep := depth(name) - z.depth; tooDeep > 0; tooDeep-- {
		name = parent(name)
	}
	for ; name != "."; name = parent(name) {
		if n := z.at(name); n != nil {
			return n, false
		}
	}
	return z.at(z.origin), false
}

// answer adds what a node has for qtype. The owner is another than the node's name when a wildcard stands in for it.
func (z *Zone) answer(r *Result, n *node, owner string, qtype uint16, wild bool) (next string) {
	service := n.service()
	if qtype == dns.TypeANY {
		switch {
		case len(n.sets) > 0:
			r.Kind = Success
			r.add(n.sets[0].rrs, owner, wild)
			return ""
		case service != "":
			z.steered(r, service, owner)
			return ""
		}
	}
	if service != "" && (qtype == dns.TypeA || qtype == dns.TypeAAAA) {
		z.steered(r, service, owner)
		return ""
	}
	if rrs := n.set(qtype); rrs != nil {
		r.Kind, r.Additional = Success, n.opt().extra[qtype]
		r.add(rrs, owner, wild)
		return ""
	}
	if rrs := n.set(dns.TypeCNAME); rrs != nil && qtype != dns.TypeANY {
		r.add(rrs, owner, wild)
		return canonical(rrs[0].(*dns.CNAME).Target)
	}
	r.Kind, r.Authority = NoData, z.negative
	return ""
}

func (z *Zone) steered(r *Result, service, owner string) {
	r.Kind, r.Service, r.Owner = Steered, service, owner
	if len(z.negative) > 0 {
		r.NegativeSOA = z.negative[0]
	}
}

// refer makes r a referral, or the chain so far with a referral behind it.
func (r *Result) refer(cut *node) {
	more := cut.opt()
	r.Kind, r.Authority = Delegation, cut.set(dns.TypeNS)
	r.Additional, r.Glue = more.extra[dns.TypeNS], more.glue
}

// add puts an RRset into the answer. The first one is the zone's own slice: it has no spare capacity, so that
// appending copies it.
func (r *Result) add(rrs []dns.RR, owner string, wild bool) {
	if wild {
		rrs = synthesize(rrs, owner)
	}
	if r.Answer == nil {
		r.Answer = rrs
	} else {
		r.Answer = append(r.Answer, rrs...)
	}
}

// synthesize gives the records of a wildcard to a name that it matches (RFC 4592 section 3.3.2).
func synthesize(rrs []dns.RR, owner string) []dns.RR {
	copies := make([]dns.RR, len(rrs))
	for i, rr := range rrs {
		copies[i] = dns.Copy(rr)
		copies[i].Header().Name = owner
	}
	return copies
}
