package wire

import (
	"encoding/binary"

	"github.com/miekg/dns"
)

// optSize is an OPT record without options: root owner, type, class, TTL, RDLENGTH (RFC 6891 section 6.1.2).
const optSize = 11

// minUDPSize is the least that every requestor accepts; smaller values in an OPT mean this (RFC 6891 section 6.2.3).
const minUDPSize = 512

// optionSize is an option without its data: code and length.
const optionSize = 4

// flagsDO asks for DNSSEC records. It is echoed (RFC 3225 section 3).
const flagsDO = 1 << 15

// edns is the OPT record of a query.
type edns struct {
	present bool
	do      bool
	nsid    bool // the requestor wants our name (RFC 5001)
	version uint8
	size    uint16 // requestor's UDP payload size, octets
	subnet  subnet
	cookie  []byte // COOKIE option of the query; then that of the answer; nil = none
}

// read takes the class and TTL of an OPT record, and its options. It reports whether all is well formed.
func (e *edns) read(fixed, options []byte) bool {
	e.present = true
	e.size = max(binary.BigEndian.Uint16(fixed), minUDPSize)
	e.version = fixed[3]
	e.do = binary.BigEndian.Uint16(fixed[4:])&flagsDO != 0
	if e.version != 0 {
		return true // the layout of a later version is not ours to judge
	}
	for len(options) > 0 {
		if len(options) < optionSize {
			return false
		}
		code, n := binary.BigEndian.Uint16(options), int(binary.BigEndian.Uint16(options[2:]))
		options = options[optionSize:]
		if n > len(options) {
			return false
		}
		switch code {
		case dns.EDNS0NSID:
			e.nsid = true
		case dns.EDNS0SUBNET:
			if e.subnet.option == nil {
				e.subnet.option = options[:n:n]
			}
		case dns.EDNS0COOKIE: // the first counts (RFC 7873 section 5.2)
			if e.cookie == nil {
				e.cookie = options[:n:n]
			}
		}
		options = options[n:]
	}
	return true
}

// optLen returns the octets that the answer's OPT takes.
func (r *Responder) optLen() int {
	if !r.query.edns.present {
		return 0
	}
	n := optSize
	if r.query.edns.nsid && len(r.nsid) > 0 {
		n += optionSize + len(r.nsid)
	}
	if r.query.edns.subnet.valid {
		n += optionSize + len(r.query.edns.subnet.option)
	}
	if r.query.edns.cookie != nil {
		n += optionSize + cookieSize
	}
	return n
}

// appendOPT appends the answer's OPT record, for which the caller has left room.
func (r *Responder) appendOPT(b []byte, rcode uint16, scope uint8) []byte {
	e := &r.query.edns
	var flags uint16
	if e.do {
		flags = flagsDO
	}
	b = append(b, 0)
	b = binary.BigEndian.AppendUint16(b, dns.TypeOPT)
	b = binary.BigEndian.AppendUint16(b, r.udpSize)
	b = append(b, byte(rcode>>4), 0) // upper bits of the RCODE, version 0
	b = binary.BigEndian.AppendUint16(b, flags)
	b = binary.BigEndian.AppendUint16(b, uint16(r.optLen()-optSize))
	if e.nsid && len(r.nsid) > 0 {
		b = binary.BigEndian.AppendUint16(b, dns.EDNS0NSID)
		b = binary.BigEndian.AppendUint16(b, uint16(len(r.nsid)))
		b = append(b, r.nsid...)
	}
	if e.cookie != nil {
		b = binary.BigEndian.AppendUint16(b, dns.EDNS0COOKIE)
		b = binary.BigEndian.AppendUint16(b, cookieSize)
		b = append(b, e.cookie...)
	}
	if e.subnet.valid {
		b = e.subnet.appendTo(b, scope)
	}
	return b
}
