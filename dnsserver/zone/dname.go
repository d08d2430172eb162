package zone

import (
	"slices"

	"github.com/miekg/dns"
)

// substitute redirects a name below a DNAME (RFC 6672 section 3.2 step 3C): the DNAME and the CNAME made from it join
// the answer, and the look-up goes on at the new name. A query for CNAME is answered by the one made.
func (r *Result) substitute(qname string, at *node, qtype uint16) (next string) {
	rrs := at.set(dns.TypeDNAME)
	dname := rrs[0].(*dns.DNAME)
	here := func(rr dns.RR) bool { return rr.Header().Rrtype == dns.TypeDNAME && rr.Header().Name == at.name }
	if !slices.ContainsFunc(r.Answer, here) { // a chain may come by twice
		r.add(rrs, at.name, false)
	}

	prefix := qname
	if at.name != "." {
		prefix = qname[:len(qname)-len(at.name)]
	}
	target := prefix + dname.Target
	if dname.Target == "." {
		target = prefix
	}
	if !validName(target) {
		r.Kind = YXDomain
		return ""
	}
	r.add([]dns.RR{&dns.CNAME{
		Hdr:    dns.RR_Header{Name: qname, Rrtype: dns.TypeCNAME, Class: dns.ClassINET, Ttl: dname.Hdr.Ttl},
		Target: target,
	}}, qname, false)
	if qtype == dns.TypeCNAME {
		r.Kind = Success
		return ""
	}
	return canonical(target)
}
