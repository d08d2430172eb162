package dnsserver

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"github.com/meridian-gtm/meridian/dnsserver/proxyproto"
	"github.com/meridian-gtm/meridian/dnsserver/rrl"
	"github.com/meridian-gtm/meridian/dnsserver/wire"
)

// The parts that addresses play in these tests. A front end speaks from frontEnd; directly come a client in an office
// (see offices) and one that is nowhere.
const (
	frontEnd = "127.0.0.1"
	inOffice = "127.0.0.3"
	nowhere  = "127.0.0.2"
)

// fromFrontEnd are options that trust frontEnd.
func fromFrontEnd(o Options) Options {
	o.ProxyFrom = []netip.Prefix{netip.MustParsePrefix("2001:db8:53::/64"), netip.MustParsePrefix(frontEnd + "/32")}
	return o
}

// header is what a front end sends before a client's bytes.
func header(client string) string {
	addr := netip.MustParseAddr(client)
	h := proxyproto.Header{
		Transport: proxyproto.Datagram, Source: netip.AddrPortFrom(addr, 5353), Dest: netip.AddrPortFrom(addr, 53),
		Values: proxyproto.AppendValue(nil, 0xe0, "fra1"),
	}
	return string(h.Append(nil))
}

// proxyCases are what may come before a query from an address, and where its client is sent; "" = nowhere at all.
var proxyCases = []struct {
	name, from, header, want string
}{
	{"v4", frontEnd, header("198.51.100.7"), "203.0.113.2"},
	{"v4 elsewhere", frontEnd, header("192.0.2.7"), "203.0.113.1"},
	{"v6", frontEnd, header("2001:db8:7::1"), "203.0.113.2"},
	{"v6 elsewhere", frontEnd, header("2001:db8:8::1"), "203.0.113.1"},
	{"4-in-6", frontEnd, header("::ffff:198.51.100.7"), "203.0.113.2"},
	{"a stream's client", frontEnd, strings.Replace(header("198.51.100.7"), "\x21\x12", "\x21\x11", 1), "203.0.113.2"},
	{"local", frontEnd, string(proxyproto.Header{Local: true}.Append(nil)), "203.0.113.1"},
	{"local with addresses", frontEnd, strings.Replace(header("198.51.100.7"), "\x21\x12", "\x20\x12", 1), "203.0.113.1"},
	{"no header", frontEnd, "", ""},
	{"version 1", frontEnd, "PROXY UDP4 198.51.100.7 192.0.2.53 5353 53\r\n", ""},
	{"no client", frontEnd, proxyproto.Signature + "\x21\x00\x00\x00", ""},
	{"unix", frontEnd, proxyproto.Signature + "\x21\x31\x00\xd8" + strings.Repeat("\x01", 216), ""},
	{"value cut short", frontEnd, strings.Replace(header("198.51.100.7"), "\xe0\x00\x04", "\xe0\x00\x05", 1), ""},
	{"another version", frontEnd, strings.Replace(header("198.51.100.7"), "\x21\x12", "\x31\x12", 1), ""},
	{"who may not", nowhere, header("198.51.100.7"), ""},
	{"who may not, local", nowhere, string(proxyproto.Header{Local: true}.Append(nil)), ""},
	{"direct", nowhere, "", "203.0.113.1"},
	{"direct from an office", inOffice, "", "203.0.113.2"},
}

// wantProxied compares a transport's counts with the cases: how often a header decided, and was none.
func wantProxied(t *testing.T, stats func() TrafficStats) {
	t.Helper()
	var st TrafficStats
	ok := soon(t, func() bool {
		st = stats()
		return st.ProxyAccepted == 8 && st.ProxyMalformed == 6 && st.ProxyUntrusted == 2
	})
	if !ok {
		t.Errorf("%d accepted, %d malformed, %d untrusted", st.ProxyAccepted, st.ProxyMalformed, st.ProxyUntrusted)
	}
}

