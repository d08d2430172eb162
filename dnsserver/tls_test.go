package dnsserver

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"github.com/meridian-gtm/meridian/dnsserver/keypair"
	"github.com/meridian-gtm/meridian/dnsserver/keypair/keypairtest"
	"github.com/meridian-gtm/meridian/dnsserver/wire"
)

const dotName = "ns1.shop.example"

// newPair returns a certificate for dotName, clients that trust it alone, and its file.
func newPair(tb testing.TB) (pair *tls.Certificate, client *tls.Config, file string) {
	tb.Helper()
	fresh := keypairtest.Fresh(tb, dotName)
	p, err := keypair.Load(fresh.Write(tb, tb.TempDir()))
	if err != nil {
		tb.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(p.Certificate.Leaf)
	return p.Certificate, &tls.Config{RootCAs: roots, ServerName: dotName, NextProtos: []string{"dot"}}, p.File
}

// startTLS runs a server over UDP, TCP and TLS and returns where.
func startTLS(tb testing.TB, s *Server, pair *tls.Certificate) (clear, overTLS string) {
	tb.Helper()
	if pair != nil {
		s.SetCertificate(pair)
	}
	if s.Snapshot() == nil {
		s.Store(newSnapshot(tb, "192.0.2.1"))
	}
	clear, _ = start(tb, s)
	return clear, s.TLSAddrs()[0].String()
}

func dialTLS(tb testing.TB, addr string, config *tls.Config) *tls.Conn {
	tb.Helper()
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: 10 * time.Second}, "tcp", addr, config)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	return conn
}

// Over TLS there are the same answers as over TCP (RFC 7858 section 3.3), to clients that verify the certificate
// (RFC 8310 section 8), with either version of TLS and with or without the name of the protocol; not to those that come
// for another protocol or with an older version.
func TestDoT(t *testing.T) {
	pair, trusting, _ := newPair(t)
	s := newServer(t, Options{Listen: loopback, ListenTLS: loopback})
	clear, addr := startTLS(t, s, pair)
	for name, change := range map[string]func(*tls.Config){
		"1.3":     func(c *tls.Config) { c.MinVersion = tls.VersionTLS13 },
		"1.2":     func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 },
		"no ALPN": func(c *tls.Config) { c.NextProtos = nil },
		"no SNI":  func(c *tls.Config) { c.ServerName, c.InsecureSkipVerify = "", true },
	} {
		config := trusting.Clone()
		change(config)
		conn := dialTLS(t, addr, config)
		tcp := dial(t, "tcp", frontEnd, clear)
		for _, owner := range []string{"static.shop.example.", "GONE.shop.example.", "big.shop.example.", "placed.shop.example."} {
			query := framed(t, owner, 1)
			if got, want := exchange(t, conn, "tcp", query), exchange(t, tcp, "tcp", query); !bytes.Equal(got, want) {
				t.Errorf("%s: %s: %x, over TCP %x", name, owner, got, want)
			}
		}
	}
	for name, change := range map[string]func(*tls.Config){
		"1.1":              func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 },
		"another protocol": func(c *tls.Config) { c.NextProtos = []string{"h2", "http/1.1"} },
	} {
		config := trusting.Clone()
		change(config)
		if conn, err := tls.Dial("tcp", addr, config); err == nil {
			t.Errorf("%s: connected", name)
			conn.Close()
		}
	}
	if want := (HandshakeStats{Full: 4, Failed: 2}); !soon(t, func() bool { return s.Stats().TLS == want }) {
		t.Errorf("%+v, want %+v", s.Stats().TLS, want)
	}
	st := s.Stats()
	if st.DoT.Answered() != 16 || st.TCP.Answered() != 16 ||
		st.DoT.Rcodes["NXDOMAIN"] != 4 || st.Services["placed"].Policy != 8 {
		t.Errorf("over TLS %+v\nTCP %+v\n%v", st.DoT, st.TCP, st.Services)
	}
}

