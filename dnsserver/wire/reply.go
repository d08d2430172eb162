package wire

import (
	"encoding/binary"
	"net/netip"

	"github.com/miekg/dns"
)

// The sections behind the question, in the order of the header's counts.
const (
	answerSection = iota
	authoritySection
	additionalSection
)

// nameAtQuestion is a compression pointer to the question's name, which is at octet 12 of every answer.
const nameAtQuestion = 0xc000 | headerSize

// maxPointer is the largest offset that a compression pointer reaches (RFC 1035 section 4.1.4).
const maxPointer = 0x3fff

// reply is the answer under construction. Nothing is added once something did not fit.
type reply struct {
	out      []byte // the caller's buffer
	buf      []byte // header and sections, in out or wide; its length is the limit less the OPT
	wide     bool   // see widen
	n        int    // octets written
	question int    // end of the question
	counts   [3]uint16
	qcount   uint16
	flags    uint16
	overflow bool

	name  string         // the question's name, canonical
	names map[string]int // where names are, for compression; filled on first use
	rr    headerless
}

// headerless is a resource record whose header may be written to. dns.PackRR notes the RDATA's length in the header
// of what it packs, and the zone's records are shared between goroutines.
type headerless struct {
	dns.RR
	hdr dns.RR_Header
}

// Header returns the copy of the header.
func (h *headerless) Header() *dns.RR_Header { return &h.hdr }

// begin starts an answer of at most limit octets in out.
func (w *reply) begin(out, question []byte, limit int) {
	if len(w.names) > 0 {
		clear(w.names)
	}
	w.out, w.wide = out, false
	w.buf = out[:min(limit, cap(out))]
	w.n = headerSize + copy(w.buf[headerSize:], question)
	w.question = w.n
	w.counts = [3]uint16{}
	w.qcount = uint16(min(len(question), 1))
	w.flags = 0
	w.overflow = false
	w.name = ""
}

// reset drops all sections but the question.
func (w *reply) reset() {
	w.n = w.question
	w.counts = [3]uint16{}
	w.overflow = false
}

// header writes the first 12 octets.
func (w *reply) header(b []byte, id, flags uint16) {
	binary.BigEndian.PutUint16(b[0:], id)
	binary.BigEndian.PutUint16(b[2:], flags)
	binary.BigEndian.PutUint16(b[4:], w.qcount)
	binary.BigEndian.PutUint16(b[6:], w.counts[answerSection])
	binary.BigEndian.PutUint16(b[8:], w.counts[authoritySection])
	binary.BigEndian.PutUint16(b[10:], w.counts[additionalSection])
}

// add appends records to a section.
func (w *reply) add(section int, rrs []dns.RR) {
	for _, rr := range rrs {
		w.addRR(section, rr)
	}
}

// addRR appends one record to a section.
func (w *reply) addRR(section int, rr dns.RR) {
	if w.overflow {
		return
	}
	w.seed()
	w.widen()
	w.rr = headerless{RR: rr, hdr: *rr.Header()}
	n, err := dns.PackRR(&w.rr, w.buf[:cap(w.buf)], w.n, w.names, true)
	if err != nil || n > len(w.buf) {
		w.overflow = true // a zone's records are known to pack: it is the room that is missing
		return
	}
	w.n = n
	w.counts[section]++
}

// spare is what the packer wants behind the octets that it will write: room for a label where a pointer will be.
const spare = 64

// widen moves the answer to where it has spare capacity.
func (w *reply) widen() {
	if cap(w.buf)-len(w.buf) < spare {
		w.buf = append(make([]byte, 0, len(w.buf)+spare), w.buf...)
		w.wide = true
	}
}

// addAdditional appends whole record sets while they fit. Leaving some out is no truncation (RFC 2181 section 9),
// unless they are among the first required records: a referral's glue (RFC 9471 section 3.1).
func (w *reply) addAdditional(rrs []dns.RR, required int) {
	for len(rrs) > 0 && !w.overflow {
		set := 1
		for set < len(rrs) && sameSet(rrs[0].Header(), rrs[set].Header()) {
			set++
		}
		n, count := w.n, w.counts[additionalSection]
		w.add(additionalSection, rrs[:set])
		if w.overflow && required <= 0 {
			// Names noted behind n are gone: nothing may be added after this.
			w.n, w.counts[additionalSection], w.overflow = n, count, false
			return
		}
		rrs, required = rrs[set:], required-set
	}
}

func sameSet(a, b *dns.RR_Header) bool { return a.Rrtype == b.Rrtype && a.Name == b.Name }

// addAddrs appends one A or AAAA record per address to the answer section. The question's own name is written as a
// pointer, so it comes back in the case that was asked.
func (w *reply) addAddrs(owner string, ttl uint32, addrs []netip.Addr) {
	pointer := uint16(nameAtQuestion)
	for i, addr := range addrs {
		if w.overflow {
			return
		}
		n := w.n
		switch {
		case owner == w.name || i > 0 && pointer != nameAtQuestion:
			if n+2 > len(w.buf) {
				w.overflow = true
				return
			}
			binary.BigEndian.PutUint16(w.buf[n:], pointer)
			n += 2
		default:
			w.seed()
			w.widen()
			end, err := dns.PackDomainName(owner, w.buf[:cap(w.buf)], n, w.names, true)
			if err != nil || end > len(w.buf) {
				w.overflow = true
				return
			}
			if n <= maxPointer {
				pointer = 0xc000 | uint16(n)
			}
			n = end
		}
		rdata, rrtype := 4, dns.TypeA
		if addr.Is6() {
			rdata, rrtype = 16, dns.TypeAAAA
		}
		if n+10+rdata > len(w.buf) {
			w.overflow = true
			return
		}
		b := w.buf[n:]
		binary.BigEndian.PutUint16(b, rrtype)
		binary.BigEndian.PutUint16(b[2:], dns.ClassINET)
		binary.BigEndian.PutUint32(b[4:], ttl)
		binary.BigEndian.PutUint16(b[8:], uint16(rdata))
		if addr.Is6() {
			a := addr.As16()
			copy(b[10:], a[:])
		} else {
			a := addr.As4()
			copy(b[10:], a[:])
		}
		w.n = n + 10 + rdata
		w.counts[answerSection]++
	}
}

// addRaw appends a record that is owned by the question's name to the answer section.
func (w *reply) addRaw(rrtype, class uint16, ttl uint32, rdata ...string) {
	size := 0
	for _, s := range rdata {
		size += 1 + len(s)
	}
	if w.overflow || w.n+12+size > len(w.buf) {
		w.overflow = true
		return
	}
	b := w.buf[:w.n]
	b = binary.BigEndian.AppendUint16(b, nameAtQuestion)
	b = binary.BigEndian.AppendUint16(b, rrtype)
	b = binary.BigEndian.AppendUint16(b, class)
	b = binary.BigEndian.AppendUint32(b, ttl)
	b = binary.BigEndian.AppendUint16(b, uint16(size))
	for _, s := range rdata {
		b = append(b, byte(len(s)))
		b = append(b, s...)
	}
	w.n = len(b)
	w.counts[answerSection]++
}

// seed notes where the question's name and its parents are. Zones hold names in lower case, so answers that end like
// the question get its case.
func (w *reply) seed() {
	if len(w.names) > 0 || w.name == "" || w.name == "." {
		return
	}
	at := headerSize
	for name := w.name; ; {
		w.names[name] = at
		next, end := dns.NextLabel(name, 0)
		if end {
			return
		}
		at += 1 + int(w.buf[at])
		name = name[next:]
	}
}
