package zone

import (
	"github.com/miekg/dns"
)

// packed is a zone as answers need it: record sets in wire form, made for a question that asks for the node's own
// name, so that most answers are one copy. It has no pointers that the garbage collector would follow.
type packed struct {
	table  slots // of nodes
	nodes  []leaf
	rares  []rare // 0 = none
	sets   []set
	extras []extra // 0 = none
	names  []byte  // of nodes: wire form, lower case, behind room for a word
	data   []byte  // of sets
	fixes  []uint16

	services []string
	negative uint32 // set of the SOA that negative answers carry
	depth    int    // labels of the longest name
	apex     int    // labels of the origin
}

// leaf is one name.
type leaf struct {
	name  uint32
	sets  uint32
	rare  uint32
	count uint16 // sets
	size  uint8  // octets of the name
	flags flags
}

type flags uint8

const (
	flagShaded  flags = 1 << iota // a delegation or DNAME answers in its stead
	flagDNAME                     // names below it are the slow path's
	flagWild                      // has a child "*"
	flagService                   // steered
	flagAlias                     // has a CNAME whose chain is packed
	flagCNAME                     // has a CNAME
	flagCut                       // a delegation: NS below the apex
)

// rare is what few nodes have. References are positions plus one, 0 = none.
type rare struct {
	shade   uint32 // the delegation or DNAME that answers in its stead
	wild    uint32
	service uint32
	chain   uint32 // set with the CNAMEs of the chain from here
	end     uint32 // node where the chain ends
	owner   uint16 // compression pointer to the name of the chain's end
	outcome Kind   // of the chain: ChainEnd or NXDomain; any other says to look at its end
}

// set is records of one type at one name, or of one section.
type set struct {
	at    uint32
	extra uint32
	size  uint16 // octets, without extra ones
	rtype uint16
	count uint16 // records, without extra ones
	plain bool   // no record has a compression pointer but for its owner, which is the question's name
}

// extra is what few sets have.
type extra struct {
	fixes      uint32
	fixCount   uint16
	additional uint16 // octets behind those of the set
	count      uint16 // records in these
	glue       uint16 // how many of them are in-domain glue
}

// Records are packed resource records as they stand in a message whose question asks for the name that they were
// packed for. In another message some compression pointers have another value: see [Records.Pointers].
type Records struct {
	// Octets holds Count records, and behind Size octets ExtraCount additional ones.
	Octets     []byte
	Size       int
	Count      uint16
	ExtraCount uint16
	// Pointers are the offsets in Octets of the compression pointers that depend on where in the message the
	// question's name and the records are. One that points below Base points into the question: add Shift. One that
	// does not points into Octets, which began at Base: add what they have moved by.
	Pointers []uint16
	Base     int
	Shift    int
}

// Move returns the value of a compression pointer when the records have moved by some octets. It is 0 when
// no pointer reaches that far.
func (r *Records) Move(pointer uint16, by int) uint16 {
	to := int(pointer &^ pointerBits)
	if to < r.Base {
		to += r.Shift
	} else {
		to += by
	}
	if to > maxPointer {
		return 0
	}
	return uint16(to) | pointerBits
}

// Match is what [Set.Match] found.
type Match struct {
	Zone *Zone // nil = no zone has the name: the other fields mean nothing
	Kind Kind
	// Exact says that Records are as short as can be: they are what was asked for by its own name, with nothing that
	// another name could compress better. It is never set at the root, whose name is shorter than a pointer.
	Exact bool
	// Chain are the CNAMEs that led to what follows. Its Count is 0 when there are none.
	Chain Records
	// Records are the answer (Success), the SOA (NoData, NXDomain, and Steered for want of an address) or the NS of
	// a referral (Delegation), with additional records where they belong. Nothing for ChainEnd.
	Records Records
	// Owner is a compression pointer to the name of what follows a Chain, as it stands in Chain.Octets. Records that
	// follow a chain have the question's name as their owner.
	Owner uint16

	Service   string // of a Steered name
	ServiceID int    // the number of Service in its set, below Set.ServiceCount
}

// Match answers like Find and Lookup do, from the packed form: without allocation, and at the cost of one hash for
// most names. It reports false for what the packed form does not cover: ANY, DNAME, DS at an origin, and chains that
// meet a DNAME or a delegation, loop, are too long or are not written in lower case.
func (s *Set) Match(q *WireName, qtype uint16, m *Match) bool {
	e, label := s.search(q)
	if e == nil {
		m.Zone = nil
		return true
	}
	if qtype == dns.TypeANY || qtype == dns.TypeDS && label == 0 {
		return false
	}
	m.Zone = e.zone
	m.Chain.Count = 0
	ok := e.packed.match(q, qtype, m)
	if m.Kind == Steered {
		m.ServiceID += e.services
	}
	return ok
}

// search returns the zone with the longest origin that a name is at or below, and at which label the origin begins,
// or nil.
func (s *Set) search(q *WireName) (e *member, label int) {
	for depth := min(q.labels, s.depth); depth >= 0; depth-- {
		if s.depths[depth>>6&1]&(1<<(depth&63)) == 0 {
			continue
		}
		label := q.labels - depth
		hash := q.hash(label)
		for i := s.table.first(hash); s.table[i] != 0; i = s.table.next(i) {
			if holds(s.table[i], hash) {
				e := &s.list[position(s.table[i])]
				if q.is(label, e.origin, 0) {
					return e, label
				}
			}
		}
	}
	return nil, 0
}

