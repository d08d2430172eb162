package wire

import (
	"encoding/binary"

	"github.com/miekg/dns"

	"github.com/meridian-gtm/meridian/dnsserver/zone"
)

// Sizes and header bits of RFC 1035 section 4.1.1.
const (
	headerSize = 12
	maxName    = 255

	flagsQR = 1 << 15
	flagsAA = 1 << 10
	flagsTC = 1 << 9
	flagsRD = 1 << 8

	opcodeMask = 0xf << 11
)

// query is one request, read in place: slices point into the request.
type query struct {
	id    uint16
	flags uint16

	question []byte // owner, type and class as received; nil when unreadable, and when there is none
	qname    zone.WireName
	qtype    uint16
	qclass   uint16

	edns edns
}

// readHeader reads the first 12 octets, which the caller has checked to be there.
func (q *query) readHeader(req []byte) {
	q.id, q.flags = binary.BigEndian.Uint16(req), binary.BigEndian.Uint16(req[2:])
	q.question, q.qtype, q.qclass = nil, 0, 0
	if q.edns.present { // of the last query
		q.edns = edns{}
	}
}

func (q *query) opcode() int { return int(q.flags&opcodeMask) >> 11 }

// readBody reads everything behind the header and reports whether it is well formed. What was read before a fault
// stays, so that the answer can carry question and OPT.
func (q *query) readBody(req []byte) bool {
	// A QUERY has exactly one question (RFC 9619 section 4), or none when it asks for a server cookie.
	if n := binary.BigEndian.Uint16(req[4:]); n > 1 || n == 1 && !q.readQuestion(req) {
		return false
	}
	off := headerSize + len(q.question)
	// Records before the additional section mean nothing in a QUERY; they only have to be records.
	early := int(binary.BigEndian.Uint16(req[6:])) + int(binary.BigEndian.Uint16(req[8:]))
	total := early + int(binary.BigEndian.Uint16(req[10:]))
	ok := true
	for i := range total {
		name := off
		if off = skipName(req, off); off < 0 || len(req)-off < 10 {
			return false
		}
		rrtype, fixed := binary.BigEndian.Uint16(req[off:]), off
		end := off + 10 + int(binary.BigEndian.Uint16(req[off+8:]))
		if end > len(req) {
			return false
		}
		if rrtype == dns.TypeOPT {
			// One OPT, owned by the root, in the additional section (RFC 6891 section 6.1.1).
			switch {
			case q.edns.present, i < early, req[name] != 0:
				ok = false
			default:
				ok = q.edns.read(req[fixed+2:fixed+8], req[fixed+10:end]) && ok
			}
		}
		off = end
	}
	return ok && off == len(req)
}

// readQuestion reads the question. Its name cannot be compressed: there is nothing before it to point to.
func (q *query) readQuestion(req []byte) bool {
	off, ok := q.qname.Read(req, headerSize)
	if !ok {
		return false
	}
	if len(req)-off < 4 {
		return false
	}
	q.question = req[headerSize : off+4]
	q.qtype = binary.BigEndian.Uint16(req[off:])
	q.qclass = binary.BigEndian.Uint16(req[off+2:])
	return true
}

// name returns the question's name as received, uncompressed.
func (q *query) name() []byte { return q.question[:len(q.question)-4] }

// skipName returns the offset behind the name at off, or -1. A compression pointer ends a name; where it points
// does not matter, since the names of a query's records are never used.
func skipName(msg []byte, off int) int {
	for off < len(msg) {
		switch n := int(msg[off]); {
		case n == 0:
			return off + 1
		case n >= 0xc0:
			return off + 2
		case n > 63:
			return -1
		default:
			off += 1 + n
		}
	}
	return -1
}

// canonical returns a name in the form the zones use: lower case, fully qualified, presentation format.
func canonical(name []byte) (string, error) {
	var lower [maxName]byte
	// Length octets are below 'A', so the whole name can be folded without looking at the labels.
	for i, c := range name {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		lower[i] = c
	}
	s, _, err := dns.UnpackDomainName(lower[:len(name)], 0)
	return s, err
}
