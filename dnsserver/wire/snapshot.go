package wire

import (
	"github.com/meridian-gtm/meridian/dnsserver/steer"
	"github.com/meridian-gtm/meridian/dnsserver/zone"
)

// Snapshot is everything that decides answers. It is immutable and replaced as a whole, so that no answer mixes two
// states.
type Snapshot struct {
	Zones *zone.Set
	Plan  *steer.Plan // knows every service that a name in Zones is steered by
}

// Transport is what a query came over. It decides how long an answer may be.
type Transport uint8

// The transports.
const (
	UDP Transport = iota // 512 octets, or what EDNS(0) and Options.UDPSize agree on
	TCP                  // 65535 octets, the two of the length prefix not counted
	DoT                  // TLS (RFC 7858), otherwise as TCP
)

// String returns "udp", "tcp" or "dot".
func (t Transport) String() string {
	switch t {
	case TCP:
		return "tcp"
	case DoT:
		return "dot"
	default:
		return "udp"
	}
}

// stream reports whether messages come on a connection.
func (t Transport) stream() bool { return t != UDP }

// Meta says what became of a query, for counters. It holds nothing that must be freed or copied.
type Meta struct {
	Qtype uint16 // 0 when no question could be read, or there is none
	Rcode uint16 // extended RCODE as sent; meaningless when the query met with silence

	Service string      // the service that decided the addresses; "" when none did
	Cause   steer.Cause // meaningful when Service is not ""
	// Sites are those answered, as in [steer.Answer], and SiteNames what [steer.Plan.Sites] has for the service.
	Sites     uint64
	SiteNames *steer.SiteNames

	Cookie CookieStatus

	EDNS      bool // the query carried EDNS(0)
	ECS       bool // the addresses were decided by a client subnet
	Truncated bool // TC was set
	Slow      bool // the compiled path left the query to the slow one
}
