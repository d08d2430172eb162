package traveler

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// serve answers on loopback with what reply makes of each query, until the test ends. reply may return nil.
func serve(t *testing.T, reply func(n int, q *dns.Msg) *dns.Msg) netip.AddrPort {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var n atomic.Int32
	started := make(chan struct{})
	server := &dns.Server{
		PacketConn: conn, NotifyStartedFunc: func() { close(started) },
		Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
			if m := reply(int(n.Add(1)), q); m != nil {
				_ = w.WriteMsg(m)
			}
		}),
	}
	done := make(chan error, 1)
	go func() { done <- server.ActivateAndServe() }()
	<-started
	t.Cleanup(func() {
		_ = server.Shutdown()
		<-done
	})
	return conn.LocalAddr().(*net.UDPAddr).AddrPort()
}

func TestAskSendsTheSubnetAndReadsTheScope(t *testing.T) {
	sent := make(chan *dns.EDNS0_SUBNET, tries)
	server := serve(t, func(_ int, q *dns.Msg) *dns.Msg {
		got := q.IsEdns0().Option[0].(*dns.EDNS0_SUBNET)
		sent <- got
		m := new(dns.Msg).SetReply(q)
		rr, err := dns.NewRR("www.shop.example. 7 IN A 192.0.2.1")
		if err != nil {
			t.Error(err)
		}
		m.Answer = append(m.Answer, rr)
		m.SetEdns0(1232, false)
		scoped := *got
		scoped.SourceScope = 20
		m.IsEdns0().Option = append(m.IsEdns0().Option, &scoped)
		return m
	})
	r, err := Ask(t.Context(), server, "www.shop.example", dns.TypeA, netip.MustParsePrefix("198.51.100.0/24"))
	if err != nil {
		t.Fatal(err)
	}
	if got := <-sent; got.SourceNetmask != 24 || got.Family != 1 || !got.Address.Equal(net.IPv4(198, 51, 100, 0)) {
		t.Errorf("sent subnet %v", got)
	}
	if r.Rcode != "NOERROR" || len(r.Addrs) != 1 || r.Addrs[0] != netip.MustParseAddr("192.0.2.1") || r.TTL != 7 || r.Scope != 20 || r.Tries != 1 {
		t.Errorf("reply %+v", r)
	}
}

func TestAskRepeatsALostQuery(t *testing.T) {
	server := serve(t, func(n int, q *dns.Msg) *dns.Msg {
		if n == 1 {
			return nil
		}
		return new(dns.Msg).SetRcode(q, dns.RcodeNameError)
	})
	r, err := Ask(t.Context(), server, "x.example", dns.TypeA, netip.MustParsePrefix("192.0.2.0/24"))
	if err != nil || r.Tries != 2 || r.Rcode != "NXDOMAIN" {
		t.Errorf("reply %+v, %v: want NXDOMAIN at the second try", r, err)
	}
}

func TestAskGivesUp(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	server := serve(t, func(int, *dns.Msg) *dns.Msg { return nil })
	if _, err := Ask(ctx, server, "x.example", dns.TypeA, netip.MustParsePrefix("192.0.2.0/24")); err == nil {
		t.Error("no error from a server that does not answer")
	}
}

func TestLedgerCountsEveryKind(t *testing.T) {
	var l Ledger
	addr := []netip.Addr{netip.MustParseAddr("192.0.2.1")}
	l.Note(Reply{Rcode: "NOERROR", Addrs: addr, Tries: 1}, nil)
	l.Note(Reply{Rcode: "NOERROR", Addrs: addr, Tries: 2}, nil)
	l.Note(Reply{Rcode: "NOERROR", Tries: 1}, nil)
	l.Note(Reply{Rcode: "NXDOMAIN", Tries: 1}, nil)
	l.Note(Reply{Rcode: "SERVFAIL", Tries: 1}, nil)
	l.Note(Reply{Rcode: "REFUSED", Tries: 1}, nil)
	l.Note(Reply{}, errors.New("timeout"))
	want := Count{Asked: 7, Empty: 1, NXDomain: 1, ServFail: 1, OtherRcode: 1, Unanswered: 1, Repeated: 1}
	if got := l.Count(); got != want || got.Bad() != 5 {
		t.Errorf("count %+v, bad %d; want %+v, bad 5", got, got.Bad(), want)
	}
}
