package zone

import (
	"net/netip"
	"strings"

	"github.com/miekg/dns"
)

// Most entries of large zones are one line with an address: OWNER [TTL] [IN] A ADDRESS, in any order that RFC 1035
// section 5.1 allows. They are read here, without the parser's general machinery, and made in batches. What has
// anything else in it is left to the parser, faults included.

// Records are made this many at once: first a few, then twice as many each time.
const (
	firstBatch = 8
	lastBatch  = 512
)

// batches are records to be used.
type batches struct {
	size  int
	a     []dns.A
	aaaa  []dns.AAAA
	bytes []byte
}

// plain parses an entry that is as simple as that, and reports whether it was.
func (m *master) plain(f *frame, at place, text []byte) bool {
	var fields [5][]byte
	list := plainFields(text, fields[:0])
	if len(list) < 2 {
		return false
	}
	owner, list := f.plainOwner(text, list)
	if owner == "" {
		return false
	}
	ttl, rtype, list := m.plainType(list)
	if ttl == noTTL || len(list) != 1 {
		return false
	}
	addr, err := netip.ParseAddr(string(list[0]))
	if err != nil || addr.Zone() != "" || addr.Is4() != (rtype == dns.TypeA) {
		return false
	}
	f.owner = owner
	if !m.directive {
		m.ttl = ttl
	}
	hdr := dns.RR_Header{Name: owner, Rrtype: rtype, Class: dns.ClassINET, Ttl: ttl}
	m.records = append(m.records, record{m.spare.address(hdr, addr), at})
	return true
}

// plainFields splits an entry at blanks. It returns nil when there is any octet that may mean more than itself, or
// more fields than an address record has.
func plainFields(text []byte, fields [][]byte) [][]byte {
	start := -1
	for i, c := range text {
		switch {
		case c == ' ' || c == '\t' || c == '\n' && i == len(text)-1 || c == '\r' && i == len(text)-2:
			if start >= 0 {
				if len(fields) == cap(fields) {
					return nil
				}
				fields = append(fields, text[start:i])
				start = -1
			}
		case 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9',
			c == '-' || c == '_' || c == '.' || c == ':' || c == '*':
			if start < 0 {
				start = i
			}
		default:
			return nil
		}
	}
	return fields
}

// plainOwner reads the owner's field, if there is one. "" means that it is not for us.
func (f *frame) plainOwner(text []byte, list [][]byte) (string, [][]byte) {
	if ownerOmitted(text) {
		return f.owner, list
	}
	name := string(list[0])
	if !strings.HasSuffix(name, ".") {
		if f.origin == "." {
			name += "."
		} else {
			name += "." + f.origin
		}
	}
	label := 0
	for i := range len(name) - 1 {
		if name[i] != '.' {
			label++
			continue
		}
		if label == 0 || label > 63 {
			return "", nil
		}
		label = 0
	}
	if label == 0 || label > 63 || len(name) > maxNameOctets-1 {
		return "", nil
	}
	return name, list[1:]
}

// plainType reads TTL and class, in any order, and the type, and returns what follows. noTTL means that it is not for
// us.
func (m *master) plainType(list [][]byte) (ttl uint32, rtype uint16, rest [][]byte) {
	ttl = m.ttl
	haveTTL, haveClass := false, false
	for i, field := range list {
		switch {
		case string(field) == "A":
			return ttl, dns.TypeA, list[i+1:]
		case string(field) == "AAAA":
			return ttl, dns.TypeAAAA, list[i+1:]
		case string(field) == "IN" && !haveClass:
			haveClass = true
		case '0' <= field[0] && field[0] <= '9' && !haveTTL && len(field) < 10:
			haveTTL, ttl = true, 0
			for _, c := range field {
				if c < '0' || c > '9' {
					return noTTL, 0, nil
				}
				ttl = ttl*10 + uint32(c-'0')
			}
		default:
			return noTTL, 0, nil
		}
	}
	return noTTL, 0, nil
}

// address makes an address record.
func (b *batches) address(hdr dns.RR_Header, addr netip.Addr) dns.RR {
	if hdr.Rrtype == dns.TypeA {
		if len(b.a) == 0 {
			b.a = make([]dns.A, b.grow())
		}
		rr, octets := &b.a[0], addr.As4()
		rr.Hdr, rr.A, b.a = hdr, b.copy(octets[:]), b.a[1:]
		return rr
	}
	if len(b.aaaa) == 0 {
		b.aaaa = make([]dns.AAAA, b.grow())
	}
	rr, octets := &b.aaaa[0], addr.As16()
	rr.Hdr, rr.AAAA, b.aaaa = hdr, b.copy(octets[:]), b.aaaa[1:]
	return rr
}

func (b *batches) copy(octets []byte) []byte {
	n := len(octets)
	if len(b.bytes) < n {
		b.bytes = make([]byte, b.size*n)
	}
	own := b.bytes[:n:n]
	b.bytes = b.bytes[copy(own, octets):]
	return own
}

func (b *batches) grow() int {
	b.size = min(max(2*b.size, firstBatch), lastBatch)
	return b.size
}