// Queries sent without waiting are all answered, and many clients at once.
func TestDoTPipelining(t *testing.T) {
	pair, trusting, _ := newPair(t)
	s := newServer(t, Options{Listen: loopback, ListenTLS: loopback, MaxPipeline: 4})
	_, addr := startTLS(t, s, pair)
	names := []string{"static.shop.example.", "gone.shop.example.", "big.shop.example.", "www.shop.example."}
	var clients sync.WaitGroup
	for range 4 {
		conn := dialTLS(t, addr, trusting)
		clients.Go(func() {
			const queries = 100
			var stream []byte
			for id := range queries {
				stream = append(stream, framed(t, names[id%len(names)], uint16(id))...)
			}
			for chunk := range slices.Chunk(stream, 333) {
				if _, err := conn.Write(chunk); err != nil {
					t.Error(err)
					return
				}
			}
			seen := map[uint16]bool{}
			for range queries {
				m := new(dns.Msg)
				if err := m.Unpack(exchange(t, conn, "tcp", nil)[2:]); err != nil || seen[m.Id] || m.Question[0].Name != names[int(m.Id)%len(names)] {
					t.Errorf("answer %d is %v, %v", m.Id, m, err)
				}
				seen[m.Id] = true
			}
		})
	}
	clients.Wait()
}

// A new certificate is shown to those who connect from then on; who is connected stays so, and nobody is turned away
// meanwhile.
func TestDoTCertificateSwap(t *testing.T) {
	first, trustingFirst, _ := newPair(t)
	second, trustingSecond, _ := newPair(t)
	s := newServer(t, Options{Listen: loopback, ListenTLS: loopback})
	_, addr := startTLS(t, s, first)
	query := framed(t, "static.shop.example.", 1)
	old := dialTLS(t, addr, trustingFirst)
	receiveAfter(t, old, query)

	either := trustingFirst.Clone()
	either.RootCAs = either.RootCAs.Clone()
	either.RootCAs.AddCert(second.Leaf)
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for range 20 {
				conn, err := tls.Dial("tcp", addr, either)
				if err != nil {
					t.Error(err)
					return
				}
				_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
				receiveAfter(t, conn, query)
				conn.Close()
			}
		})
	}
	done := make(chan struct{})
	go func() { clients.Wait(); close(done) }()
	for swapping := true; swapping; {
		s.SetCertificate(second)
		s.SetCertificate(first)
		select {
		case <-done:
			swapping = false
		default:
			pause(t.Context(), time.Millisecond)
		}
	}
	s.SetCertificate(second)
	receiveAfter(t, dialTLS(t, addr, trustingSecond), query)
	if conn, err := tls.Dial("tcp", addr, trustingFirst); err == nil {
		t.Error("the old certificate is still shown")
		conn.Close()
	}
	receiveAfter(t, old, query)
}

func receiveAfter(t *testing.T, conn net.Conn, query []byte) *dns.Msg {
	t.Helper()
	m := new(dns.Msg)
	if err := m.Unpack(exchange(t, conn, "tcp", query)[2:]); err != nil {
		t.Error(err)
	}
	return m
}

// A client that comes again resumes its session, also across a change of the certificate.
func TestDoTResumption(t *testing.T) {
	pair, trusting, _ := newPair(t)
	next, _, _ := newPair(t)
	s := newServer(t, Options{Listen: loopback, ListenTLS: loopback})
	_, addr := startTLS(t, s, pair)
	trusting.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	for i := range 3 {
		if i == 2 {
			s.SetCertificate(next)
		}
		conn := dialTLS(t, addr, trusting)
		receiveAfter(t, conn, framed(t, "static.shop.example.", 1)) // the ticket came before it
		conn.Close()
		if got := conn.ConnectionState().DidResume; got != (i > 0) {
			t.Errorf("connection %d: resumed %t", i, got)
		}
	}
	if got := s.Stats().TLS; got != (HandshakeStats{Full: 1, Resumed: 2}) {
		t.Errorf("%+v", got)
	}
}