// soon reports whether something comes true: a server may count after a client has noticed.
func soon(t *testing.T, ok func() bool) bool {
	for end := time.Now().Add(10 * time.Second); !ok(); pause(t.Context(), 5*time.Millisecond) {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}

// dial connects from a loopback address.
func dial(tb testing.TB, network, from, to string) net.Conn {
	tb.Helper()
	var local net.Addr = &net.UDPAddr{IP: net.ParseIP(from)}
	if network == "tcp" {
		local = &net.TCPAddr{IP: net.ParseIP(from)}
	}
	conn, err := (&net.Dialer{LocalAddr: local, Timeout: 5 * time.Second}).Dial(network, to)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	return conn
}

// wantLoopbacks skips where 127.0.0.1 is the only loopback address.
func wantLoopbacks(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("127.0.0.2 cannot be bound on", runtime.GOOS)
	}
}

// Over UDP the header decides who the client is, from whom it is wanted; from elsewhere it is not, and what is not as it
// should be is dropped and counted.
func TestProxiedUDP(t *testing.T) { bothWays(t, testProxiedUDP) }

func testProxiedUDP(t *testing.T, singly bool) {
	wantLoopbacks(t)
	s := newServer(t, fromFrontEnd(Options{Listen: loopback, Workers: 1}))
	s.singly = singly
	s.Store(newSnapshot(t, "192.0.2.1"))
	addr, _ := start(t, s)
	for i, c := range proxyCases {
		conn := dial(t, "udp", c.from, addr)
		m := new(dns.Msg).SetQuestion("placed.shop.example.", dns.TypeA)
		m.Id = uint16(i)
		query, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write(append([]byte(c.header), query...)); err != nil {
			t.Fatal(err)
		}
		if c.want == "" {
			// One socket and one goroutine: once the last case is answered, this one was read.
			continue
		}
		buf := make([]byte, 512)
		n, err := conn.Read(buf)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if err := m.Unpack(buf[:n]); err != nil {
			t.Fatal(err)
		}
		if got := addresses(m); m.Id != uint16(i) || len(got) != 1 || got[0] != c.want {
			t.Errorf("%s: got %v, want %s", c.name, m, c.want)
		}
	}
	wantProxied(t, func() TrafficStats { return s.Stats().UDP })
}

// Over TCP as well, for all queries of a connection.
func TestProxiedTCP(t *testing.T) {
	wantLoopbacks(t)
	s := newServer(t, fromFrontEnd(Options{Listen: loopback}))
	s.Store(newSnapshot(t, "192.0.2.1"))
	addr, _ := start(t, s)
	for _, c := range proxyCases {
		conn := dial(t, "tcp", c.from, addr)
		query := framed(t, "placed.shop.example.", 1)
		if _, err := conn.Write(append([]byte(c.header), append(query, query...)...)); err != nil {
			t.Fatal(err)
		}
		if c.want == "" {
			if n, err := io.Copy(io.Discard, conn); n > 0 || isTimeout(err) {
				t.Errorf("%s: %d octets, %v, want the connection closed", c.name, n, err)
			}
			continue
		}
		for range 2 {
			if got := addresses(receive(t, conn)); len(got) != 1 || got[0] != c.want {
				t.Errorf("%s: got %v, want %s", c.name, got, c.want)
			}
		}
	}
	wantProxied(t, func() TrafficStats { return s.Stats().TCP })
}

// isTimeout says that the other end did nothing.
func isTimeout(err error) bool {
	timeout, ok := errors.AsType[net.Error](err)
	return ok && timeout.Timeout()
}

