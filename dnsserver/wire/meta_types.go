package wire

import (
	"github.com/miekg/dns"

	"github.com/meridian-gtm/meridian/dnsserver/zone"
)

// anyTTL is the TTL of the HINFO that answers ANY, in seconds: long, since it never changes.
const anyTTL = 3600

// typeNXNAME is a meta type that exists in NSEC bitmaps only (RFC 9824 section 3.4).
const typeNXNAME = 128

// metaType returns the answer to types that no zone holds: 128..254 by RFC 6895 section 3.1, and a few below.
func metaType(qtype uint16) (rcode uint16, special bool) {
	switch qtype {
	case dns.TypeNone, dns.TypeOPT, typeNXNAME, dns.TypeTKEY, dns.TypeTSIG:
		return dns.RcodeFormatError, true // never a question
	case dns.TypeAXFR, dns.TypeIXFR:
		return dns.RcodeRefused, true // no transfers to anybody (RFC 5936 section 2.2.1)
	case dns.TypeANY:
		return 0, false
	}
	if 128 <= qtype && qtype <= 254 {
		return dns.RcodeNotImplemented, true
	}
	return 0, false
}

// any answers a query for all types (RFC 8482 section 4) from what a look-up of CNAME at the name found: the CNAME,
// a DNAME, a referral or NXDOMAIN are what they are, and a name without a CNAME gets a synthetic HINFO.
func (r *Responder) any(res zone.Result) (rcode uint16) {
	if res.Kind != zone.NoData || len(res.Answer) > 0 {
		return r.static(&res)
	}
	r.reply.flags |= flagsAA
	r.reply.addMinimal()
	return dns.RcodeSuccess
}

// addMinimal appends the HINFO that stands for all types.
func (w *reply) addMinimal() { w.addRaw(dns.TypeHINFO, dns.ClassINET, anyTTL, "RFC8482", "") }