// Clients that begin a handshake and do not go on hold up nobody else.
func TestDoTStalledHandshakes(t *testing.T) {
	wantLoopbacks(t)
	pair, trusting, _ := newPair(t)
	s := newServer(t, Options{Listen: loopback, ListenTLS: loopback, MaxConns: 20})
	_, addr := startTLS(t, s, pair)
	for i := range 30 { // more than there may be: the oldest make room
		conn := dial(t, "tcp", []string{inOffice, nowhere}[i%2], addr)
		if i%3 == 0 {
			if _, err := conn.Write([]byte{22, 3, 1, 2}); err != nil {
				t.Fatal(err)
			}
		}
	}
	receiveAfter(t, dialTLS(t, addr, trusting), framed(t, "static.shop.example.", 1))
	if st := s.Stats().Conns; st.Open > 20 || st.Displaced < 11 {
		t.Errorf("%+v", st)
	}
}

// pipedTLS is a connection over TLS, of which the client has not begun the handshake, inside a synctest bubble.
func pipedTLS(t *testing.T, o Options, snap *wire.Snapshot, pair *tls.Certificate) (*Server, *piped, *tls.Conn) {
	t.Helper()
	s := newServer(t, o)
	s.Store(snap)
	s.SetCertificate(pair)
	p := newPipedTo(t, s, s.overTLS)
	return s, p, tls.Client(p.Conn, &tls.Config{InsecureSkipVerify: true}) // the bubble's clock stands before the pair's
}

// The handshake has the idle timeout, all of it, and then every query has. A client that does not read loses the
// connection, too.
func TestDoTTimeouts(t *testing.T) {
	snap := newSnapshot(t, "192.0.2.1")
	pair, _, _ := newPair(t)
	o := Options{IdleTimeout: 3 * time.Second, WriteTimeout: 2 * time.Second}
	t.Run("handshake", func(t *testing.T) {
		for name, step := range map[string]time.Duration{"silent": time.Hour, "slow": time.Second} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s, p, _ := pipedTLS(t, o, snap, pair)
					go func() {
						for _, octet := range []byte{22, 3, 1, 2, 0, 1, 0, 1} {
							time.Sleep(step)
							if _, err := p.Write([]byte{octet}); err != nil {
								return
							}
						}
					}()
					begin := time.Now()
					_, _ = io.Copy(io.Discard, p) // an alert, maybe
					<-p.done
					if got := time.Since(begin); got != 3*time.Second {
						t.Errorf("closed after %v", got)
					}
					if got := s.Stats(); got.TLS.Failed != 1 || got.Conns.Open != 0 {
						t.Errorf("%+v", got)
					}
					time.Sleep(2 * time.Hour) // the writer gives up
				})
			})
		}
	})
	t.Run("idle", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			_, p, conn := pipedTLS(t, o, snap, pair)
			time.Sleep(2 * time.Second)
			for range 3 {
				if m := receiveAfter(t, conn, asking(t, &dns.EDNS0_TCP_KEEPALIVE{Code: dns.EDNS0TCPKEEPALIVE})); !slices.Equal(keepalives(m), []uint16{30}) {
					t.Errorf("got %v", m)
				}
				time.Sleep(2 * time.Second)
			}
			begin := time.Now()
			if n, err := conn.Read(make([]byte, 1)); err != io.EOF || n > 0 { // and not cut off: RFC 8446 section 6.1
				t.Errorf("%d octets, %v", n, err)
			}
			if got := time.Since(begin); got != time.Second {
				t.Errorf("closed after %v", got)
			}
			conn.Close()
			<-p.done
		})
	})
	t.Run("not reading", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			_, p, conn := pipedTLS(t, o, snap, pair)
			receiveAfter(t, conn, framed(t, "static.shop.example.", 1)) // and the session ticket
			if _, err := conn.Write(framed(t, "static.shop.example.", 2)); err != nil {
				t.Fatal(err)
			}
			begin := time.Now()
			<-p.done
			if got := time.Since(begin); got != 2*time.Second {
				t.Errorf("closed after %v", got)
			}
		})
	})
	t.Run("drain", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			_, p, conn := pipedTLS(t, Options{DrainTimeout: time.Minute}, snap, pair)
			receiveAfter(t, conn, framed(t, "static.shop.example.", 1))
			time.Sleep(time.Second)
			p.stop()
			if m := receiveAfter(t, conn, asking(t, &dns.EDNS0_TCP_KEEPALIVE{Code: dns.EDNS0TCPKEEPALIVE})); !slices.Equal(keepalives(m), []uint16{0}) {
				t.Errorf("got %v", m)
			}
			if n, err := conn.Read(make([]byte, 1)); err != io.EOF || n > 0 {
				t.Errorf("%d octets, %v", n, err)
			}
			conn.Close()
			<-p.done
		})
	})
}

