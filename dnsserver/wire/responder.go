package wire

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/miekg/dns"

	"github.com/meridian-gtm/meridian/dnsserver/steer"
	"github.com/meridian-gtm/meridian/dnsserver/zone"
)

// DefaultUDPSize is the largest UDP answer that reaches nearly everybody unfragmented, in octets.
const DefaultUDPSize = 1232

// MaxSize is the length of the longest DNS message, in octets.
const MaxSize = 65535

// Options of a [Responder]. The zero value is ready for use.
type Options struct {
	// UDPSize limits UDP answers, in octets, and is what our OPT announces: 512..4096, default 1232.
	UDPSize int
	// NSID tells which server answered to those who ask (RFC 5001): at most 128 octets, "" = off.
	NSID string
	// Version is the answer to version.bind and version.server in class CHAOS, at most 255 octets; "" = REFUSED.
	Version string
	// Hostname is the answer to hostname.bind and id.server in class CHAOS (RFC 4892), at most 255 octets;
	// "" = REFUSED.
	Hostname string
	// NoECS makes the responder ignore client subnets, as a server that does not know the option
	// (RFC 7871 section 7.2.2).
	NoECS bool
}

func (o Options) validate() error {
	var errs []error
	if o.UDPSize != 0 && (o.UDPSize < minUDPSize || o.UDPSize > 4096) {
		errs = append(errs, fmt.Errorf("udp size: %d: want 512..4096", o.UDPSize))
	}
	if len(o.NSID) > 128 {
		errs = append(errs, fmt.Errorf("nsid: %d octets: want at most 128", len(o.NSID)))
	}
	if len(o.Version) > 255 {
		errs = append(errs, fmt.Errorf("version: %d octets: want at most 255", len(o.Version)))
	}
	if len(o.Hostname) > 255 {
		errs = append(errs, fmt.Errorf("hostname: %d octets: want at most 255", len(o.Hostname)))
	}
	return errors.Join(errs...)
}

// Responder answers queries. It owns scratch space, so it serves one goroutine at a time; [Responder.Clone] makes
// one for another.
type Responder struct {
	udpSize  uint16
	nsid     string
	version  string
	hostname string
	noECS    bool

	interpret bool // slow path only: the other half of differential tests

	query  query
	reply  reply
	cookie [cookieSize]byte // what the answer's COOKIE option holds
	addrs  []netip.Addr

	// Of the compiled path.
	match    zone.Match
	bound    *Snapshot // whose plan the bindings are about
	bindings []int32   // service of a zone -> service of the plan plus one, 0 = not looked up yet
}

// NewResponder reports every option that is out of range.
func NewResponder(o Options) (*Responder, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	if o.UDPSize == 0 {
		o.UDPSize = DefaultUDPSize
	}
	r := &Responder{
		udpSize: uint16(o.UDPSize), nsid: o.NSID, version: o.Version, hostname: o.Hostname, noECS: o.NoECS,
	}
	return r.Clone(), nil
}

// Clone returns a responder with the same options and scratch space of its own.
func (r *Responder) Clone() *Responder {
	return &Responder{
		udpSize: r.udpSize, nsid: r.nsid, version: r.version, hostname: r.hostname, noECS: r.noECS,
		reply: reply{names: make(map[string]int, 64)},
		addrs: make([]netip.Addr, 0, 64),
	}
}

