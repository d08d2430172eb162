package drill

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// TestAskerHearsEveryAnswer asks a real DNS server over loopback that answers clients by their network.
func TestAskerHearsEveryAnswer(t *testing.T) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	rr := func(text string) dns.RR {
		r, err := dns.NewRR(text)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	started := make(chan struct{})
	server := &dns.Server{PacketConn: conn, NotifyStartedFunc: func() { close(started) }, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		subnet := q.IsEdns0().Option[0].(*dns.EDNS0_SUBNET)
		switch subnet.Address.String() {
		case "192.0.2.0":
			m.Answer = []dns.RR{rr("www.shop.example. 7 A 203.0.113.2"), rr("www.shop.example. 5 A 203.0.113.1")}
		case "198.51.100.0":
			m.Rcode = dns.RcodeServerFailure
		case "2001:db8::":
			m.Rcode = dns.RcodeNameError
		case "203.0.113.0":
			return // lost
		case "203.0.113.128":
			m.Rcode = dns.RcodeRefused
		case "198.51.100.128":
			m.Answer = []dns.RR{rr("www.shop.example. 9 A 192.0.2.77")}
		}
		_ = w.WriteMsg(m)
	})}
	go server.ActivateAndServe()
	<-started
	defer server.Shutdown()

	var clients []Client
	for _, p := range []string{"192.0.2.0/24", "198.51.100.0/25", "2001:db8::/48", "203.0.113.0/25", "203.0.113.128/25", "198.51.100.128/25", "192.0.2.128/25"} {
		clients = append(clients, Client{Prefix: netip.MustParsePrefix(p), Weight: 1})
	}
	want := []Answer{
		{Sites: []string{"a", "b"}, TTL: 5}, {Fault: ServFail}, {Fault: NXDomain}, {Fault: Unanswered}, {Fault: OtherRcode},
		{Sites: []string{"192.0.2.77"}, TTL: 9}, {Fault: Empty},
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var mu sync.Mutex
	heard := make([]int, len(clients))
	a := &asker{
		server: conn.LocalAddr().(*net.UDPAddr).AddrPort(), name: "www.shop.example", clients: clients,
		siteOf: func(addr netip.Addr) string {
			return map[string]string{"203.0.113.1": "a", "203.0.113.2": "b"}[addr.String()]
		},
		note: func(client int, _ time.Time, got Answer) {
			mu.Lock()
			defer mu.Unlock()
			if !got.same(want[client]) || got.TTL != want[client].TTL {
				t.Errorf("%s: %+v: want %+v", clients[client].Prefix, got, want[client])
			}
			heard[client]++
			for _, n := range heard {
				if n < 3 {
					return
				}
			}
			cancel()
		},
	}
	if err := a.run(ctx, 20*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	for i, n := range heard {
		if n < 3 {
			t.Errorf("%s: %d answers: want 3 at least", clients[i].Prefix, n)
		}
	}
}

// TestNobodyThereIsUnanswered: a dead node's socket refuses, and each question is counted once all the same.
func TestNobodyThereIsUnanswered(t *testing.T) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := conn.LocalAddr().(*net.UDPAddr).AddrPort()
	conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	got := Good
	a := &asker{
		server: addr, name: "x.example", clients: []Client{{Prefix: netip.MustParsePrefix("192.0.2.0/24"), Weight: 1}},
		siteOf: func(netip.Addr) string { return "" },
		note:   func(_ int, _ time.Time, a Answer) { got = a.Fault; cancel() },
	}
	if err := a.run(ctx, 50*time.Millisecond); err != nil || got != Unanswered {
		t.Errorf("%v, %q: want unanswered", err, got)
	}
}
