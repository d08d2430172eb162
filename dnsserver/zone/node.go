package zone

import "github.com/miekg/dns"

// node is one name of the zone. Most have a set or two and nothing more, so the rest is behind a pointer.
type node struct {
	name string // canonical
	sets []rrset
	more *more
}

// rrset is the records of one type at one name.
type rrset struct {
	rtype uint16
	rrs   []dns.RR
}

// more is what few nodes have.
type more struct {
	service string // of a steered name
	wild    *node  // the child "*": the source of synthesis below this closest encloser (RFC 4592 section 3.3.1)
	// shade is the delegation at or above this name, or the DNAME above it, that answers in its stead; where several
	// do, the one nearest to the apex.
	shade *node
	cut   bool // a delegation: NS below the apex
	// extra holds the additional records by type of the RRset they go with (RFC 1034 section 4.3.2 step 6).
	extra map[uint16][]dns.RR
	glue  int // how many of extra[NS] are in-domain glue
}

// none stands in for an absent more, so that readers need no branch.
var none more

func (n *node) opt() *more {
	if n.more == nil {
		return &none
	}
	return n.more
}

func (n *node) grow() *more {
	if n.more == nil {
		n.more = new(more)
	}
	return n.more
}

// set returns the records of a type, or nil.
func (n *node) set(rtype uint16) []dns.RR {
	for i := range n.sets {
		if n.sets[i].rtype == rtype {
			return n.sets[i].rrs
		}
	}
	return nil
}

func (n *node) service() string { return n.opt().service }