// Respond answers the query req that client sent over tr. A nil answer means silence. The answer is written into
// out, whose capacity must be at least 512 and bounds it; its contents do not depend on what out held.
//
// client's address stands in for the client when there is no client subnet. turn rotates round-robin sets: any
// number that changes from query to query. A nil snap, one without zones, or one whose plan does not know a steered
// name's service gets SERVFAIL. With nil cookies the responder is a server that does not know them.
func (r *Responder) Respond(
	snap *Snapshot, cookies *Cookies, req []byte, client netip.AddrPort, tr Transport, turn uint32, out []byte,
) (answer []byte, m Meta) {
	// QR set: somebody's answer. Answering it could start a loop between two servers.
	if len(req) < headerSize || req[2]&(flagsQR>>8) != 0 {
		return nil, Meta{}
	}
	q := &r.query
	q.readHeader(req)
	if q.opcode() != dns.OpcodeQuery {
		// Other opcodes lay the message out differently: answer the header alone.
		r.reply.begin(out, nil, minUDPSize)
		return r.finish(&m, dns.RcodeNotImplemented, 0), m
	}
	ok := q.readBody(req)
	m.Qtype, m.EDNS = q.qtype, q.edns.present
	if r.noECS {
		q.edns.subnet.option = nil
	}
	if !r.takeCookie(cookies, client, &m) {
		ok = false
	}
	// The version decides before anything else in the OPT does (RFC 6891 section 6.1.3).
	if ok && q.edns.version == 0 && q.edns.subnet.option != nil {
		ok = q.edns.subnet.check()
	}
	r.reply.begin(out, q.question, r.limit(tr)-r.optLen())

	var rcode uint16
	var scope uint8
	switch {
	case !ok:
		rcode = dns.RcodeFormatError
	case q.edns.version != 0:
		rcode = dns.RcodeBadVers
	case q.question == nil:
		rcode = cookieOnly(m.Cookie)
	case cookies.refuses(m.Cookie, tr):
		rcode = dns.RcodeBadCookie
	default:
		rcode, scope = r.answer(snap, client, turn, &m)
	}
	if r.reply.overflow {
		r.reply.reset()
		rcode, scope = r.cut(tr, rcode, scope, &m)
	}
	return r.finish(&m, rcode, scope), m
}

// limit returns how long an answer over tr may be, in octets (RFC 6891 section 6.2.5).
func (r *Responder) limit(tr Transport) int {
	switch {
	case tr.stream():
		return MaxSize
	case r.query.edns.present:
		return int(min(r.query.edns.size, r.udpSize))
	default:
		return minUDPSize
	}
}

// cut replaces an answer that did not fit. Over TCP there is no longer way to ask, so it is a failure of ours.
func (r *Responder) cut(tr Transport, rcode uint16, scope uint8, m *Meta) (uint16, uint8) {
	if tr.stream() {
		r.reply.flags &^= flagsAA
		return dns.RcodeServerFailure, 0
	}
	r.reply.flags |= flagsTC
	m.Truncated = true
	return rcode, scope
}

// answer fills the reply's sections, by the compiled path or else by the slow one.
func (r *Responder) answer(snap *Snapshot, client netip.AddrPort, turn uint32, m *Meta) (rcode uint16, scope uint8) {
	if !r.interpret {
		rcode, scope, ok := r.compiled(snap, client, turn, m)
		if ok {
			return rcode, scope
		}
		r.reply.reset()
		r.reply.flags = 0
	}
	m.Slow = true
	return r.resolve(snap, client.Addr().Unmap().WithZone(""), turn, m)
}

// resolve fills the reply's sections from the zones' records, one by one: the slow path.
func (r *Responder) resolve(snap *Snapshot, client netip.Addr, turn uint32, m *Meta) (rcode uint16, scope uint8) {
	q := &r.query
	if rcode, special := metaType(q.qtype); special {
		return rcode, 0
	}
	switch q.qclass {
	case dns.ClassINET:
	case dns.ClassCHAOS:
		return r.chaos(), 0
	default:
		return dns.RcodeRefused, 0
	}
	if snap == nil || snap.Zones == nil {
		return dns.RcodeServerFailure, 0
	}
	qname, err := canonical(q.name())
	if err != nil {
		return dns.RcodeFormatError, 0
	}
	z := snap.Zones.Find(qname, q.qtype)
	if z == nil {
		return dns.RcodeRefused, 0
	}
	r.reply.name = qname
	if q.qtype == dns.TypeANY {
		return r.any(z.Lookup(qname, dns.TypeCNAME)), 0
	}
	res := z.Lookup(qname, q.qtype)
	if res.Kind == zone.Steered {
		return r.steered(snap.Plan, &res, client, turn, m)
	}
	return r.static(&res), 0
}

