package zone

import (
	"slices"

	"github.com/miekg/dns"
)

// check looks for what the zone must not be. Faults are what BIND, Knot or the RFCs refuse; what they load and keep
// to themselves, as data below a delegation, is a warning.
func (b *builder) check() {
	b.checkApex()
	for _, n := range b.order {
		if n != b.apex {
			b.checkBelowApex(n)
		}
		b.checkAliases(n)
		b.checkSteered(n)
	}
	b.checkShade()
	b.seal()
	b.checkTargets()
}

// checkApex wants one SOA (RFC 1035 section 5.2) and NS (RFC 1034 section 4.2.1).
func (b *builder) checkApex() {
	soa := b.apex.set(dns.TypeSOA)
	if len(soa) == 0 && !b.partial {
		b.blame(b.origin, dns.TypeSOA, "none: want one at the apex")
	}
	for _, rr := range soa[min(1, len(soa)):] {
		b.fault(rr, "second soa: want one at the apex")
	}
	if b.apex.set(dns.TypeNS) == nil && !b.partial {
		b.blame(b.origin, dns.TypeNS, "none: want at least one at the apex")
	}
	for _, rr := range b.apex.set(dns.TypeDS) {
		b.fault(rr, "ds at the apex: want it in the parent zone (RFC 4035 section 2.4)")
	}
}

func (b *builder) checkBelowApex(n *node) {
	for _, rr := range n.set(dns.TypeSOA) {
		b.fault(rr, "soa below the apex: want it at %s only", b.origin)
	}
	if ds := n.set(dns.TypeDS); ds != nil && n.set(dns.TypeNS) == nil {
		b.fault(ds[0], "ds without ns: want it at a delegation (RFC 4035 section 2.4)")
	}
	if !isWildcard(n.name) {
		return
	}
	if ns := n.set(dns.TypeNS); ns != nil {
		b.fault(ns[0], "ns at a wildcard has no meaning: want an owner without * (RFC 4592 section 4.2)")
	}
	if dname := n.set(dns.TypeDNAME); dname != nil {
		b.fault(dname[0], "dname at a wildcard has no meaning: want an owner without * (RFC 4592 section 4.4)")
	}
}

// checkAliases wants CNAME and DNAME to be single, and a CNAME alone but for its DNSSEC records (RFC 1034
// section 3.6.2, RFC 4034 sections 3 and 4, RFC 6672 sections 2.3 and 2.4).
func (b *builder) checkAliases(n *node) {
	if cname := n.set(dns.TypeCNAME); cname != nil {
		for _, rr := range cname[1:] {
			b.fault(rr, "second cname: want one")
		}
		for _, s := range n.sets {
			switch s.rtype {
			case dns.TypeCNAME, dns.TypeRRSIG, dns.TypeNSEC:
			default:
				b.fault(cname[0], "cname beside %s: want no other data at its owner (RFC 1034 section 3.6.2)", dns.Type(s.rtype))
			}
		}
	}
	if dname := n.set(dns.TypeDNAME); dname != nil {
		for _, rr := range dname[1:] {
			b.fault(rr, "second dname: want one (RFC 6672 section 2.4)")
		}
		if n != b.apex && n.set(dns.TypeNS) != nil {
			b.fault(dname[0], "dname beside ns: want them together at the apex only (RFC 6672 section 2.3)")
		}
	}
}

// checkSteered wants nothing static where a policy answers, and the policy's name not to be hidden.
func (b *builder) checkSteered(n *node) {
	service := n.service()
	if service == "" {
		return
	}
	for _, s := range n.sets {
		switch s.rtype {
		case dns.TypeA, dns.TypeAAAA, dns.TypeCNAME, dns.TypeDNAME:
			b.fault(s.rrs[0], "static beside steering by service %q: want one of them", service)
		}
	}
	if by := n.opt().shade; by != nil {
		what, rtype := "delegation", dns.TypeNS
		if !by.opt().cut {
			what, rtype = "dname", dns.TypeDNAME
		}
		b.fault(by.set(rtype)[0], "%s hides %s, steered by service %q: want one of them", what, n.name, service)
	}
}

// checkShade wants nothing below a DNAME (RFC 6672 section 2.4), and warns about what a delegation hides.
func (b *builder) checkShade() {
	if len(b.cuts)+len(b.dnames) == 0 {
		return
	}
	glue := make(map[string]bool) // names that NS records point to
	for _, n := range slices.Concat(b.cuts, []*node{b.apex}) {
		for _, rr := range n.set(dns.TypeNS) {
			glue[canonical(rr.(*dns.NS).Ns)] = true
		}
	}
	for _, n := range b.order {
		by := n.opt().shade
		if by == nil {
			continue
		}
		for _, s := range n.sets {
			switch {
			case !by.opt().cut:
				b.fault(s.rrs[0], "below the dname at %s: want nothing there (RFC 6672 section 2.4)", by.name)
			case n == by && isParentSide(s.rtype):
			case (s.rtype == dns.TypeA || s.rtype == dns.TypeAAAA) && glue[n.name]:
			default:
				b.warn(s.rrs[0], "hidden by the delegation of %s: want it in that zone; only glue is of use here", by.name)
			}
		}
	}
}

