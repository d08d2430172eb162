package wire

import (
	"strings"
	"testing"

	"github.com/miekg/dns"
)

func TestEDNS(t *testing.T) {
	r, snap, out := newResponder(t, Options{NSID: "fra-1"}), newSnapshot(t), make([]byte, 4096)
	nsid := &dns.EDNS0_NSID{Code: dns.EDNS0NSID}
	for _, tt := range []struct {
		name string
		c    change
		opt  string // want, "" = none
	}{
		{"no OPT without one in the query (RFC 6891 section 6.1.1)", func(*dns.Msg) {}, ""},
		{"our size, not theirs (RFC 6891 section 6.2.3)", withOPT(4096), "ar OPT 1232"},
		{"size below 512 (RFC 6891 section 6.2.3)", withOPT(0), "ar OPT 1232"},
		{"DO echoed (RFC 3225 section 3)", func(m *dns.Msg) { m.SetEdns0(1232, true) }, "ar OPT 1232 do"},
		{"NSID (RFC 5001 section 2.2)", withOPT(1232, nsid), "ar OPT 1232 nsid 6672612d31"},
		{"unknown options ignored (RFC 6891 section 6.1.2)",
			withOPT(1232, &dns.EDNS0_LOCAL{Code: 65001, Data: []byte{1, 2}}, nsid), "ar OPT 1232 nsid 6672612d31"},
		{"cookies ignored where they are off", withOPT(1232, &dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: "24a5ac1223344556"}),
			"ar OPT 1232"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			answer, _ := r.Respond(snap, nil, newQuery(t, "a.ent.shop.example. A", tt.c), resolver, UDP, 0, out)
			lines := []string{"NOERROR aa rd", "an a.ent.shop.example. 300 A 192.0.2.9"}
			if tt.opt != "" {
				lines = append(lines, tt.opt)
			}
			want(t, unpack(t, answer), lines...)
		})
	}
}

func TestNSIDOff(t *testing.T) {
	r, snap, out := newResponder(t, Options{}), newSnapshot(t), make([]byte, 512)
	answer, _ := r.Respond(snap, nil,
		newQuery(t, "a.ent.shop.example. A", withOPT(1232, &dns.EDNS0_NSID{Code: dns.EDNS0NSID})), resolver, UDP, 0, out)
	want(t, unpack(t, answer), "NOERROR aa rd", "an a.ent.shop.example. 300 A 192.0.2.9", "ar OPT 1232")
}

// A version that we do not know gets BADVERS with the one we do, and nothing else (RFC 6891 section 6.1.3).
func TestBadVersion(t *testing.T) {
	r, snap, out := newResponder(t, Options{NSID: "fra-1"}), newSnapshot(t), make([]byte, 512)
	req := newQuery(t, "a.ent.shop.example. A", func(m *dns.Msg) {
		m.SetEdns0(4096, true)
		m.IsEdns0().SetVersion(1)
		m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_NSID{Code: dns.EDNS0NSID}}
	})
	answer, meta := r.Respond(snap, nil, req, resolver, UDP, 0, out)
	m := unpack(t, answer)
	want(t, m, "BADVERS rd", "ar OPT 1232 do")
	if len(m.Question) != 1 || meta.Rcode != dns.RcodeBadVers || !meta.EDNS {
		t.Errorf("question is %v, meta is %+v", m.Question, meta)
	}
}

func TestOptionRanges(t *testing.T) {
	_, err := NewResponder(Options{
		UDPSize: 511, NSID: strings.Repeat("n", 129), Version: strings.Repeat("v", 256), Hostname: strings.Repeat("h", 256),
	})
	const want = "udp size: 511: want 512..4096\nnsid: 129 octets: want at most 128\n" +
		"version: 256 octets: want at most 255\nhostname: 256 octets: want at most 255"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %v", err, want)
	}
	if _, err := NewResponder(Options{UDPSize: 4097}); err == nil {
		t.Error("udp size 4097 is accepted")
	}
}