// Connections over TCP and over TLS have one limit.
func TestDoTConnections(t *testing.T) {
	pair, trusting, _ := newPair(t)
	s := newServer(t, Options{Listen: loopback, ListenTLS: loopback, MaxConns: 10, MaxConnsPerClient: 2})
	clear, addr := startTLS(t, s, pair)
	query := framed(t, "static.shop.example.", 1)
	receiveAfter(t, dialTLS(t, addr, trusting), query)
	receiveAfter(t, dial(t, "tcp", frontEnd, clear), query)
	if conn, err := tls.Dial("tcp", addr, trusting); err == nil {
		t.Error("a third connection of one client")
		conn.Close()
	}
	if st := s.Stats().Conns; st.Accepted != 2 || st.RejectedClient != 1 {
		t.Errorf("%+v", st)
	}
}

// Without a certificate there is no connection over TLS, and everything else works.
func TestDoTWithoutCertificate(t *testing.T) {
	_, trusting, _ := newPair(t)
	s := newServer(t, Options{Listen: loopback, ListenTLS: loopback})
	clear, addr := startTLS(t, s, nil)
	if conn, err := tls.Dial("tcp", addr, trusting); err == nil {
		t.Error("connected")
		conn.Close()
	}
	if m := ask(t, "tcp", clear, "static.shop.example. A"); len(m.Answer) != 1 {
		t.Errorf("got %v", m)
	}
}

// A front end's header comes in clear, before the handshake that it knows nothing of; one from elsewhere ends it.
func TestDoTProxied(t *testing.T) {
	wantLoopbacks(t)
	pair, trusting, _ := newPair(t)
	s := newServer(t, fromFrontEnd(Options{Listen: loopback, ListenTLS: loopback}))
	_, addr := startTLS(t, s, pair)
	for _, c := range proxyCases {
		raw := dial(t, "tcp", c.from, addr)
		if _, err := io.WriteString(raw, c.header); err != nil {
			t.Fatal(err)
		}
		conn := tls.Client(raw, trusting)
		err := conn.Handshake()
		if (err == nil) != (c.want != "") {
			t.Errorf("%s: %v", c.name, err)
		}
		if err != nil {
			continue
		}
		if got := addresses(receiveAfter(t, conn, framed(t, "placed.shop.example.", 1))); len(got) != 1 || got[0] != c.want {
			t.Errorf("%s: got %v, want %s", c.name, got, c.want)
		}
	}
	wantProxied(t, func() TrafficStats { return s.Stats().DoT })
}

// A server takes over from another while clients connect, and none is turned away.
func TestDoTTakeOver(t *testing.T) {
	if !canShare {
		t.Skip("addresses are not shared here")
	}
	pair, _, _ := newPair(t)
	snap := newSnapshot(t, "192.0.2.1")
	listen := []netip.AddrPort{netip.MustParseAddrPort("127.0.0.78:0")}
	old := newServer(t, Options{Listen: listen, ListenTLS: listen})
	old.SetCertificate(pair)
	old.Store(snap)
	_, stop := start(t, old)
	load := newLoad(t, old.TLSAddrs()[0].String(), "tcp-tls", "tcp-tls")
	load.wait(t, 10)
	next := newServer(t, Options{Listen: old.Addrs(), ListenTLS: old.TLSAddrs(), TakeOver: true})
	next.SetCertificate(pair)
	next.Store(snap)
	start(t, next)
	load.wait(t, 10)
	stop()
	load.wait(t, 10)
	if next.Stats().DoT.Answered() < 10 {
		t.Errorf("%+v", next.Stats().DoT)
	}
}

