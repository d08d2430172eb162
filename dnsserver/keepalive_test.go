package dnsserver

import (
	"bytes"
	"encoding/binary"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

// asking returns a framed query with an EDNS option of a client.
func asking(t *testing.T, options ...dns.EDNS0) []byte {
	t.Helper()
	m := new(dns.Msg).SetQuestion("static.shop.example.", dns.TypeA)
	m.SetEdns0(1232, false)
	m.IsEdns0().Option = options
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...)
}

// keepalives returns the timeouts that an answer states.
func keepalives(m *dns.Msg) (list []uint16) {
	if opt := m.IsEdns0(); opt != nil {
		for _, o := range opt.Option {
			if o, ok := o.(*dns.EDNS0_TCP_KEEPALIVE); ok {
				list = append(list, o.Timeout)
			}
		}
	}
	return list
}

// Who asks how long a connection may be idle is told (RFC 7828 section 3.3.2), and once the server is about to end, that
// it should close (section 3.4). Who does not ask gets nothing it may not know.
func TestKeepalive(t *testing.T) {
	snap := newSnapshot(t, "192.0.2.1")
	cookie := &dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: "0011223344556677"}
	ask := &dns.EDNS0_TCP_KEEPALIVE{Code: dns.EDNS0TCPKEEPALIVE}
	synctest.Test(t, func(t *testing.T) {
		p := newPiped(t, Options{IdleTimeout: 7500 * time.Millisecond, DrainTimeout: time.Minute}, snap)
		for name, test := range map[string]struct {
			query []byte
			want  int
		}{
			"no EDNS":     {framed(t, "static.shop.example.", 1), -1},
			"no option":   {asking(t), -1},
			"other":       {asking(t, cookie), -1},
			"alone":       {asking(t, ask), 75},
			"after other": {asking(t, cookie, ask), 75},
		} {
			send(p, test.query)
			m := receive(t, p)
			got := keepalives(m)
			if len(m.Answer) != 1 || test.want < 0 && len(got) > 0 ||
				test.want >= 0 && (len(got) != 1 || got[0] != uint16(test.want)) {
				t.Errorf("%s: timeouts %v in %v", name, got, m)
			}
		}
		p.stop()
		send(p, asking(t, ask))
		if got := keepalives(receive(t, p)); len(got) != 1 || got[0] != 0 {
			t.Errorf("at the end: %v", got)
		}
	})
}

func TestAppendKeepalive(t *testing.T) {
	m := new(dns.Msg).SetQuestion("www.shop.example.", dns.TypeA)
	for _, answer := range []dns.RR{nil, &dns.NS{
		Hdr: dns.RR_Header{Name: "shop.example.", Rrtype: dns.TypeNS, Class: 1, Ttl: 60}, Ns: "ns.shop.example.",
	}} {
		if answer != nil {
			m.Ns = append(m.Ns, answer)
		}
		m.Compress = true
		b, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		if got := appendKeepalive(b, time.Second); len(got) != len(b) {
			t.Error("an option without an OPT record")
		}
		m.SetEdns0(1232, true)
		m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_NSID{Code: dns.EDNS0NSID, Nsid: "c0c0"}}
		if b, err = m.Pack(); err != nil {
			t.Fatal(err)
		}
		for timeout, want := range map[time.Duration]uint16{0: 0, time.Second: 10, 24 * time.Hour: 65535} {
			var got dns.Msg
			if err := got.Unpack(appendKeepalive(bytes.Clone(b), timeout)); err != nil {
				t.Fatal(err)
			}
			if list := keepalives(&got); len(list) != 1 || list[0] != want || len(got.IsEdns0().Option) != 2 {
				t.Errorf("%v: got %v", timeout, got.IsEdns0())
			}
		}
		m.Extra = nil
	}
}

// Whatever comes, an OPT record is found where the library finds one, and nothing else is taken for it.
func FuzzFindOPT(f *testing.F) {
	for _, options := range [][]dns.EDNS0{nil, {&dns.EDNS0_TCP_KEEPALIVE{Code: dns.EDNS0TCPKEEPALIVE, Timeout: 9}}} {
		m := new(dns.Msg).SetQuestion("www.shop.example.", dns.TypeA)
		m.SetEdns0(1232, false)
		m.IsEdns0().Option = options
		b, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte{})
	f.Add(make([]byte, 12))
	f.Fuzz(func(t *testing.T, message []byte) {
		options, _, _ := findOPT(message)
		wants := hasOption(options, dns.EDNS0TCPKEEPALIVE)
		longer := appendKeepalive(bytes.Clone(message), time.Second)
		var m dns.Msg
		if len(message) > maxTCPQuery || m.Unpack(message) != nil || m.Opcode != dns.OpcodeQuery {
			return
		}
		if opt := m.IsEdns0(); opt == nil || opt.Hdr.Name != "." {
			return // with an owner it is malformed, and not found
		}
		if got := len(keepalives(&m)) > 0; got != wants {
			t.Errorf("wants: got %v for %v", wants, &m)
		}
		if len(longer) == len(message) {
			return
		}
		var extended dns.Msg
		if err := extended.Unpack(longer); err != nil {
			t.Errorf("extended: %v", err)
		} else if got := keepalives(&extended); len(got) != len(keepalives(&m))+1 {
			t.Errorf("extended: %v", got)
		}
	})
}
