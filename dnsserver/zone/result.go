package zone

import "github.com/miekg/dns"

// Kind is the outcome of a look-up.
type Kind uint8

// The outcomes.
const (
	Success    Kind = iota // Answer holds the RRset, maybe behind a chain of CNAMEs
	Steered                // Answer holds the chain so far; the caller adds the service's addresses at Owner
	NoData                 // the name exists without the type: SOA in Authority (RFC 2308 section 2.2)
	NXDomain               // the name does not exist: SOA in Authority (RFC 2308 section 2.1)
	Delegation             // referral: NS in Authority, glue in Additional, not authoritative
	ChainEnd               // a CNAME or DNAME chain left the zone, or was cut at its limit: answer what there is
	YXDomain               // DNAME substitution made a name longer than 255 octets (RFC 6672 section 2.2)
)

// String returns the name of the constant.
func (k Kind) String() string {
	names := [...]string{"Success", "Steered", "NoData", "NXDomain", "Delegation", "ChainEnd", "YXDomain"}
	if int(k) < len(names) {
		return names[k]
	}
	return "Kind(?)"
}

// Result is what a look-up found. The slices and records must not be changed; RRs of wildcard
// matches already carry the queried name, in its canonical form.
//
// Kind is about the last name of a chain, so it gives the RCODE (RFC 6604 section 3): behind a CNAME, NXDomain means
// RCODE NXDOMAIN with the chain in Answer. The AA flag is about the first name (RFC 1035 section 4.1.1): it is off
// only for a Delegation without Answer; a Delegation with one is a chain that ended below a zone cut.
type Result struct {
	Kind       Kind
	Answer     []dns.RR
	Authority  []dns.RR
	Additional []dns.RR

	// Service and Owner are set when Kind is Steered: the addresses go to Owner, in the case the client asked when
	// it is the question's name.
	Service string
	Owner   string
	// NegativeSOA is set when Kind is Steered: the SOA with the negative TTL, for a service without an address of
	// the family that was asked.
	NegativeSOA dns.RR

	// Glue is how many records at the head of Additional are in-domain glue, when Kind is Delegation. A response
	// without all of them needs the TC flag (RFC 9471 section 3.1); the others may be left out.
	Glue int
}