// kdig, which asks for padding and verifies the name, as a resolver with a strict profile does (RFC 8310 section 5).
func TestDoTKdig(t *testing.T) {
	kdig, err := exec.LookPath("kdig")
	if err != nil {
		t.Skip("NOT ASKED BY kdig:", err)
	}
	pair, _, file := newPair(t)
	s := newServer(t, Options{Listen: loopback, ListenTLS: loopback})
	_, addr := startTLS(t, s, pair)
	_, port, _ := strings.Cut(addr, ":")
	ask := func(name string, more ...string) (string, error) {
		args := append([]string{"@127.0.0.1", "-p", port, "+tls-ca=" + file, "+tls-hostname=" + name, "+timeout=5", "+retry=0"}, more...)
		out, err := exec.Command(kdig, args...).CombinedOutput()
		return string(out), err
	}
	out, err := ask(dotName, "+padding", "+keepopen", "static.shop.example", "A", "big.shop.example", "A")
	if err != nil || !strings.Contains(out, "192.0.2.1") || strings.Count(out, "status: NOERROR") != 2 || strings.Count(out, "PADDING") != 2 {
		t.Errorf("%v:\n%s", err, out)
	}
	if out, err := ask("ns2.shop.example", "static.shop.example", "A"); strings.Contains(out, "NOERROR") {
		t.Errorf("with another name: %v:\n%s", err, out)
	}
	if got := s.Stats(); got.DoT.Answered() != 2 {
		t.Errorf("%+v", got.DoT)
	}
}

// Answers to those who ask for it are padded to whole blocks over TLS, where their length is all that an onlooker sees
// (RFC 8467 section 4.1), and not in clear (RFC 7830 section 6).
func TestPadding(t *testing.T) {
	pair, trusting, _ := newPair(t)
	s := newServer(t, Options{Listen: loopback, ListenTLS: loopback})
	clear, addr := startTLS(t, s, pair)
	padding, keepalive := &dns.EDNS0_PADDING{Padding: make([]byte, 7)}, &dns.EDNS0_TCP_KEEPALIVE{Code: dns.EDNS0TCPKEEPALIVE}
	conn, tcp := dialTLS(t, addr, trusting), dial(t, "tcp", frontEnd, clear)
	for _, name := range []string{"static.shop.example.", "gone.shop.example.", "big.shop.example.", "elsewhere.example."} {
		for _, options := range [][]dns.EDNS0{nil, {}, {keepalive}, {padding}, {padding, keepalive}} {
			m := new(dns.Msg).SetQuestion(name, dns.TypeA)
			if options != nil {
				m.SetEdns0(1232, false)
				m.IsEdns0().Option = options
			}
			query, err := m.Pack()
			if err != nil {
				t.Fatal(err)
			}
			query = append(binary.BigEndian.AppendUint16(nil, uint16(len(query))), query...)
			padded, plain := exchange(t, conn, "tcp", query)[2:], exchange(t, tcp, "tcp", query)[2:]
			if !slices.Contains(options, dns.EDNS0(padding)) {
				if !bytes.Equal(padded, plain) {
					t.Errorf("%s %v: %x, in clear %x", name, options, padded, plain)
				}
				continue
			}
			if len(padded)%paddingBlock != 0 || len(padded)-len(plain) < paddingSize || len(padded)-len(plain) >= paddingBlock+paddingSize {
				t.Errorf("%s %v: %d octets, in clear %d", name, options, len(padded), len(plain))
			}
			var got, want dns.Msg
			if err := got.Unpack(padded); err != nil {
				t.Fatal(err)
			}
			if err := want.Unpack(plain); err != nil {
				t.Fatal(err)
			}
			list := got.IsEdns0().Option
			last, ok := list[len(list)-1].(*dns.EDNS0_PADDING)
			if !ok || len(bytes.Trim(last.Padding, "\x00")) > 0 || len(want.IsEdns0().Option) != len(list)-1 {
				t.Errorf("%s %v: options %v", name, options, list)
			}
			got.IsEdns0().Option = list[:len(list)-1]
			if got.String() != want.String() {
				t.Errorf("%s %v: %v, in clear %v", name, options, &got, &want)
			}
		}
	}
}