// static writes what the zone found.
func (r *Responder) static(res *zone.Result) (rcode uint16) {
	// AA speaks of the first owner name in the answer (RFC 1035 section 4.1.1): a referral behind a CNAME of
	// ours is still authoritative.
	if res.Kind != zone.Delegation || len(res.Answer) > 0 {
		r.reply.flags |= flagsAA
	}
	r.reply.add(answerSection, res.Answer)
	r.reply.add(authoritySection, res.Authority)
	r.reply.addAdditional(res.Additional, res.Glue)
	switch res.Kind {
	case zone.NXDomain: // also at the end of a chain (RFC 6604 section 3)
		return dns.RcodeNameError
	case zone.YXDomain:
		return dns.RcodeYXDomain
	default:
		return dns.RcodeSuccess
	}
}

// steered writes the chain that led to a steered name and the addresses that its service gives this client.
func (r *Responder) steered(
	plan *steer.Plan, res *zone.Result, client netip.Addr, turn uint32, m *Meta,
) (rcode uint16, scope uint8) {
	if plan == nil {
		return dns.RcodeServerFailure, 0
	}
	service, ok := plan.Service(res.Service)
	if !ok {
		return dns.RcodeServerFailure, 0
	}
	who, mapped := steer.Client{Addr: client}, false
	if !plan.IgnoresECS(service) {
		who, mapped = r.client(client)
	}
	a := plan.Answer(service, r.query.qtype, who, turn, r.addrs[:0])
	m.Service, m.Cause, m.ECS = res.Service, a.Cause, who.ECS
	m.Sites, m.SiteNames = a.Sites, plan.Sites(service)

	r.reply.flags |= flagsAA
	r.reply.add(answerSection, res.Answer)
	if len(a.Addrs) == 0 {
		// Resolvers may keep any negative answer for everybody (RFC 7871 section 7.4).
		r.reply.addRR(authoritySection, res.NegativeSOA)
		return dns.RcodeSuccess, 0
	}
	r.reply.addAddrs(res.Owner, a.TTL, a.Addrs)
	r.reply.add(authoritySection, res.Authority)
	r.reply.addAdditional(res.Additional, 0)
	return dns.RcodeSuccess, r.scope(&a, who.ECS, mapped)
}

// scope returns the scope of an answer that has addresses, decided by a client subnet or not.
func (r *Responder) scope(a *steer.Answer, ecs, mapped bool) uint8 {
	switch {
	case !ecs || a.Scope == 0:
		return 0
	case mapped:
		return a.Scope + 96
	default:
		return a.Scope
	}
}

// client decides who asks: the client subnet when there is one with an address, else the sender. mapped says that
// the subnet is a 4-in-6 one, whose scope counts from bit 96.
func (r *Responder) client(sender netip.Addr) (c steer.Client, mapped bool) {
	s := &r.query.edns.subnet
	if !s.valid || s.source == 0 {
		return steer.Client{Addr: sender}, false
	}
	return steer.Client{Addr: s.addr.Unmap(), ECS: true}, s.addr.Is4In6()
}

// finish writes OPT and header.
func (r *Responder) finish(m *Meta, rcode uint16, scope uint8) []byte {
	m.Rcode = rcode
	q, w := &r.query, &r.reply
	b := w.out[:w.n]
	if w.wide {
		copy(b, w.buf)
	}
	if q.edns.present {
		b = r.appendOPT(b, rcode, scope)
		w.counts[additionalSection]++
	}
	w.header(b, q.id, q.flags&(opcodeMask|flagsRD)|flagsQR|w.flags|rcode&0xf)
	return b
}

// ServFail returns a SERVFAIL to req, written into out as [Responder.Respond] does: the answer of last resort for a
// caller whose Respond panicked. A nil answer means silence.
func (r *Responder) ServFail(req, out []byte) []byte {
	if len(req) < headerSize || req[2]&(flagsQR>>8) != 0 {
		return nil
	}
	r.query.readHeader(req)
	r.query.readQuestion(req)
	r.reply.begin(out, r.query.question, minUDPSize)
	return r.finish(&Meta{}, dns.RcodeServerFailure, 0)
}
