package wire

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/miekg/dns"
)

// rawECS is an option with any contents, which the library would refuse to pack.
func withRawECS(data ...byte) change {
	return withOPT(1232, &dns.EDNS0_LOCAL{Code: dns.EDNS0SUBNET, Data: data})
}

func TestECSScope(t *testing.T) {
	r, snap, out := newResponder(t, Options{}), newSnapshot(t), make([]byte, 1232)
	for _, tt := range []struct {
		name     string
		question string
		c        change
		lines    []string
	}{
		{"in the office: its network (RFC 7871 section 7.2.1)", "www.shop.example. A", withECS("198.51.100.0/24"), []string{
			"NOERROR aa rd", "an www.shop.example. 30 A " + euV4, "ar OPT 1232 ecs 198.51.100.0/24/24"}},
		{"more specific than the decision", "www.shop.example. A", withECS("198.51.100.77/32"), []string{
			"NOERROR aa rd", "an www.shop.example. 30 A " + euV4, "ar OPT 1232 ecs 198.51.100.77/32/24"}},
		{"outside: the widest prefix without the office", "www.shop.example. A", withECS("192.0.2.0/24"), []string{
			"NOERROR aa rd", "an www.shop.example. 30 A " + usV4, "ar OPT 1232 ecs 192.0.2.0/24/6"}},
		{"less specific than the decision: the longer scope says so", "www.shop.example. A", withECS("198.51.0.0/16"), []string{
			"NOERROR aa rd", "an www.shop.example. 30 A " + usV4, "ar OPT 1232 ecs 198.51.0.0/16/18"}},
		{"IPv6 subnet, A question", "www.shop.example. A", withECS("2001:db8:7:100::/56"), []string{
			"NOERROR aa rd", "an www.shop.example. 30 A " + euV4, "ar OPT 1232 ecs 2001:db8:7:100::/56/48"}},
		{"IPv4 subnet, AAAA question", "www.shop.example. AAAA", withECS("198.51.100.0/24"), []string{
			"NOERROR aa rd", "an www.shop.example. 30 AAAA " + euV6, "ar OPT 1232 ecs 198.51.100.0/24/24"}},
		{"4-in-6 subnet: the scope counts from bit 96", "www.shop.example. A", withECS("::ffff:198.51.100.0/120"), []string{
			"NOERROR aa rd", "an www.shop.example. 30 A " + euV4, "ar OPT 1232 ecs 198.51.100.0/120/120"}},
		{"same answer for everybody", "v4.shop.example. A", withECS("198.51.100.0/24"), []string{
			"NOERROR aa rd", "an v4.shop.example. 30 A 203.0.113.4", "ar OPT 1232 ecs 198.51.100.0/24/0"}},
		{"source 0: by the resolver, for everybody (RFC 7871 section 7.1.2)", "www.shop.example. A", withECS("0.0.0.0/0"), []string{
			"NOERROR aa rd", "an www.shop.example. 30 A " + usV4, "ar OPT 1232 ecs 0.0.0.0/0/0"}},
		{"source 0 without a family", "www.shop.example. A", withRawECS(0, 0, 0, 0), []string{
			"NOERROR aa rd", "an www.shop.example. 30 A " + usV4, "ar OPT 1232 ecs 0.0.0.0/0/0"}},
		{"service that ignores subnets", "private.shop.example. A", withECS("198.51.100.0/24"), []string{
			"NOERROR aa rd", "an private.shop.example. 30 A " + usV4, "ar OPT 1232 ecs 198.51.100.0/24/0"}},
		{"static name", "a.ent.shop.example. A", withECS("198.51.100.0/24"), []string{
			"NOERROR aa rd", "an a.ent.shop.example. 300 A 192.0.2.9", "ar OPT 1232 ecs 198.51.100.0/24/0"}},
		{"NODATA of a service (RFC 7871 section 7.4)", "v4.shop.example. AAAA", withECS("198.51.100.0/24"), []string{
			"NOERROR aa rd", soa, "ar OPT 1232 ecs 198.51.100.0/24/0"}},
		{"NXDOMAIN (RFC 7871 section 7.4)", "gone.shop.example. A", withECS("198.51.100.0/24"), []string{
			"NXDOMAIN aa rd", soa, "ar OPT 1232 ecs 198.51.100.0/24/0"}},
		{"REFUSED", "elsewhere.example. A", withECS("198.51.100.0/24"), []string{
			"REFUSED rd", "ar OPT 1232 ecs 198.51.100.0/24/0"}},
		{"not asked for: not in the answer (RFC 7871 section 7.2.2)", "www.shop.example. A", withOPT(1232), []string{
			"NOERROR aa rd", "an www.shop.example. 30 A " + usV4, "ar OPT 1232"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			answer, _ := r.Respond(snap, nil, newQuery(t, tt.question, tt.c), resolver, UDP, 0, out)
			want(t, unpack(t, answer), tt.lines...)
		})
	}
}