// index makes the zones known to Match.
func (s *Set) index() {
	s.table = newSlots(len(s.list))
	for i := range s.list {
		e := &s.list[i]
		var q WireName
		q.Read(e.packed.names, wordOctets) // the origin's is the first node
		s.table.insert(q.hash(0), uint32(i))
		s.depths[q.labels>>6] |= 1 << (q.labels & 63)
		e.services = s.services
		s.services += len(e.packed.services)
	}
}

// ServiceCount returns the number of services that the zones name, one in several zones counted as often.
func (s *Set) ServiceCount() int { return s.services }

func (p *packed) name(n *leaf) []byte { return p.names[n.name : n.name+uint32(n.size)] }

// node returns the node of the name that begins at a label, or nil. The name is known to be in the zone.
func (p *packed) node(q *WireName, label int) *leaf {
	hash, same := q.hash(label), int(p.nodes[0].size)
	for i := p.table.first(hash); p.table[i] != 0; i = p.table.next(i) {
		if holds(p.table[i], hash) {
			if n := &p.nodes[position(p.table[i])]; q.is(label, p.name(n), same) {
				return n
			}
		}
	}
	return nil
}

// encloser returns the closest encloser of a name that has no node (RFC 4592 section 3.3.1).
func (p *packed) encloser(q *WireName) *leaf {
	for depth := min(q.labels-1, p.depth); depth > p.apex; depth-- {
		if n := p.node(q, q.labels-depth); n != nil {
			return n
		}
	}
	return &p.nodes[0]
}

// match is step of the slow path over the packed form.
func (p *packed) match(q *WireName, qtype uint16, m *Match) bool {
	var n *leaf
	if q.labels <= p.depth {
		n = p.node(q, 0)
	}
	exact := n != nil
	if !exact {
		n = p.encloser(q)
	}
	m.Exact = exact && q.labels > 0
	if n.flags&flagShaded != 0 {
		by := &p.nodes[p.rares[n.rare].shade-1]
		if by.flags&flagCut == 0 {
			return false
		}
		if by != n || !exact || qtype != dns.TypeDS {
			m.Kind = Delegation
			p.records(p.set(by, dns.TypeNS), by, q, &m.Records)
			return true
		}
	}
	if !exact {
		switch {
		case n.flags&flagDNAME != 0:
			return false
		case n.flags&flagWild != 0:
			n = &p.nodes[p.rares[n.rare].wild-1]
		default:
			p.negate(NXDomain, q, m)
			return true
		}
	}
	if s := p.set(n, qtype); s != nil && !(n.flags&flagService != 0 && isAddress(qtype)) {
		m.Kind = Success
		p.records(s, n, q, &m.Records)
		return true
	}
	switch {
	case n.flags&flagService != 0 && isAddress(qtype):
		p.steered(n, q, m)
		return true
	case n.flags&flagAlias != 0:
		return p.follow(n, q, qtype, m)
	case n.flags&flagCNAME != 0:
		return false
	}
	p.negate(NoData, q, m)
	return true
}

func isAddress(qtype uint16) bool { return qtype == dns.TypeA || qtype == dns.TypeAAAA }

// follow answers with the chain from n and what is at its end.
func (p *packed) follow(n *leaf, q *WireName, qtype uint16, m *Match) bool {
	x := &p.rares[n.rare]
	p.records(&p.sets[x.chain-1], n, q, &m.Chain)
	m.Owner = x.owner
	switch x.outcome {
	case ChainEnd:
		m.Kind = ChainEnd
		return true
	case NXDomain:
		p.negate(NXDomain, q, m)
		return true
	}
	end := &p.nodes[x.end-1]
	if end.flags&flagService != 0 && isAddress(qtype) {
		p.steered(end, q, m)
		return true
	}
	s := p.set(end, qtype)
	if s == nil {
		p.negate(NoData, q, m)
		return true
	}
	if !s.plain || s.extra != 0 {
		return false
	}
	m.Kind = Success
	p.records(s, end, q, &m.Records)
	return true
}

func (p *packed) negate(k Kind, q *WireName, m *Match) {
	m.Kind = k
	p.records(&p.sets[p.negative], &p.nodes[0], q, &m.Records)
}

func (p *packed) steered(n *leaf, q *WireName, m *Match) {
	p.negate(Steered, q, m)
	service := p.rares[n.rare].service - 1
	m.Service, m.ServiceID = p.services[service], int(service)
}

// set returns a node's records of a type, or nil.
func (p *packed) set(n *leaf, rtype uint16) *set {
	sets := p.sets[n.sets : n.sets+uint32(n.count)]
	for i := range sets {
		if sets[i].rtype == rtype {
			return &sets[i]
		}
	}
	return nil
}

// records shows a set that was packed for the name of n.
func (p *packed) records(s *set, n *leaf, q *WireName, r *Records) {
	end := s.at + uint32(s.size)
	r.Size, r.Count, r.ExtraCount = int(s.size), s.count, 0
	r.Pointers = nil
	r.Base, r.Shift = questionEnd+int(n.size), q.size-int(n.size)
	if s.extra != 0 {
		x := &p.extras[s.extra]
		end += uint32(x.additional)
		r.ExtraCount = x.count
		r.Pointers = p.fixes[x.fixes : x.fixes+uint32(x.fixCount)]
	}
	r.Octets = p.data[s.at:end]
}
