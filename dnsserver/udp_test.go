package dnsserver

import (
	"context"
	"net"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/meridian-gtm/meridian/dnsserver/wire"
)

// An answer comes from the address that was asked, also on a wildcard socket: the client's socket is connected, and
// the kernel would drop what comes from elsewhere.
func TestWildcard(t *testing.T) { bothWays(t, testWildcard) }

func testWildcard(t *testing.T, singly bool) {
	if runtime.GOOS != "linux" {
		s := newServer(t, Options{Listen: []netip.AddrPort{netip.MustParseAddrPort("0.0.0.0:0")}})
		if err := s.Listen(); err == nil {
			t.Fatal("a wildcard address is accepted")
		}
		return
	}
	for wildcard, asked := range map[string][]string{"0.0.0.0:0": {"127.0.0.1", "127.0.0.9"}, "[::]:0": {"::1"}} {
		t.Run(wildcard, func(t *testing.T) {
			needFamily(t, netip.MustParseAddrPort(wildcard).Addr())
			s := newServer(t, Options{Listen: []netip.AddrPort{netip.MustParseAddrPort(wildcard)}})
			s.singly = singly
			s.Store(newSnapshot(t, "192.0.2.1"))
			start(t, s)
			for _, ip := range asked {
				addr := netip.AddrPortFrom(netip.MustParseAddr(ip), s.Addrs()[0].Port()).String()
				for _, network := range []string{"udp", "tcp"} {
					if got := addresses(ask(t, network, addr, "static.shop.example. A")); len(got) != 1 {
						t.Errorf("%s: got %v", addr, got)
					}
				}
			}
		})
	}
}

// bothWays runs a test with packets in batches, where there are any, and one by one.
func bothWays(t *testing.T, test func(t *testing.T, singly bool)) {
	t.Run("batches", func(t *testing.T) {
		if !canBatch {
			t.Skip("not on " + runtime.GOOS)
		}
		test(t, false)
	})
	t.Run("singly", func(t *testing.T) { test(t, true) })
}

// What is no query gets no answer and does no harm.
func TestGarbage(t *testing.T) { bothWays(t, testGarbage) }

func testGarbage(t *testing.T, singly bool) {
	s := newServer(t, Options{Listen: loopback, Workers: 1})
	s.singly = singly
	s.Store(newSnapshot(t, "192.0.2.1"))
	addr, _ := start(t, s)
	conn, err := net.Dial("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, packet := range [][]byte{{}, {1}, make([]byte, 11), {2: 0x80, 13: 0}, make([]byte, 12), make([]byte, 5000)} {
		if _, err := conn.Write(packet); err != nil {
			t.Fatal(err)
		}
	}
	// One socket and one goroutine: once this is answered, everything before it was read.
	query, err := new(dns.Msg).SetQuestion("static.shop.example.", dns.TypeA).Pack()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write(query); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	var rcodes []int
	for range 3 {
		buf := make([]byte, 512)
		n, err := conn.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		var m dns.Msg
		if err := m.Unpack(buf[:n]); err != nil {
			t.Fatal(err)
		}
		rcodes = append(rcodes, m.Rcode)
	}
	if rcodes[0] != dns.RcodeFormatError || rcodes[1] != dns.RcodeFormatError || rcodes[2] != dns.RcodeSuccess {
		t.Errorf("got %v", rcodes)
	}
	if st := s.Stats().UDP; st.Silent != 4 || st.Answered() != 3 || st.Types["none"] != 2 {
		t.Errorf("got %+v", st)
	}
}

// What the kernel had taken when the end came is answered, and what comes later is refused at once where the kernel can
// be told: a resolver that hears that a port is closed asks another server without waiting.
func TestDrain(t *testing.T) { bothWays(t, testDrain) }

// needFamily skips a test where the loopback interface has no address of a family. In containers without IPv6 [::] can be
// bound all the same.
func needFamily(t *testing.T, addr netip.Addr) {
	t.Helper()
	if addr.Is4() {
		return
	}
	probe, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		t.Skip("no IPv6 here:", err)
	}
	probe.Close()
}

func testDrain(t *testing.T, singly bool) {
	for _, listen := range []string{"127.0.0.1:0", "0.0.0.0:0", "[::1]:0", "[::]:0"} {
		t.Run(listen, func(t *testing.T) {
			addr := netip.MustParseAddrPort(listen)
			if addr.Addr().IsUnspecified() && !canShare {
				t.Skip("no wildcard addresses on", runtime.GOOS)
			}
			needFamily(t, addr.Addr())
			s := newServer(t, Options{Listen: []netip.AddrPort{addr}, Workers: 3})
			s.singly = singly
			s.Store(newSnapshot(t, "192.0.2.1"))
			if err := s.Listen(); err != nil {
				t.Fatal(err)
			}
			to := net.UDPAddrFromAddrPort(s.Addrs()[0])
			if addr.Addr().IsUnspecified() {
				to.IP = net.IPv4(127, 0, 0, 1)
				if addr.Addr().Is6() {
					to.IP = net.IPv6loopback
				}
			}
			query, err := new(dns.Msg).SetQuestion("static.shop.example.", dns.TypeA).Pack()
			if err != nil {
				t.Fatal(err)
			}
			var clients []net.Conn // of different ports: the kernel spreads them over the sockets
			for range 20 {
				conn, err := net.DialUDP("udp", nil, to)
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
				for range 10 {
					if _, err := conn.Write(query); err != nil {
						t.Fatal(err)
					}
				}
				clients = append(clients, conn)
			}
			ended, end := context.WithCancel(context.Background())
			end()
			if err := s.Run(ended); err != nil {
				t.Fatal(err)
			}
			for i, conn := range clients {
				for n := range 10 {
					if _, err := conn.Read(make([]byte, 512)); err != nil {
						t.Fatalf("client %d, answer %d: %v", i, n, err)
					}
				}
			}
			if got := s.Stats().UDP; got.Answered() != 200 || got.WriteErrors != 0 {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// The shell adds no allocation to those of wire.
func TestAllocations(t *testing.T) {
	s := newServer(t, Options{})
	s.Store(newSnapshot(t, "192.0.2.1"))
	w := s.newWorker(newCounters(false), wire.UDP)
	out := make([]byte, maxUDPAnswer)
	cookies := s.cookies.now.Load()
	for _, name := range []string{"static.shop.example.", "www.shop.example."} {
		req := newCookieQuery(t, name, clientCookie)
		r := s.responder.Clone()
		bare := testing.AllocsPerRun(100, func() { r.Respond(s.Snapshot(), cookies, req, loopback[0], wire.UDP, 0, out) })
		if got := testing.AllocsPerRun(100, func() { w.answer(s.Snapshot(), cookies, req, loopback[0], out) }); got > bare {
			t.Errorf("%s: %v allocations, %v of them in wire", name, got, bare)
		}
	}
}

// BenchmarkUDP is one query and its answer over loopback: client, kernel and server.
func BenchmarkUDP(b *testing.B) {
	s := newServer(b, Options{Listen: loopback})
	s.Store(newSnapshot(b, "192.0.2.1"))
	addr, _ := start(b, s)
	conn, err := net.Dial("udp", addr)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	query, err := new(dns.Msg).SetQuestion("www.shop.example.", dns.TypeA).Pack()
	if err != nil {
		b.Fatal(err)
	}
	buf := make([]byte, 512)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := conn.Write(query); err != nil {
			b.Fatal(err)
		}
		if _, err := conn.Read(buf); err != nil {
			b.Fatal(err)
		}
	}
}
