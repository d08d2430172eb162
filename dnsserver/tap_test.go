package dnsserver

import (
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/meridian-gtm/meridian/dnsserver/tap"
	"github.com/meridian-gtm/meridian/dnsserver/wire"
)

// noteSink writes down what it gets. It is read when the server has ended.
type noteSink struct {
	notes []string
	late  bool
}

func (s *noteSink) Take(x *tap.Exchange) {
	var q, a dns.Msg
	if q.Unpack(x.Query) != nil || a.Unpack(x.Answer) != nil || q.Id != a.Id {
		s.notes = append(s.notes, fmt.Sprintf("query %x, answer %x", x.Query, x.Answer))
		return
	}
	s.late = s.late || time.Since(x.Time) > time.Minute || x.Time.After(time.Now())
	s.notes = append(s.notes, fmt.Sprint(x.Transport, " ", x.Server, " ", x.Client.Addr(), " ", x.Subnet, " ", q.Question[0].Name, " ",
		len(a.Answer), " ", x.Meta.Service, " ", x.Sent))
}

// What a tap gets is what was asked and answered, over either transport, up to the last query of all.
func TestTap(t *testing.T) {
	for _, singly := range []bool{false, true} {
		sink := &noteSink{}
		tp, err := tap.New(tap.Output{Sink: sink, Sample: 1})
		if err != nil {
			t.Fatal(err)
		}
		s := newServer(t, Options{
			Listen: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0"), netip.MustParseAddrPort("0.0.0.0:0")}, Tap: tp,
		})
		s.singly = singly
		s.Store(newSnapshot(t, "192.0.2.1"))
		addr, stop := start(t, s)
		_, port, err := net.SplitHostPort(s.Addrs()[1].String())
		if err != nil {
			t.Fatal(err)
		}
		wildcard := "127.0.0.1:" + port
		ask(t, "udp", addr, "static.shop.example. A")
		m := new(dns.Msg).SetQuestion("www.shop.example.", dns.TypeA)
		m.SetEdns0(1232, false)
		m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_SUBNET{
			Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: 24, Address: net.IPv4(198, 51, 100, 0),
		}}
		if _, err := dns.Exchange(m, addr); err != nil {
			t.Fatal(err)
		}
		ask(t, "tcp", addr, "big.shop.example. A")
		ask(t, "udp", wildcard, "static.shop.example. A")
		ask(t, "tcp", wildcard, "static.shop.example. A")
		stop()
		none := netip.Prefix{}
		want := map[string]int{
			fmt.Sprint(wire.UDP, " ", addr, " 127.0.0.1 ", none, " static.shop.example. 1  true"):             1,
			fmt.Sprint(wire.UDP, " ", addr, " 127.0.0.1 198.51.100.0/24 www.shop.example. 2 shop true"):       1,
			fmt.Sprint(wire.TCP, " ", addr, " 127.0.0.1 ", none, " big.shop.example. 100  true"):              1,
			fmt.Sprint(wire.UDP, " ", netip.AddrPort{}, " 127.0.0.1 ", none, " static.shop.example. 1  true"): 1,
			fmt.Sprint(wire.TCP, " ", wildcard, " 127.0.0.1 ", none, " static.shop.example. 1  true"):         1,
		}
		for _, note := range sink.notes {
			if want[note]--; want[note] < 0 {
				t.Errorf("singly %t: not asked: %s", singly, note)
			}
		}
		if len(sink.notes) != len(want) || sink.late {
			t.Errorf("singly %t: got %q, out of time %t", singly, sink.notes, sink.late)
		}
	}
}