// Near the longest message there is room for what there is room for.
func TestAppendPadding(t *testing.T) {
	for _, size := range []int{11 + 12, 467 - paddingSize, 468 - paddingSize, 469 - paddingSize, 65000, 65520 - paddingSize, 65520, wire.MaxSize - paddingSize} {
		answer := make([]byte, size, wire.MaxSize)
		for i := range answer[12 : size-11] {
			answer[12+i] = 0xff // record data, were it read
		}
		// One record with all of it, and the OPT record.
		fill := size - 12 - 11 - 11
		answer[11] = 1
		if fill >= 0 {
			answer[7] = 1
			copy(answer[12:], []byte{0, 0, 16, 0, 1, 0, 0, 0, 0, byte(fill >> 8), byte(fill)})
		}
		copy(answer[size-11:], []byte{0, 0, byte(dns.TypeOPT), 4, 0xd0, 0, 0, 0, 0, 0, 0})
		room := answer[:cap(answer)]
		for i := range room[size:] {
			room[size+i] = 0xee // what an earlier answer left
		}
		got := appendPadding(answer)
		want := min((size+paddingSize+paddingBlock-1)/paddingBlock*paddingBlock, wire.MaxSize)
		options, end, ok := findOPT(got)
		if len(got) != want || !ok || end != want || !hasOption(options, dns.EDNS0PADDING) || &got[0] != &answer[0] ||
			len(bytes.Trim(options[paddingSize:], "\x00")) > 0 {
			t.Errorf("%d octets: %d, want %d", size, len(got), want)
		}
	}
	if got := appendPadding(make([]byte, 12)); len(got) != 12 {
		t.Errorf("without an OPT record: %d octets", len(got))
	}
}

// The longest answers have room for the options that are added to them.
func TestTCPLongestAnswer(t *testing.T) {
	pair, _, _ := newPair(t)
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, Options{})
		s.SetCertificate(pair)
		full := s.overTLS.workers.New
		s.overTLS.workers.New = func() any {
			w := full().(*tcpWorker)
			w.respond = func(_ *wire.Snapshot, _ *wire.Cookies, req []byte, _ netip.AddrPort, _ wire.Transport, _ uint32, out []byte) ([]byte, wire.Meta) {
				answer := out[:cap(out)] // one record of TXT's type and the OPT record
				clear(answer)
				copy(answer, []byte{req[0], req[1], 0x80, 0, 0, 0, 0, 1, 0, 0, 0, 1})
				fill := len(answer) - 12 - 11 - 11
				copy(answer[12:], []byte{0, 0xff, 0xf0, 0, 1, 0, 0, 0, 0, byte(fill >> 8), byte(fill)})
				copy(answer[len(answer)-11:], []byte{0, 0, byte(dns.TypeOPT), 4, 0xd0, 0, 0, 0, 0, 0, 0})
				return answer, wire.Meta{}
			}
			return w
		}
		p := newPipedTo(t, s, s.overTLS)
		conn := tls.Client(p.Conn, &tls.Config{InsecureSkipVerify: true})
		if _, err := conn.Write(asking(t, &dns.EDNS0_TCP_KEEPALIVE{Code: dns.EDNS0TCPKEEPALIVE}, &dns.EDNS0_PADDING{})); err != nil {
			t.Fatal(err)
		}
		m := receive(t, conn)
		if got := keepalives(m); len(got) != 1 || got[0] != 100 || len(m.IsEdns0().Option) != 2 {
			t.Errorf("options %v", m.IsEdns0())
		}
		conn.Close()
		<-p.done
	})
}