// A client behind a front end gets octet by octet what it would get directly.
func TestProxiedAlike(t *testing.T) {
	wantLoopbacks(t)
	s := newServer(t, fromFrontEnd(Options{Listen: loopback, Answers: wire.Options{NSID: "fra1"}}))
	s.Store(newSnapshot(t, "192.0.2.1"))
	addr, _ := start(t, s)
	subnet := &dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: 24, Address: net.IPv4(198, 51, 100, 0)}
	for _, network := range []string{"udp", "tcp"} {
		for _, client := range []string{inOffice, nowhere} {
			direct, proxied := dial(t, network, client, addr), dial(t, network, frontEnd, addr)
			first := true
			for _, name := range []string{"placed.shop.example.", "PlAcEd.shop.example.", "static.shop.example.", "gone.shop.example.", "big.shop.example.", "elsewhere.example."} {
				for _, options := range [][]dns.EDNS0{nil, {}, {subnet}, {&dns.EDNS0_NSID{Code: dns.EDNS0NSID}}} {
					m := new(dns.Msg).SetQuestion(name, dns.TypeA)
					if options != nil {
						m.SetEdns0(1232, true)
						m.IsEdns0().Option = options
					}
					query, err := m.Pack()
					if err != nil {
						t.Fatal(err)
					}
					if network == "tcp" {
						query = append(binary.BigEndian.AppendUint16(nil, uint16(len(query))), query...)
					}
					want := exchange(t, direct, network, query)
					if network == "udp" || first {
						query = append([]byte(header(client)), query...)
					}
					first = false
					if got := exchange(t, proxied, network, query); !bytes.Equal(got, want) {
						t.Errorf("%s, %s from %s:\n%x, directly\n%x", network, name, client, got, want)
					}
				}
			}
		}
	}
}

// exchange sends bytes and returns the answer's, its length included where there is one.
func exchange(t *testing.T, conn net.Conn, network string, query []byte) []byte {
	t.Helper()
	if _, err := conn.Write(query); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 4096)
	if network == "udp" {
		n, err := conn.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		return buf[:n]
	}
	if _, err := io.ReadFull(conn, buf[:2]); err != nil {
		t.Fatal(err)
	}
	n := 2 + int(binary.BigEndian.Uint16(buf))
	if _, err := io.ReadFull(conn, buf[2:n]); err != nil {
		t.Fatal(err)
	}
	return buf[:n]
}

// Response rate limiting looks at the client, not at the front end that all of them share.
func TestProxiedRateLimit(t *testing.T) {
	s := newServer(t, fromFrontEnd(Options{RateLimit: rrl.Options{Answers: 1, Slip: 1000}}))
	s.Store(newSnapshot(t, "192.0.2.1"))
	w := s.newWorker(newCounters(false), wire.UDP)
	w.rate, w.proxies = s.rate, s.opts.ProxyFrom
	query, err := new(dns.Msg).SetQuestion("static.shop.example.", dns.TypeA).Pack()
	if err != nil {
		t.Fatal(err)
	}
	ask := func(client string) bool {
		req, from, ok := w.unwrap(append([]byte(header(client)), query...), netip.MustParseAddrPort(frontEnd+":53"))
		if !ok {
			t.Fatal("dropped")
		}
		return w.answer(s.Snapshot(), nil, req, from, make([]byte, maxUDPAnswer)) != nil
	}
	for range 20 {
		ask("192.0.2.1")
	}
	if ask("192.0.2.2") {
		t.Error("who shares the network of one that asks too much gets an answer")
	}
	if !ask("203.0.113.1") {
		t.Error("who has asked nothing gets no answer")
	}
}

// The limit of connections is per client as well, and that of all holds for those that have not said whose they are.
func TestProxiedConnections(t *testing.T) {
	wantLoopbacks(t)
	s := newServer(t, fromFrontEnd(Options{Listen: loopback, MaxConns: 4, MaxConnsPerClient: 2}))
	s.Store(newSnapshot(t, "192.0.2.1"))
	addr, _ := start(t, s)
	query := framed(t, "static.shop.example.", 1)
	open := func(before string) net.Conn {
		conn := dial(t, "tcp", frontEnd, addr)
		if _, err := conn.Write(append([]byte(before), query...)); err != nil {
			t.Fatal(err)
		}
		return conn
	}
	for range 2 {
		receive(t, open(header("192.0.2.1")))
	}
	third := open(header("192.0.2.1"))
	if n, err := io.Copy(io.Discard, third); n > 0 || isTimeout(err) {
		t.Errorf("a third connection of a client: %d octets, %v", n, err)
	}
	other := open(header("192.0.2.2"))
	receive(t, other)
	if st := s.Stats().Conns; st.RejectedClient != 1 || st.Displaced != 0 || st.Open != 3 {
		t.Errorf("%+v", st)
	}
	// Two that say nothing: the second takes the place of the oldest.
	for range 2 {
		dial(t, "tcp", frontEnd, addr)
	}
	receive(t, open(header("192.0.2.3")))
	if st := s.Stats().Conns; st.RejectedClient != 1 || st.Displaced != 2 || st.Open != 4 {
		t.Errorf("%+v", st)
	}
	if _, err := other.Write(query); err != nil {
		t.Error(err)
	}
	receive(t, other)
}