// isParentSide tells the types that a parent zone holds at a delegation (RFC 4035 section 2).
func isParentSide(rtype uint16) bool {
	switch rtype {
	case dns.TypeNS, dns.TypeDS, dns.TypeNSEC, dns.TypeRRSIG:
		return true
	}
	return false
}

// checkTargets follows names in rdata that stay in the zone.
func (b *builder) checkTargets() {
	for _, n := range b.order {
		by := n.opt().shade
		if by != nil && by != n {
			continue // not ours to judge
		}
		for _, s := range n.sets {
			for _, rr := range s.rrs {
				switch rr := rr.(type) {
				case *dns.NS:
					b.checkNS(n, rr)
				case *dns.MX:
					b.checkHost(rr, rr.Mx)
				case *dns.SRV:
					b.checkHost(rr, rr.Target)
				case *dns.CNAME:
					b.checkCNAME(n, rr)
				case *dns.SVCB:
					b.checkHints(n, rr, rr)
				case *dns.HTTPS:
					b.checkHints(n, rr, &rr.SVCB)
				}
			}
		}
	}
}

// checkNS wants a name server in the zone to have an address without detour (RFC 1034 section 4.2.1, RFC 2181
// section 10.3).
func (b *builder) checkNS(n *node, rr *dns.NS) {
	switch problem, by := b.hostProblem(rr.Ns); {
	case problem == "":
	case problem == isAlias:
		b.fault(rr, "name server %s %s: want a name with addresses (RFC 2181 section 10.3)", rr.Ns, problem)
	case b.partial:
	case by == nil:
		b.fault(rr, "name server %s %s: want A or AAAA", rr.Ns, problem)
	case by == n: // others may serve as sibling glue, but need not (RFC 9471 section 3.2)
		b.fault(rr, "name server %s lies below its own delegation and %s: want A or AAAA as glue", rr.Ns, problem)
	}
}

// checkHost warns of mail exchangers and service hosts that nobody can reach.
func (b *builder) checkHost(rr dns.RR, host string) {
	if problem, by := b.hostProblem(host); problem != "" && by == nil && !b.partial {
		b.warn(rr, "host %s %s: want A or AAAA", host, problem)
	}
}

// What may be wrong with a host.
const (
	isAlias   = "is an alias"
	noAddress = "has no address"
)

// checkHints wants no fixed addresses for a target whose addresses a policy decides: clients may connect to hints
// before they ask (RFC 9460 section 7.3), and no verdict would move them.
func (b *builder) checkHints(n *node, at dns.RR, rr *dns.SVCB) {
	target := canonical(rr.Target)
	if target == "." {
		target = n.name // also of a wildcard: it stands for every name that it matches
	}
	if !below(target, b.origin) {
		return
	}
	for _, param := range rr.Value {
		var qtype uint16
		switch param.(type) {
		case *dns.SVCBIPv4Hint:
			qtype = dns.TypeA
		case *dns.SVCBIPv6Hint:
			qtype = dns.TypeAAAA
		default:
			continue
		}
		if r := b.Lookup(target, qtype); r.Kind == Steered {
			b.fault(at, "%s beside steering of %s by service %q: want no hints, clients ask for the addresses (RFC 9460 section 7.3)",
				param.Key(), target, r.Service)
		}
	}
}

// hostProblem says what is wrong with a host, if it is in the zone; by is the delegation that hides it.
func (b *builder) hostProblem(host string) (problem string, by *node) {
	name := canonical(host)
	if !below(name, b.origin) || name == "." { // "." says that there is none (RFC 7505, RFC 2782)
		return "", nil
	}
	n, exact := b.find(name)
	if by := n.opt().shade; by != nil && by.opt().cut {
		if exact && (n.set(dns.TypeA) != nil || n.set(dns.TypeAAAA) != nil) {
			return "", by
		}
		return noAddress, by
	}
	for _, qtype := range []uint16{dns.TypeA, dns.TypeAAAA} {
		r := b.Lookup(name, qtype)
		if len(r.Answer) > 0 && r.Answer[0].Header().Rrtype != qtype {
			return isAlias, nil
		}
		if r.Kind == Success || r.Kind == Steered {
			return "", nil
		}
	}
	return noAddress, nil
}

// checkCNAME warns of chains that end nowhere.
func (b *builder) checkCNAME(n *node, rr *dns.CNAME) {
	r := b.Lookup(n.name, dns.TypeA)
	switch {
	case r.Kind == NXDomain && !b.partial:
		b.warn(rr, "leads to a name that does not exist in the zone: want an existing one")
	case r.Kind == ChainEnd && b.endsInside(r):
		b.warn(rr, "loops, or passes more than %d names: want a chain that ends", maxChain)
	}
}

// endsInside tells whether the target at which a chain was cut is in the zone.
func (b *builder) endsInside(r Result) bool {
	last, ok := r.Answer[len(r.Answer)-1].(*dns.CNAME)
	return ok && below(canonical(last.Target), b.origin)
}
