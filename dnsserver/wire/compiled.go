package wire

import (
	"encoding/binary"
	"net/netip"

	"github.com/miekg/dns"

	"github.com/meridian-gtm/meridian/dnsserver/steer"
	"github.com/meridian-gtm/meridian/dnsserver/zone"
)

// compiled answers from the packed form of the zones: the record sets were packed when their zone was loaded, for a
// message such as this one, so that what is left is to find them and to copy them. It reports false when the
// question is one for the slow path; what it has written by then does not count.
//
// It may write an answer that is longer than the slow path's, since it does not look for names to compress in what it
// copies, never a shorter one. So what fits here fits there, and what does not is left to the slow path, which knows
// what may be left out. Only a record set that is asked for by its own name, and addresses, are of the same length in
// both: of these it knows itself that they do not fit.
func (r *Responder) compiled(
	snap *Snapshot, client netip.AddrPort, turn uint32, m *Meta,
) (rcode uint16, scope uint8, ok bool) {
	q := &r.query
	if q.qclass != dns.ClassINET || special(q.qtype) || snap == nil || snap.Zones == nil {
		return 0, 0, false
	}
	qtype := q.qtype
	if qtype == dns.TypeANY {
		qtype = dns.TypeCNAME
	}
	found := &r.match
	if !snap.Zones.Match(&q.qname, qtype, found) {
		return 0, 0, false
	}
	if found.Zone == nil {
		return dns.RcodeRefused, 0, true
	}
	w := &r.reply
	owner := uint16(nameAtQuestion)
	if found.Chain.Count > 0 {
		moved := w.n - found.Chain.Base
		if !w.paste(answerSection, &found.Chain) {
			return 0, 0, false
		}
		if owner = found.Chain.Move(found.Owner, moved); owner == 0 {
			return 0, 0, false
		}
	}
	w.flags |= flagsAA
	switch found.Kind {
	case zone.NoData:
		if q.qtype == dns.TypeANY {
			w.addMinimal()
			return dns.RcodeSuccess, 0, !w.overflow
		}
		ok = w.paste(authoritySection, &found.Records)
	case zone.Steered:
		return r.compiledSteered(snap, owner, client, turn, m)
	case zone.Success:
		switch {
		case found.Chain.Count > 0:
			ok = w.pasteAt(owner, &found.Records)
		case found.Exact && w.n+found.Records.Size > len(w.buf):
			w.overflow, ok = true, true
		default:
			ok = w.paste(answerSection, &found.Records)
		}
	case zone.NXDomain:
		rcode = dns.RcodeNameError
		ok = w.paste(authoritySection, &found.Records)
	case zone.Delegation:
		w.flags &^= flagsAA
		ok = w.paste(authoritySection, &found.Records)
	case zone.ChainEnd:
		ok = true
	}
	return rcode, 0, ok
}

// special tells the types that only the slow path answers.
func special(qtype uint16) bool {
	return 128 <= qtype && qtype <= 254 || qtype == dns.TypeNone || qtype == dns.TypeOPT
}

// compiledSteered writes the addresses that a service gives this client.
func (r *Responder) compiledSteered(
	snap *Snapshot, owner uint16, client netip.AddrPort, turn uint32, m *Meta,
) (rcode uint16, scope uint8, ok bool) {
	found := &r.match
	service, ok := r.bind(snap, found)
	if !ok {
		return 0, 0, false
	}
	sender := client.Addr().Unmap().WithZone("")
	who, mapped := steer.Client{Addr: sender}, false
	if r.query.edns.subnet.valid && !snap.Plan.IgnoresECS(service) {
		who, mapped = r.client(sender)
	}
	a := snap.Plan.Answer(service, r.query.qtype, who, turn, r.addrs[:0])
	if len(a.Addrs) == 0 {
		// Resolvers may keep any negative answer for everybody (RFC 7871 section 7.4).
		ok = r.reply.paste(authoritySection, &found.Records)
	} else if ok = r.reply.pasteAddrs(owner, a.TTL, a.Addrs); !ok && owner == nameAtQuestion {
		r.reply.overflow, ok = true, true
	}
	if !ok {
		return 0, 0, false
	}
	m.Service, m.Cause, m.ECS = found.Service, a.Cause, who.ECS
	m.Sites, m.SiteNames = a.Sites, snap.Plan.Sites(service)
	return dns.RcodeSuccess, r.scope(&a, who.ECS, mapped), true
}

// bind returns the plan's number of a service, which it looks up once in a snapshot's life.
func (r *Responder) bind(snap *Snapshot, found *zone.Match) (service int, ok bool) {
	if snap != r.bound {
		r.bound = snap
		n := snap.Zones.ServiceCount()
		if cap(r.bindings) < n {
			r.bindings = make([]int32, n)
		}
		r.bindings = r.bindings[:n]
		clear(r.bindings)
	}
	if snap.Plan == nil {
		return 0, false
	}
	if b := r.bindings[found.ServiceID]; b > 0 {
		return int(b - 1), true
	}
	if service, ok = snap.Plan.Service(found.Service); ok {
		r.bindings[found.ServiceID] = int32(service + 1)
	}
	return service, ok
}

// paste copies packed records to where they belong: a section, and additional ones behind it. It reports false when
// they do not fit.
func (w *reply) paste(section int, rs *zone.Records) bool {
	n := w.n
	if n+len(rs.Octets) > len(w.buf) {
		return false
	}
	to := w.buf[n : n+len(rs.Octets)]
	copy(to, rs.Octets)
	for _, at := range rs.Pointers {
		p := rs.Move(binary.BigEndian.Uint16(to[at:]), n-rs.Base)
		if p == 0 {
			return false
		}
		binary.BigEndian.PutUint16(to[at:], p)
	}
	w.n = n + len(rs.Octets)
	w.counts[section] += rs.Count
	w.counts[additionalSection] += rs.ExtraCount
	return true
}

// pasteAt copies packed records that have the question's name as owner, and no other name to compress, to the answer
// section, and makes them another name's.
func (w *reply) pasteAt(owner uint16, rs *zone.Records) bool {
	n := w.n
	if !w.paste(answerSection, rs) {
		return false
	}
	for n < w.n {
		binary.BigEndian.PutUint16(w.buf[n:], owner)
		n += ownedRecord + int(binary.BigEndian.Uint16(w.buf[n+ownedRecord-2:]))
	}
	return true
}

// ownedRecord is a record without its rdata, in octets, when its owner is a compression pointer.
const ownedRecord = 12

// pasteAddrs writes one A or AAAA record per address.
func (w *reply) pasteAddrs(owner uint16, ttl uint32, addrs []netip.Addr) bool {
	rrtype, rdata := dns.TypeA, 4
	if addrs[0].Is6() {
		rrtype, rdata = dns.TypeAAAA, 16
	}
	size := ownedRecord + rdata
	if w.n+len(addrs)*size > len(w.buf) {
		return false
	}
	for _, addr := range addrs {
		b := w.buf[w.n : w.n+size]
		binary.BigEndian.PutUint16(b, owner)
		binary.BigEndian.PutUint16(b[2:], rrtype)
		binary.BigEndian.PutUint16(b[4:], dns.ClassINET)
		binary.BigEndian.PutUint32(b[6:], ttl)
		binary.BigEndian.PutUint16(b[10:], uint16(rdata))
		if rdata == 4 {
			a := addr.As4()
			copy(b[ownedRecord:], a[:])
		} else {
			a := addr.As16()
			copy(b[ownedRecord:], a[:])
		}
		w.n += size
	}
	w.counts[answerSection] += uint16(len(addrs))
	return true
}