// peered is a connection with an address at the other end.
type peered struct {
	net.Conn
	peer netip.AddrPort
}

func (c peered) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.peer) }

// A front end that does not say whom it speaks for has the idle timeout for all of its header, and the client another
// one for its query.
func TestProxiedPatience(t *testing.T) {
	snap := newSnapshot(t, "192.0.2.1")
	for name, sent := range map[string]string{"nothing": "", "half": header("192.0.2.1")[:20]} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t, fromFrontEnd(Options{IdleTimeout: 3 * time.Second}))
				s.Store(snap)
				p := newPipedFrom(t, s, netip.MustParseAddrPort(frontEnd+":1"))
				send(p, []byte(sent))
				if got := closedAfter(t, p); got != 3*time.Second {
					t.Errorf("closed after %v", got)
				}
				p = newPipedFrom(t, s, netip.MustParseAddrPort(frontEnd+":1"))
				time.Sleep(2 * time.Second)
				send(p, []byte(header("192.0.2.1")))
				if got := closedAfter(t, p); got != 3*time.Second {
					t.Errorf("with a header: closed after %v", got)
				}
				if st := s.Stats(); st.TCP.ProxyAccepted != 1 || st.Conns.Open != 0 {
					t.Errorf("%+v", st)
				}
			})
		})
	}
}

// A look whether somebody listens is not counted as a fault.
func TestProxiedLook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, fromFrontEnd(Options{}))
		p := newPipedFrom(t, s, netip.MustParseAddrPort(frontEnd+":1"))
		p.Close()
		<-p.done
		if got := s.Stats().TCP.ProxyMalformed; got != 0 {
			t.Errorf("%d malformed", got)
		}
	})
}

// Nothing is allocated for a header, a good one or a bad one, or where there is none.
func TestProxiedAllocations(t *testing.T) {
	s := newServer(t, fromFrontEnd(Options{}))
	s.Store(newSnapshot(t, "192.0.2.1"))
	w := s.newWorker(newCounters(false), wire.UDP)
	w.proxies = s.opts.ProxyFrom
	query, err := new(dns.Msg).SetQuestion("static.shop.example.", dns.TypeA).Pack()
	if err != nil {
		t.Fatal(err)
	}
	out := make([]byte, maxUDPAnswer)
	for _, c := range proxyCases {
		packet, from := append([]byte(c.header), query...), netip.MustParseAddrPort(c.from+":53")
		got := testing.AllocsPerRun(100, func() {
			if req, client, ok := w.unwrap(packet, from); ok {
				w.answer(s.Snapshot(), nil, req, client, out)
			}
		})
		if got != 0 {
			t.Errorf("%s: %v allocations", c.name, got)
		}
	}
}

// Networks hold what they should, however an address is written.
func TestProxiesTrust(t *testing.T) {
	p := proxies(fromFrontEnd(Options{}).ProxyFrom)
	for addr, want := range map[string]bool{
		frontEnd: true, "::ffff:" + frontEnd: true, nowhere: false, "2001:db8:53::1": true, "2001:db8:53::1%eth0": true,
		"2001:db8:54::1": false, "::1": false,
	} {
		if got := p.trust(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: %t", addr, got)
		}
	}
	if proxies(nil).trust(netip.MustParseAddr(frontEnd)) || proxies(nil).trust(netip.Addr{}) || p.trust(netip.Addr{}) {
		t.Error("somebody is trusted who was not named")
	}
}
