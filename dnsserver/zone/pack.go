package zone

import (
	"encoding/binary"
	"math"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// Lengths and pointers in a message (RFC 1035 section 4.1).
const (
	questionEnd    = headerOctets + 4 // and the octets of the question's name between header and type
	pointToName    = 0xc000 | headerOctets
	pointerBits    = 0xc000
	maxPointer     = 0x3fff
	typeAndClass   = 4
	rdataAfterName = 10 // type, class, ttl, rdlength
)

// packer makes the packed form of a zone that is complete and sound.
type packer struct {
	*packed
	b     *builder
	q     WireName
	owner string // the name that the message asks for
	msg   []byte
	seen  map[string]int    // names in msg, by offset
	ids   map[string]uint32 // of services
}

// pack returns the packed form.
func (b *builder) pack() *packed {
	p := packer{
		packed: &packed{depth: b.depth, apex: depth(b.origin)}, b: b,
		seen: map[string]int{}, ids: map[string]uint32{},
	}
	p.reserve()
	for i, n := range b.order {
		p.plant(n, uint32(i))
	}
	for i, n := range b.order {
		p.fill(n, &p.nodes[i])
	}
	p.pose(b.apex)
	p.negative = uint32(len(p.sets))
	p.sets = append(p.sets, p.section(b.negative, nil, 0, true)) // of the apex, which is posed
	for i, n := range b.order {
		p.link(n, &p.nodes[i])
	}
	p.data, p.sets, p.fixes = trim(p.data), trim(p.sets), trim(p.fixes)
	return p.packed
}

// reserve makes room for what a plain zone needs, so that large ones are not copied as they grow.
func (p *packer) reserve() {
	names, sets, data, most := 0, 1, 0, maxChain*2*maxNameOctets
	for _, n := range p.b.order {
		names += len(n.name) + 1
		sets += len(n.sets)
		for _, s := range n.sets {
			for _, rr := range s.rrs {
				data += recordOctets + int(rr.Header().Rdlength)
				most += recordOctets + int(rr.Header().Rdlength) + maxNameOctets
			}
		}
	}
	// No message holds more than a chain and every record once.
	p.msg = make([]byte, questionEnd+maxNameOctets+min(most, maxNameOctets+math.MaxUint16))
	p.table = newSlots(len(p.b.order))
	p.nodes = make([]leaf, 0, len(p.b.order))
	p.names = make([]byte, wordOctets, wordOctets+names)
	p.sets = make([]set, 0, sets)
	p.data = make([]byte, 0, data)
	p.rares = make([]rare, 1)
	p.extras = make([]extra, 1)
}

// trim gives back what growing left over.
func trim[T any](list []T) []T {
	if cap(list)-len(list) > len(list)/8 {
		return slices.Clone(list)
	}
	return list
}

// plant adds a node's name.
func (p *packer) plant(n *node, at uint32) {
	from := len(p.names)
	p.pose(n)
	p.names = append(p.names, p.msg[headerOctets:headerOctets+p.q.size]...)
	p.nodes = append(p.nodes, leaf{name: uint32(from), size: uint8(p.q.size)})
	p.table.insert(p.q.hash(0), at)
}

// pose begins a message that asks for the name of n.
func (p *packer) pose(n *node) {
	p.q.Read(p.msg[:packName(p.msg, headerOctets, n.name)], headerOctets)
	p.owner = n.name
}

// packName writes a canonical name of a node to msg and returns where it ends.
func packName(msg []byte, at int, name string) (end int) {
	if strings.IndexByte(name, '\\') >= 0 {
		end, err := dns.PackDomainName(name, msg, at, nil, false)
		if err != nil {
			panic("zone: name without wire form: " + name) // the builder has refused those
		}
		return end
	}
	if name == "." {
		msg[at] = 0
		return at + 1
	}
	length := at
	for i := range len(name) {
		at++
		if name[i] == '.' {
			msg[length] = byte(at - length - 1)
			length = at
		} else {
			msg[at] = name[i]
		}
	}
	msg[at] = 0
	return at + 1
}

// fill adds a node's records.
func (p *packer) fill(n *node, l *leaf) {
	l.sets, l.count = uint32(len(p.sets)), uint16(len(n.sets))
	posed := false
	for i := range n.sets {
		rrs := n.sets[i].rrs
		rtype := n.sets[i].rtype
		extra := n.opt().extra[rtype]
		if len(extra) == 0 && !compressible(rtype) {
			p.sets = append(p.sets, p.simple(rrs))
			continue
		}
		if !posed {
			p.pose(n)
			posed = true
		}
		p.sets = append(p.sets, p.section(rrs, extra, n.opt().glue, n.opt().cut || isWildcard(n.name)))
	}
}

// compressible tells the types in whose rdata names may be compressed (RFC 3597 section 4).
func compressible(rtype uint16) bool {
	_, count := namesIn(rtype)
	return count > 0
}

// namesIn says how many compressible names the rdata of a type has, and how many octets stand before them.
func namesIn(rtype uint16) (skip, count int) {
	switch rtype {
	case dns.TypeNS, dns.TypeCNAME, dns.TypePTR, dns.TypeMB, dns.TypeMD, dns.TypeMF, dns.TypeMG, dns.TypeMR:
		return 0, 1
	case dns.TypeMX:
		return 2, 1
	case dns.TypeSOA, dns.TypeMINFO:
		return 0, 2
	}
	return 0, 0
}

// headerless is a record whose header may be written to, as packing does.
type headerless struct {
	dns.RR
	hdr dns.RR_Header
}

// Header returns the header that stands in for the record's own.
func (h *headerless) Header() *dns.RR_Header { return &h.hdr }

// simple packs records without compression.
func (p *packer) simple(rrs []dns.RR) set {
	s := set{at: uint32(len(p.data)), rtype: rrs[0].Header().Rrtype, count: uint16(len(rrs)), plain: true}
	for _, rr := range rrs {
		const at = questionEnd + maxNameOctets // behind any question, which stays
		end := p.one(rr, at, nil)
		p.data = append(p.data, p.msg[at:end]...)
	}
	s.size = uint16(len(p.data) - int(s.at))
	return s
}

// one packs a record that is owned by the question's name. The root stands in for that name, in the second of the
// two octets that a pointer takes.
func (p *packer) one(rr dns.RR, at int, names map[string]int) (end int) {
	h := headerless{RR: rr, hdr: *rr.Header()}
	h.hdr.Name = "."
	end, err := dns.PackRR(&h, p.msg, at+1, names, names != nil)
	if err != nil {
		panic("zone: record without wire form: " + rr.String()) // tidy has refused those
	}
	binary.BigEndian.PutUint16(p.msg[at:], pointToName)
	return end
}

// section packs records of the question's name with compression, as the slow path does, and additional ones behind
// them, the first few of which are glue. When the question's name is going to be another, movable, its pointers are noted.
func (p *packer) section(rrs, additional []dns.RR, glue int, movable bool) set {
	base := p.seed()
	at := base
	for _, rr := range rrs {
		at = p.one(rr, at, p.seen)
	}
	s := set{rtype: rrs[0].Header().Rrtype, count: uint16(len(rrs)), size: uint16(at - base)}
	var x extra
	for _, rr := range additional {
		end, err := p.next(rr, at)
		if err != nil || end > math.MaxUint16 {
			break // more than any message can hold
		}
		x.count++
		at = end
	}
	x.glue = min(uint16(glue), x.count)
	x.additional = uint16(at - base - int(s.size))
	return p.keep(s, x, base, at, movable)
}

// next packs a record with its own owner.
func (p *packer) next(rr dns.RR, at int) (end int, err error) {
	return dns.PackRR(&headerless{RR: rr, hdr: *rr.Header()}, p.msg, at, p.seen, true)
}

// keep stores what was packed between base and end.
func (p *packer) keep(s set, x extra, base, end int, movable bool) set {
	s.at = uint32(len(p.data))
	p.data = append(p.data, p.msg[base:end]...)
	if movable {
		x.fixes = uint32(len(p.fixes))
		p.fix(p.data[s.at:])
		x.fixCount = uint16(len(p.fixes) - int(x.fixes))
	}
	if x != (extra{}) {
		s.extra = uint32(len(p.extras))
		p.extras = append(p.extras, x)
	}
	return s
}

// seed notes where the question's name and its parents are, and returns where records begin. A wildcard's own name is
// not among them, since another will stand there.
func (p *packer) seed() (base int) {
	clear(p.seen)
	at := headerOctets
	for name := p.owner; name != "."; name = parent(name) {
		if at > headerOctets || !isWildcard(name) {
			p.seen[name] = at
		}
		at += 1 + int(p.msg[at])
	}
	return headerOctets + p.q.size + typeAndClass
}

// fix notes the compression pointers of packed records, but for those of a wildcard's answers to its own name: that
// is where the name of the question will be.
func (p *packer) fix(octets []byte) {
	wild := isWildcard(p.owner)
	name := func(at int) int {
		for {
			switch c := octets[at]; {
			case c == 0:
				return at + 1
			case c >= pointerBits>>8:
				if !wild || binary.BigEndian.Uint16(octets[at:]) != pointToName {
					p.fixes = append(p.fixes, uint16(at))
				}
				return at + 2
			default:
				at += 1 + int(c)
			}
		}
	}
	for at := 0; at < len(octets); {
		at = name(at)
		skip, count := namesIn(binary.BigEndian.Uint16(octets[at:]))
		end := at + rdataAfterName + int(binary.BigEndian.Uint16(octets[at+8:]))
		at += rdataAfterName + skip
		for range count {
			at = name(at)
		}
		at = end
	}
}

// link adds what few nodes have.
func (p *packer) link(n *node, l *leaf) {
	x := rare{}
	if more := n.opt(); more != &none {
		if more.shade != nil {
			l.flags |= flagShaded
			x.shade = p.find(more.shade)
		}
		if more.wild != nil {
			l.flags |= flagWild
			x.wild = p.find(more.wild)
		}
		if more.service != "" {
			l.flags |= flagService
			x.service = p.service(more.service)
		}
	}
	if n.opt().cut {
		l.flags |= flagCut
	}
	if n.set(dns.TypeDNAME) != nil {
		l.flags |= flagDNAME
	}
	if n.set(dns.TypeCNAME) != nil {
		l.flags |= flagCNAME
		if p.chain(n, &x) {
			l.flags |= flagAlias
		}
	}
	if x != (rare{}) {
		l.rare = uint32(len(p.rares))
		p.rares = append(p.rares, x)
	}
}

// find returns the position of a node, plus one.
func (p *packer) find(n *node) uint32 {
	p.pose(n)
	hash := p.q.hash(0)
	for i := p.table.first(hash); ; i = p.table.next(i) {
		at := position(p.table[i])
		if l := &p.nodes[at]; holds(p.table[i], hash) && p.q.is(0, p.name(l), 0) {
			return at + 1
		}
	}
}

func (p *packer) service(name string) uint32 {
	id, ok := p.ids[name]
	if !ok {
		id = uint32(len(p.services))
		p.ids[name] = id
		p.services = append(p.services, name)
	}
	return id + 1
}

// chain packs the CNAMEs from n on and notes where they lead. It reports false when that is for the slow path to find
// out.
func (p *packer) chain(n *node, x *rare) bool {
	source, owner := n, n.name
	passed := []string{owner}
	var rrs []dns.RR
	outcome := Success
	for outcome == Success {
		rr := dns.Copy(source.set(dns.TypeCNAME)[0]).(*dns.CNAME)
		rr.Hdr.Name = owner
		rrs = append(rrs, rr)
		owner = rr.Target
		switch {
		case len(passed) == maxChain, slices.Contains(passed, owner), owner != canonical(owner):
			return false
		case !below(owner, p.b.origin):
			outcome = ChainEnd
			continue
		}
		passed = append(passed, owner)
		at, exact := p.b.find(owner)
		if !exact {
			switch {
			case at.opt().shade != nil || at.set(dns.TypeDNAME) != nil:
				return false
			case at.opt().wild == nil:
				outcome = NXDomain
				continue
			}
			at = at.opt().wild
		}
		if at.opt().shade != nil {
			return false
		}
		source = at
		if source.set(dns.TypeCNAME) == nil {
			break
		}
	}
	if outcome == Success {
		x.end = p.find(source)
	}
	x.outcome = outcome
	p.pose(n)
	return p.links(rrs, x, isWildcard(n.name))
}

// links packs the records of a chain.
func (p *packer) links(rrs []dns.RR, x *rare, movable bool) bool {
	base := p.seed()
	rdata, end := 0, base
	for i, rr := range rrs {
		at := end
		var err error
		if i == 0 {
			end = p.one(rr, at, p.seen)
		} else if end, err = p.next(rr, at); err != nil {
			return false
		}
		rdata = end - p.rdataSize(at, end)
	}
	if rdata > maxPointer-maxNameOctets {
		return false
	}
	x.owner = pointerBits | uint16(rdata)
	if p.msg[rdata] >= pointerBits>>8 {
		x.owner = binary.BigEndian.Uint16(p.msg[rdata:])
	}
	s := p.keep(set{rtype: dns.TypeCNAME, count: uint16(len(rrs)), size: uint16(end - base)}, extra{}, base, end, movable)
	p.sets = append(p.sets, s)
	x.chain = uint32(len(p.sets))
	return true
}

// rdataSize returns the octets of the rdata of the record at one offset, which ends at another.
func (p *packer) rdataSize(at, end int) int {
	for p.msg[at] != 0 && p.msg[at] < pointerBits>>8 {
		at += 1 + int(p.msg[at])
	}
	if at++; p.msg[at-1] != 0 {
		at++
	}
	return end - at - rdataAfterName
}
