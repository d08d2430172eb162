package wire

import (
	"encoding/binary"
	"net/netip"

	"github.com/miekg/dns"
)

// Lengths of a COOKIE option and its parts, in octets (RFC 7873 section 4). Ours hold a server cookie of RFC 9018.
const (
	clientCookieSize = 8
	minCookieSize    = clientCookieSize + 8 // with a server cookie
	maxCookieSize    = clientCookieSize + 32
	cookieSize       = clientCookieSize + 16
)

// cookieVersion is the first octet of a server cookie (RFC 9018 section 4.1).
const cookieVersion = 1

// The life of a server cookie, in seconds since it was made (RFC 9018 section 4.3).
const (
	CookieLife    = 60 * 60 // the last at which it is accepted
	CookieRefresh = 30 * 60 // the last at which it is sent back as it is
	CookieAhead   = 5 * 60  // how far the clock of the server that made it may be ahead
)

// CookieSecret is a key that server cookies are made with.
type CookieSecret [16]byte

// Cookies is what server cookies are made and checked with (RFC 7873, RFC 9018). It is immutable: who wants the time to
// go on makes another.
type Cookies struct {
	// Now is the Unix time in seconds, modulo 2^32.
	Now uint32
	// Secrets check server cookies; the first makes them. There is at least one.
	Secrets []CookieSecret
	// Require answers a UDP query that has a cookie, but not a valid server cookie, with BADCOOKIE and a valid one
	// instead of what it asks for (RFC 7873 section 5.2.3). Queries without a cookie are answered all the same.
	Require bool
}

// CookieStatus says what became of a query's cookie.
type CookieStatus uint8

// The statuses.
const (
	CookieNone    CookieStatus = iota // there is none, or a malformed one, or cookies are off
	CookieClient                      // a client cookie alone
	CookieInvalid                     // with a server cookie that is not ours, or not of this client, or too old
	CookieValid                       // with ours: the client did get an answer at its address
)

// cookieWellFormed reports whether a COOKIE option has one of the lengths of RFC 7873 section 5.2.2.
func cookieWellFormed(option []byte) bool {
	n := len(option)
	return n == clientCookieSize || minCookieSize <= n && n <= maxCookieSize
}

// reply writes the option that answers a well-formed one: the client's cookie and a server cookie for it, which is the
// one that came if it is valid and young.
func (c *Cookies) reply(out *[cookieSize]byte, option []byte, client netip.Addr) CookieStatus {
	status := CookieClient
	if len(option) > clientCookieSize {
		secret, age := c.check(option, client)
		switch {
		case secret < 0:
			status = CookieInvalid
		case secret == 0 && age <= CookieRefresh:
			copy(out[:], option)
			return CookieValid
		default:
			status = CookieValid
		}
	}
	copy(out[:], option[:clientCookieSize])
	binary.BigEndian.PutUint32(out[clientCookieSize:], cookieVersion<<24) // three octets are reserved
	binary.BigEndian.PutUint32(out[clientCookieSize+4:], c.Now)
	binary.LittleEndian.PutUint64(out[clientCookieSize+8:], c.Secrets[0].hash(out[:clientCookieSize+8], client))
	return status
}

// check returns which secret a server cookie was made with, and its age in seconds; -1 when it is not valid. The
// reserved octets may be anything (RFC 9018 section 4.2).
func (c *Cookies) check(option []byte, client netip.Addr) (secret int, age int32) {
	if len(option) != cookieSize || option[clientCookieSize] != cookieVersion {
		return -1, 0
	}
	// Serial number arithmetic: the clock runs over in 2106 (RFC 9018 section 4.3).
	age = int32(c.Now - binary.BigEndian.Uint32(option[clientCookieSize+4:]))
	if age > CookieLife || age < -CookieAhead {
		return -1, 0
	}
	hash := binary.LittleEndian.Uint64(option[clientCookieSize+8:])
	for i := range c.Secrets {
		if c.Secrets[i].hash(option[:clientCookieSize+8], client) == hash {
			return i, age
		}
	}
	return -1, 0
}

// hash returns the last part of a server cookie, from those before it and the client's address (RFC 9018 section 4.4).
func (s *CookieSecret) hash(before []byte, client netip.Addr) uint64 {
	var in [clientCookieSize + 8 + 16]byte
	n := copy(in[:], before)
	if client.Is4() {
		a := client.As4()
		n += copy(in[n:], a[:])
	} else {
		a := client.As16()
		n += copy(in[n:], a[:])
	}
	return sipHash(binary.LittleEndian.Uint64(s[:]), binary.LittleEndian.Uint64(s[8:]), in[:n])
}

// takeCookie reads the query's COOKIE option, if any, and prepares the answer's. It reports whether the option is well
// formed.
func (r *Responder) takeCookie(cookies *Cookies, client netip.AddrPort, m *Meta) bool {
	option := r.query.edns.cookie
	r.query.edns.cookie = nil
	if cookies == nil || option == nil {
		return true
	}
	if !cookieWellFormed(option) {
		return false
	}
	m.Cookie = cookies.reply(&r.cookie, option, client.Addr().Unmap())
	r.query.edns.cookie = r.cookie[:]
	return true
}

// cookieOnly returns the answer to a query without a question, which asks for a server cookie (RFC 7873 section 5.4).
func cookieOnly(status CookieStatus) (rcode uint16) {
	switch status {
	case CookieNone:
		return dns.RcodeFormatError
	case CookieInvalid:
		return dns.RcodeBadCookie
	default:
		return dns.RcodeSuccess
	}
}

// refuses reports whether a query is answered with BADCOOKIE for its cookie's sake. Over other transports than UDP the
// client has shown its address.
func (c *Cookies) refuses(status CookieStatus, tr Transport) bool {
	return c != nil && c.Require && tr == UDP && (status == CookieClient || status == CookieInvalid)
}
