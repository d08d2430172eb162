package wire

import (
	"encoding/binary"
	"net/netip"

	"github.com/miekg/dns"
)

// Address families of RFC 7871 section 6, which are those of the IANA registry.
const (
	familyNone = 0 // sent with source 0 by clients that name no family
	familyV4   = 1
	familyV6   = 2
)

// subnet is the client subnet option of a query (RFC 7871 section 6).
type subnet struct {
	option []byte // FAMILY, SOURCE, SCOPE, ADDRESS as received; nil = none
	valid  bool   // option has been checked and is honoured
	source uint8  // prefix length, bits; 0 = the client does not want to be located (section 7.1.2)
	addr   netip.Addr
}

// check reads the option and reports whether it is well formed: a known family, a source within it, scope 0, as
// many address octets as the source needs, and no bit set beyond it (RFC 7871 section 6).
func (s *subnet) check() bool {
	o := s.option
	if len(o) < 4 || o[3] != 0 {
		return false
	}
	family, source, address := binary.BigEndian.Uint16(o), o[2], o[4:]
	if len(address) != (int(source)+7)/8 {
		return false
	}
	switch family {
	case familyNone:
		if source != 0 {
			return false
		}
	case familyV4:
		if source > 32 {
			return false
		}
		var a [4]byte
		copy(a[:], address)
		s.addr = netip.AddrFrom4(a)
	case familyV6:
		if source > 128 {
			return false
		}
		var a [16]byte
		copy(a[:], address)
		s.addr = netip.AddrFrom16(a)
	default:
		return false
	}
	if spare := uint(len(address)*8) - uint(source); spare > 0 && address[len(address)-1]&(1<<spare-1) != 0 {
		return false
	}
	s.valid, s.source = true, source
	return true
}

// Subnet returns the client subnet of the last query when it was honoured, else the zero Prefix.
func (r *Responder) Subnet() netip.Prefix {
	s := &r.query.edns.subnet
	if !s.valid || !s.addr.IsValid() {
		return netip.Prefix{}
	}
	if s.addr.Is4In6() && s.source >= 96 {
		return netip.PrefixFrom(s.addr.Unmap(), int(s.source)-96)
	}
	return netip.PrefixFrom(s.addr, int(s.source))
}

// appendTo appends the option with family, source and address as received and the scope filled in (RFC 7871
// section 7.2.1).
func (s *subnet) appendTo(b []byte, scope uint8) []byte {
	b = binary.BigEndian.AppendUint16(b, dns.EDNS0SUBNET)
	b = binary.BigEndian.AppendUint16(b, uint16(len(s.option)))
	b = append(b, s.option[:3]...)
	b = append(b, scope)
	return append(b, s.option[4:]...)
}
