package zone

import (
	"encoding/binary"
	"encoding/hex"

	"github.com/miekg/dns"
)

// thaw returns the node of a canonical name with its records unpacked, or nil. The nodes that it refers to come with
// it. Zones keep no other form of their records: few queries need it, and those can pay.
func (p *packed) thaw(name string) *node {
	var msg [wordOctets + maxNameOctets + 1]byte
	end, err := dns.PackDomainName(name, msg[:], wordOctets, nil, false)
	if err != nil {
		return nil
	}
	var q WireName
	if _, ok := q.Read(msg[:end], wordOctets); !ok || !p.holds(&q) {
		return nil
	}
	l := p.node(&q, 0)
	if l == nil {
		return nil
	}
	return p.thawLeaf(l)
}

// holds tells whether a name is at or below the origin.
func (p *packed) holds(q *WireName) bool {
	origin := &p.nodes[0]
	return q.labels >= p.apex && q.is(q.labels-p.apex, p.name(origin), 0)
}

func (p *packed) thawLeaf(l *leaf) *node {
	n := p.thawSets(l)
	if l.rare == 0 {
		return n
	}
	x := &p.rares[l.rare]
	if x.wild != 0 {
		n.grow().wild = p.thawLeaf(&p.nodes[x.wild-1])
	}
	if x.service != 0 {
		n.grow().service = p.services[x.service-1]
	}
	if x.shade != 0 {
		shade := n
		if by := &p.nodes[x.shade-1]; by != l {
			shade = p.thawSets(by)
		}
		n.grow().shade = shade
	}
	return n
}

// thawSets returns a node with its record sets and what goes with them.
func (p *packed) thawSets(l *leaf) *node {
	msg := p.message(l)
	n := &node{name: p.presentation(l)}
	for i := range p.sets[l.sets : l.sets+uint32(l.count)] {
		s := &p.sets[int(l.sets)+i]
		rrs, additional, glue := p.thawSet(msg, s)
		n.sets = append(n.sets, rrset{s.rtype, rrs})
		if len(additional) == 0 {
			continue
		}
		more := n.grow()
		if more.extra == nil {
			more.extra = map[uint16][]dns.RR{}
		}
		more.extra[s.rtype] = additional
		if s.rtype == dns.TypeNS {
			more.glue = glue
		}
	}
	if l.flags&flagCut != 0 {
		n.grow().cut = true
	}
	return n
}

// message begins a message that asks for a node: what its records were packed for.
func (p *packed) message(l *leaf) []byte {
	msg := make([]byte, headerOctets, questionEnd+int(l.size))
	msg = append(msg, p.name(l)...)
	return append(msg, make([]byte, typeAndClass)...)
}

func (p *packed) presentation(l *leaf) string {
	name, _, err := dns.UnpackDomainName(p.name(l), 0)
	if err != nil {
		panic("zone: packed name is none: " + err.Error())
	}
	return name
}

// thawSet unpacks one set and its additional records, of which the first few are glue. msg has no spare capacity.
func (p *packed) thawSet(msg []byte, s *set) (rrs, additional []dns.RR, glue int) {
	end, count := s.at+uint32(s.size), int(s.count)
	if s.extra != 0 {
		x := &p.extras[s.extra]
		end, glue = end+uint32(x.additional), int(x.glue)
		count += int(x.count)
	}
	at := len(msg)
	msg = append(msg[:at:at], p.data[s.at:end]...)
	all := make([]dns.RR, count)
	for i := range all {
		all[i], at = unpack(msg, at)
	}
	rrs, additional = all[:s.count:s.count], all[s.count:]
	return rrs, additional, glue
}

// unpack reads the record at an offset. The generic form is for rdata that is not what its type says, which a master
// file may hold by RFC 3597.
func unpack(msg []byte, at int) (rr dns.RR, end int) {
	rr, end, err := dns.UnpackRR(msg, at)
	if err == nil {
		return rr, end
	}
	name, at, err := dns.UnpackDomainName(msg, at)
	if err != nil || len(msg)-at < rdataAfterName {
		panic("zone: packed record is none")
	}
	size := binary.BigEndian.Uint16(msg[at+8:])
	end = at + rdataAfterName + int(size)
	return &dns.RFC3597{
		Hdr: dns.RR_Header{
			Name: name, Rrtype: binary.BigEndian.Uint16(msg[at:]), Class: binary.BigEndian.Uint16(msg[at+2:]),
			Ttl: binary.BigEndian.Uint32(msg[at+4:]), Rdlength: size,
		},
		Rdata: hex.EncodeToString(msg[at+rdataAfterName : end]),
	}, end
}
