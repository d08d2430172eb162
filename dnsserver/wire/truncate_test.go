package wire

import (
	"net/netip"
	"testing"

	"github.com/miekg/dns"
)

func TestTruncation(t *testing.T) {
	snap, out := newSnapshot(t), make([]byte, 4096)
	small, large := newResponder(t, Options{}), newResponder(t, Options{UDPSize: 4096, NSID: "fra-1"})
	nsid := &dns.EDNS0_NSID{Code: dns.EDNS0NSID}
	for _, tt := range []struct {
		name     string
		r        *Responder
		question string
		c        change
		limit    int
		tc       bool
		an, ar   int // records wanted; OPT not counted
	}{
		{"no EDNS: 512 (RFC 1035 section 2.3.4)", large, "many.big.example. A", nil, 512, true, 0, 0},
		{"1232 by default", small, "many.big.example. A", withOPT(4096), 1232, true, 0, 0},
		{"what the requestor takes (RFC 6891 section 6.2.5)", large, "many.big.example. A", withOPT(1400), 1400, true, 0, 0},
		{"fits in 4096", large, "many.big.example. A", withOPT(4096), 4096, false, 100, 0},
		// header 12, question 22, addresses 1600, OPT 11 and its NSID 9: 1654 octets
		{"room for the options is kept", large, "many.big.example. A", withOPT(1653, nsid), 1653, true, 0, 0},
		{"and no more than that", large, "many.big.example. A", withOPT(1654, nsid), 1654, false, 100, 0},
		{"additional sets are dropped first (RFC 2181 section 9)", small, "mail.big.example. MX", nil, 512, false, 8, 16},
		{"all additional sets fit", large, "mail.big.example. MX", withOPT(4096), 4096, false, 8, 32},
		{"steered addresses", small, "many.shop.example. AAAA", nil, 512, true, 0, 0},
		{"all of them fit", small, "many.shop.example. AAAA", withOPT(1232), 1232, false, 20, 0},
		{"glue is not (RFC 9471 section 3.1)", small, "www.sub.big.example. A", withOPT(1232), 1232, true, 0, 0},
		{"all the glue fits", large, "www.sub.big.example. A", withOPT(4096), 4096, false, 0, 48},
	} {
		t.Run(tt.name, func(t *testing.T) {
			changes := []change{}
			if tt.c != nil {
				changes = append(changes, tt.c)
			}
			answer, meta := tt.r.Respond(snap, nil, newQuery(t, tt.question, changes...), resolver, UDP, 0, out)
			m := unpack(t, answer)
			ar := len(m.Extra)
			if m.IsEdns0() != nil {
				ar--
			}
			if len(answer) > tt.limit || m.Truncated != tt.tc || meta.Truncated != tt.tc || m.Rcode != 0 {
				t.Errorf("%d octets, %+v, %v", len(answer), meta, m.MsgHdr)
			}
			if len(m.Answer) != tt.an || ar != tt.ar || tt.tc && len(m.Ns) > 0 {
				t.Errorf("%d in answer, %d in authority, %d in additional", len(m.Answer), len(m.Ns), ar)
			}
			if (m.IsEdns0() != nil) != (tt.c != nil) {
				t.Errorf("OPT is %v", m.IsEdns0())
			}
		})
	}
}

// Over TCP only 65535 octets limit an answer, whatever the OPT says (RFC 6891 section 6.2.3 is about UDP).
func TestTCPSize(t *testing.T) {
	r, snap, out := newResponder(t, Options{}), newSnapshot(t), make([]byte, MaxSize)
	answer, _ := r.Respond(snap, nil, newQuery(t, "many.big.example. A", withOPT(512)), resolver, TCP, 0, out)
	if m := unpack(t, answer); m.Truncated || len(m.Answer) != 100 || m.IsEdns0() == nil {
		t.Errorf("got %v", m)
	}
	answer, _ = r.Respond(snap, nil, newQuery(t, "huge.big.example. TXT", withOPT(512)), resolver, TCP, 0, out)
	if m := unpack(t, answer); m.Truncated || len(m.Answer) != 245 || len(answer) < 65000 {
		t.Errorf("got %d octets, %v", len(answer), m.MsgHdr)
	}
	// More than any message can hold.
	answer, _ = r.Respond(snap, nil, newQuery(t, longAlias+".big.example. TXT", withOPT(512)), resolver, TCP, 0, out)
	want(t, unpack(t, answer), "SERVFAIL rd", "ar OPT 1232")
	answer, _ = r.Respond(snap, nil, newQuery(t, longAlias+".big.example. TXT"), resolver, UDP, 0, out)
	want(t, unpack(t, answer), "NOERROR aa tc rd")
}

// A buffer that is shorter than the limit bounds the answer, too.
func TestShortBuffer(t *testing.T) {
	r, snap := newResponder(t, Options{}), newSnapshot(t)
	out := make([]byte, 0, 512)
	answer, _ := r.Respond(snap, nil, newQuery(t, "many.big.example. A", withOPT(1232)), resolver, UDP, 0, out)
	want(t, unpack(t, answer), "NOERROR aa tc rd", "ar OPT 1232")
}

// Whatever the room, addresses are written whole, or the reply says that they did not fit and stays within it.
func TestAddressesWithinLimit(t *testing.T) {
	question := newQuery(t, "alias.shop.example. A")[12:]
	addrs := []netip.Addr{
		netip.MustParseAddr(usV4), netip.MustParseAddr(euV4), netip.MustParseAddr("203.0.113.3"),
	}
	for owner, size := range map[string]int{
		"alias.shop.example.": 3 * 16,       // a pointer each
		"www.shop.example.":   3*16 + 4,     // "www" and a pointer once
		"www.other.example.":  3*16 + 4 + 6, // "www.other" and a pointer
		"elsewhere.test.":     3*16 + 14,    // no suffix in common
	} {
		for limit := 12 + len(question); limit < 150; limit++ {
			w := reply{names: map[string]int{}}
			w.begin(make([]byte, 0, 512), question, limit)
			w.name = "alias.shop.example."
			w.addAddrs(owner, 30, addrs)
			fits := limit >= 12+len(question)+size
			if w.overflow == fits || w.n > limit || fits && (w.counts[answerSection] != 3 || w.n != 12+len(question)+size) {
				t.Fatalf("%s in %d octets: overflow %v, %d octets, %v", owner, limit, w.overflow, w.n, w.counts)
			}
		}
	}
}
