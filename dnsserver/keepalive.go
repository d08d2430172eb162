package dnsserver

import (
	"encoding/binary"
	"math"
	"slices"
	"time"

	"github.com/miekg/dns"
)

// keepaliveSize is the edns-tcp-keepalive option as servers send it: code, length, timeout (RFC 7828 section 3.1).
const keepaliveSize = 6

// keepaliveUnit is what the timeout counts.
const keepaliveUnit = 100 * time.Millisecond

// hasOption reports whether an option is among those of an OPT record.
func hasOption(options []byte, code uint16) bool {
	for len(options) >= 4 {
		if binary.BigEndian.Uint16(options) == code {
			return true
		}
		n := int(binary.BigEndian.Uint16(options[2:]))
		options = options[min(4+n, len(options)):]
	}
	return false
}

// appendKeepalive tells how long the connection may be idle, in the OPT record; without one at the very end the answer
// stays as it is.
func appendKeepalive(answer []byte, timeout time.Duration) []byte {
	answer, ok := extendOPT(answer, keepaliveSize)
	if !ok {
		return answer
	}
	answer = binary.BigEndian.AppendUint16(answer, dns.EDNS0TCPKEEPALIVE)
	answer = binary.BigEndian.AppendUint16(answer, 2)
	return binary.BigEndian.AppendUint16(answer, uint16(min(timeout/keepaliveUnit, math.MaxUint16)))
}

// extendOPT makes the OPT record at the very end of an answer longer by so many octets, which the caller appends. It
// reports false when there is none, or one that cannot be so long.
func extendOPT(answer []byte, octets int) ([]byte, bool) {
	options, end, ok := findOPT(answer)
	if !ok || end != len(answer) || len(options)+octets > math.MaxUint16 {
		return answer, false
	}
	binary.BigEndian.PutUint16(answer[end-len(options)-2:], uint16(len(options)+octets))
	return slices.Grow(answer, octets), true
}

// findOPT returns the options of a message's OPT record (RFC 6891 section 6.1.2) and where they end.
func findOPT(message []byte) (options []byte, end int, ok bool) {
	if len(message) < 12 || binary.BigEndian.Uint16(message[10:]) == 0 {
		return nil, 0, false
	}
	at := 12
	for range binary.BigEndian.Uint16(message[4:]) {
		if at, ok = skipName(message, at); !ok || at+4 > len(message) {
			return nil, 0, false
		}
		at += 4
	}
	records := int(binary.BigEndian.Uint16(message[6:])) + int(binary.BigEndian.Uint16(message[8:])) +
		int(binary.BigEndian.Uint16(message[10:]))
	for range records {
		owner := at
		if at, ok = skipName(message, at); !ok || at+10 > len(message) {
			return nil, 0, false
		}
		rrtype, size := binary.BigEndian.Uint16(message[at:]), int(binary.BigEndian.Uint16(message[at+8:]))
		at += 10
		if at+size > len(message) {
			return nil, 0, false
		}
		if rrtype == dns.TypeOPT && message[owner] == 0 {
			return message[at : at+size], at + size, true
		}
		at += size
	}
	return nil, 0, false
}

// skipName returns where a name ends: behind its root label or its pointer.
func skipName(message []byte, at int) (int, bool) {
	for at < len(message) {
		switch label := int(message[at]); {
		case label == 0:
			return at + 1, true
		case label >= 0xc0:
			return at + 2, true
		default:
			at += 1 + label
		}
	}
	return 0, false
}