// The first of several options counts; the others are not even looked at.
func TestECSTwice(t *testing.T) {
	r, snap, out := newResponder(t, Options{}), newSnapshot(t), make([]byte, 1232)
	first := &dns.EDNS0_LOCAL{Code: dns.EDNS0SUBNET, Data: []byte{0, 1, 24, 0, 198, 51, 100}}
	second := &dns.EDNS0_LOCAL{Code: dns.EDNS0SUBNET, Data: []byte{9}}
	answer, _ := r.Respond(snap, nil, newQuery(t, "www.shop.example. A", withOPT(1232, first, second)), resolver, UDP, 0, out)
	want(t, unpack(t, answer), "NOERROR aa rd", "an www.shop.example. 30 A "+euV4,
		"ar OPT 1232 ecs 198.51.100.0/24/24")
}

func TestECSMalformed(t *testing.T) {
	r, snap, out := newResponder(t, Options{}), newSnapshot(t), make([]byte, 1232)
	off := newResponder(t, Options{NoECS: true})
	for name, data := range map[string][]byte{
		"empty":                  {},
		"three octets":           {0, 1, 24},
		"family 3":               {0, 3, 0, 0},
		"family 0 with a source": {0, 0, 8, 0, 10},
		"IPv4 source 33":         {0, 1, 33, 0, 192, 0, 2, 0, 0},
		"IPv6 source 129":        append([]byte{0, 2, 129, 0}, make([]byte, 17)...),
		"scope in a query":       {0, 1, 24, 24, 192, 0, 2},
		"too few octets":         {0, 1, 24, 0, 192, 0},
		"too many octets":        {0, 1, 24, 0, 192, 0, 2, 0},
		"octets for source 0":    {0, 1, 0, 0, 0},
		"bit beyond the source":  {0, 1, 23, 0, 192, 0, 3},
	} {
		t.Run(name, func(t *testing.T) {
			req := newQuery(t, "www.shop.example. A", withRawECS(data...))
			answer, meta := r.Respond(snap, nil, req, resolver, UDP, 0, out)
			want(t, unpack(t, answer), "FORMERR rd", "ar OPT 1232") // RFC 7871 section 6
			if meta.ECS {
				t.Errorf("meta is %+v", meta)
			}
			answer, _ = off.Respond(snap, nil, req, resolver, UDP, 0, out)
			want(t, unpack(t, answer), "NOERROR aa rd", "an www.shop.example. 30 A "+usV4, "ar OPT 1232")
		})
	}
}

func TestECSOff(t *testing.T) {
	r, snap, out := newResponder(t, Options{NoECS: true}), newSnapshot(t), make([]byte, 1232)
	answer, meta := r.Respond(snap, nil, newQuery(t, "www.shop.example. A", withECS(officeV4)), resolver, UDP, 0, out)
	want(t, unpack(t, answer), "NOERROR aa rd", "an www.shop.example. 30 A "+usV4, "ar OPT 1232")
	if meta.ECS || meta.Service != "shop" {
		t.Errorf("meta is %+v", meta)
	}
}

