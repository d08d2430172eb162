// Package traveler is clients in other cities. [Ask] asks DNS servers as they would, and a [Ledger] counts every answer:
// a tour that claims that nobody was ever left without an address has to have counted. [Traveler] is a browser's way
// from a city to the shop: it resolves, connects to the address it was given, and says on every page how it came there.
package traveler

import (
	"context"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// A query that is not answered within patience is sent again, as resolvers do: UDP promises nothing.
const (
	patience = time.Second
	tries    = 3
)

// Reply is one answer.
type Reply struct {
	Rcode string // "NOERROR", ...
	Addrs []netip.Addr
	TTL   uint32 // seconds, of the first address; without one, for how long that may be kept (RFC 2308, section 5)
	Scope uint8  // ECS scope prefix-length
	Node  string // the name that the server gives itself (RFC 5001); "" = none
	Took  time.Duration
	Tries int // 1 = answered at once
}

// Ask asks server for the addresses of name as a client in the network from would, by way of EDNS Client Subnet
// (RFC 7871).
func Ask(ctx context.Context, server netip.AddrPort, name string, qtype uint16, from netip.Prefix) (Reply, error) {
	for try := 1; ; try++ {
		reply, err := askOnce(ctx, server, name, qtype, from)
		if err == nil {
			reply.Tries = try
			return reply, nil
		}
		if try == tries || ctx.Err() != nil {
			return Reply{}, fmt.Errorf("%s for %s at %s: %d tries: %w", name, from, server, try, err)
		}
	}
}

// askOnce sends one query and waits for its answer for as long as patience lasts.
func askOnce(ctx context.Context, server netip.AddrPort, name string, qtype uint16, from netip.Prefix) (Reply, error) {
	query := new(dns.Msg).SetQuestion(dns.Fqdn(name), qtype)
	query.SetEdns0(dns.DefaultMsgSize, false)
	subnet := &dns.EDNS0_SUBNET{
		Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: uint8(from.Bits()), Address: net.IP(from.Addr().AsSlice()),
	}
	if from.Addr().Is6() {
		subnet.Family = 2
	}
	query.IsEdns0().Option = append(query.IsEdns0().Option, subnet, &dns.EDNS0_NSID{Code: dns.EDNS0NSID})
	client := dns.Client{Net: "udp", Timeout: patience}
	answer, took, err := client.ExchangeContext(ctx, query, server.String())
	if err != nil {
		return Reply{}, err
	}
	return read(answer, took), nil
}

func read(answer *dns.Msg, took time.Duration) Reply {
	reply := Reply{Rcode: dns.RcodeToString[answer.Rcode], Took: took, Tries: 1}
	for _, rr := range answer.Answer {
		var ip net.IP
		switch rr := rr.(type) {
		case *dns.A:
			ip = rr.A
		case *dns.AAAA:
			ip = rr.AAAA
		default:
			continue
		}
		if addr, ok := netip.AddrFromSlice(ip); ok {
			if len(reply.Addrs) == 0 {
				reply.TTL = rr.Header().Ttl
			}
			reply.Addrs = append(reply.Addrs, addr.Unmap())
		}
	}
	for _, rr := range answer.Ns {
		if soa, ok := rr.(*dns.SOA); ok && len(reply.Addrs) == 0 {
			reply.TTL = min(soa.Hdr.Ttl, soa.Minttl)
		}
	}
	if opt := answer.IsEdns0(); opt != nil {
		for _, o := range opt.Option {
			switch o := o.(type) {
			case *dns.EDNS0_SUBNET:
				reply.Scope = o.SourceScope
			case *dns.EDNS0_NSID:
				name, err := hex.DecodeString(o.Nsid)
				if err == nil {
					reply.Node = string(name)
				}
			}
		}
	}
	return reply
}

// Ledger counts what became of queries. The zero value is ready; it is safe for concurrent use.
type Ledger struct {
	mu    sync.Mutex
	count Count
}

// Count is the sum of a ledger. Every query is in Asked and, unless it was answered with addresses, in one of
// the others that Bad adds up.
type Count struct {
	Asked      int `json:"asked"`
	Empty      int `json:"empty"`      // NOERROR without an address
	NXDomain   int `json:"nxdomain"`   //
	ServFail   int `json:"servfail"`   //
	OtherRcode int `json:"other"`      // any other response code
	Unanswered int `json:"unanswered"` // nothing came in three tries
	Repeated   int `json:"repeated"`   // answered, but not at the first try
}

// Bad is the number of queries that left a client without an address.
func (c Count) Bad() int { return c.Empty + c.NXDomain + c.ServFail + c.OtherRcode + c.Unanswered }

// String sums up for people.
func (c Count) String() string {
	return fmt.Sprintf("%d queries: %d empty, %d NXDOMAIN, %d SERVFAIL, %d other, %d unanswered (%d asked twice or thrice)",
		c.Asked, c.Empty, c.NXDomain, c.ServFail, c.OtherRcode, c.Unanswered, c.Repeated)
}

// Note enters one query.
func (l *Ledger) Note(r Reply, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count.Asked++
	if r.Tries > 1 {
		l.count.Repeated++
	}
	switch {
	case err != nil:
		l.count.Unanswered++
	case r.Rcode == "NXDOMAIN":
		l.count.NXDomain++
	case r.Rcode == "SERVFAIL":
		l.count.ServFail++
	case r.Rcode != "NOERROR":
		l.count.OtherRcode++
	case len(r.Addrs) == 0:
		l.count.Empty++
	}
}

// Count returns the sum so far.
func (l *Ledger) Count() Count {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.count
}