// Without a subnet the resolver's address decides, also when a dual-stack socket reports it as 4-in-6.
func TestResolverDecides(t *testing.T) {
	r, snap, out := newResponder(t, Options{}), newSnapshot(t), make([]byte, 1232)
	for _, tt := range []struct{ from, want string }{
		{"198.51.100.9:53", euV4},
		{"[::ffff:198.51.100.9]:53", euV4},
		{"[2001:db8:7::9]:53", euV4},
		{"192.0.2.9:53", usV4},
		{"[2001:db8:8::9]:53", usV4},
	} {
		answer, meta := r.Respond(snap, nil, newQuery(t, "www.shop.example. A"), netip.MustParseAddrPort(tt.from), UDP, 0, out)
		want(t, unpack(t, answer), "NOERROR aa rd", "an www.shop.example. 30 A "+tt.want)
		if meta.ECS || meta.Service != "shop" {
			t.Errorf("%s: meta is %+v", tt.from, meta)
		}
	}
}

// FuzzSubnet holds any option's octets against RFC 7871 section 6 as a prefix says it, and the answer's option against
// the query's.
func FuzzSubnet(f *testing.F) {
	for _, data := range [][]byte{
		{}, {0, 1, 24, 0, 198, 51, 100}, {0, 1, 23, 0, 192, 0, 3}, {0, 0, 0, 0}, {0, 1, 0, 0}, {0, 1, 24, 24, 198, 51, 100},
		{0, 2, 48, 0, 0x20, 1, 0x0d, 0xb8, 0, 7}, {0, 2, 120, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 198, 51, 100}, {0, 3, 0, 0},
	} {
		f.Add(data)
	}
	snap, r, out := newSnapshot(f), newResponder(f, Options{}), make([]byte, MaxSize)
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1000 {
			return // does not fit the query
		}
		answer, meta := r.Respond(snap, nil, newQuery(t, "www.shop.example. A", withRawECS(data...)), resolver, TCP, 0, out)
		m := new(dns.Msg)
		if err := m.Unpack(answer); err != nil {
			t.Fatalf("%v in %x", err, answer)
		}
		prefix, ok := prefixOf(data)
		if want := map[bool]int{true: dns.RcodeSuccess, false: dns.RcodeFormatError}[ok]; m.Rcode != want {
			t.Fatalf("%x: %s, want %s", data, dns.RcodeToString[m.Rcode], dns.RcodeToString[want])
		}
		if !ok {
			return
		}
		back := m.IsEdns0().Option[0].(*dns.EDNS0_SUBNET)
		if back.Family != binary.BigEndian.Uint16(data) || back.SourceNetmask != data[2] {
			t.Errorf("%x: option %v came back", data, back)
		}
		address := euV4
		if !prefix.IsValid() || prefix.Bits() == 0 || !office(prefix.Addr()) {
			address = usV4
		}
		if got := m.Answer[0].(*dns.A).A.String(); got != address {
			t.Errorf("%v: answered with %s, want %s", prefix, got, address)
		}
		if meta.ECS != (prefix.IsValid() && prefix.Bits() > 0) {
			t.Errorf("%v: decided by the subnet: %v", prefix, meta.ECS)
		}
		if !meta.ECS && back.SourceScope != 0 {
			t.Errorf("%v: scope %d of an answer that was not decided by it", prefix, back.SourceScope)
		}
	})
}

// prefixOf reads an option of a query as a prefix; one without a family is well formed and none.
func prefixOf(data []byte) (p netip.Prefix, ok bool) {
	if len(data) < 4 || data[3] != 0 {
		return p, false
	}
	length := map[uint16]int{familyV4: 4, familyV6: 16}[binary.BigEndian.Uint16(data)]
	if length == 0 {
		return p, bytes.Equal(data, []byte{0, 0, 0, 0})
	}
	octets := data[4:]
	if bits := int(data[2]); bits > length*8 || len(octets) != (bits+7)/8 {
		return p, false
	}
	addr, _ := netip.AddrFromSlice(append(bytes.Clone(octets), make([]byte, length-len(octets))...))
	p = netip.PrefixFrom(addr, int(data[2]))
	return p, p == p.Masked()
}

// office tells whether a service that goes by the office answers an address as one of its own.
func office(addr netip.Addr) bool {
	addr = addr.Unmap()
	return netip.MustParsePrefix(officeV4).Contains(addr) || netip.MustParsePrefix(officeV6).Contains(addr)
}
