package dnsserver

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// One server takes over from another, and a third from that, under load: every query is answered, whatever it is sent
// over, by a client that keeps its port or one that takes a new one each time.
func TestTakeOver(t *testing.T) {
	if !canShare {
		t.Skip("not on", runtime.GOOS)
	}
	for _, listen := range []string{"127.0.0.79:0", "0.0.0.0:0"} {
		t.Run(listen, func(t *testing.T) {
			snap := newSnapshot(t, "192.0.2.1")
			// A fixed port: the first server finds it, the others take it over.
			old := newServer(t, Options{Listen: []netip.AddrPort{netip.MustParseAddrPort(listen)}, Workers: 3})
			old.Store(snap)
			_, stop := start(t, old)
			bound := old.Addrs()[0]
			asked := net.TCPAddr{IP: net.IPv4(127, 0, 0, 79), Port: int(bound.Port())}

			load := newLoad(t, asked.String(), "udp", "udp", "udp many ports", "udp many ports", "tcp", "tcp")
			load.wait(t, 30)
			for range 3 {
				next := newServer(t, Options{Listen: []netip.AddrPort{bound}, Workers: 2, TakeOver: true})
				next.Store(snap)
				_, stopNext := start(t, next)
				load.wait(t, 30)
				if st := next.Stats(); st.UDP.Answered() == 0 || st.Conns.Accepted == 0 {
					t.Errorf("beside the old server: %+v; old %+v", st, old.Stats())
				}
				stop()
				before := load.asked.Load()
				own := next.Stats()
				load.wait(t, 30)
				now := next.Stats()
				answered := now.UDP.Answered() + now.TCP.Answered() - own.UDP.Answered() - own.TCP.Answered()
				if asked := load.asked.Load() - before; answered+12 < asked { // six clients at either end
					t.Errorf("the old server has ended, and the new one answered %d of %d queries", answered, asked)
				}
				old, stop = next, stopNext
			}
		})
	}
}

// load is clients that ask one query after the other.
type load struct {
	asked atomic.Uint64

	mu     sync.Mutex
	change sync.Cond
	counts []int // queries answered, by client
	err    error // the first
}

// newLoad asks, a query per millisecond and client at most, until the test ends. A client has a network and, if it is
// one of "many ports", many sockets in turn, which the kernel spreads over those of the server; over TCP every query
// has a connection of its own.
func newLoad(t *testing.T, addr string, clients ...string) *load {
	l := &load{counts: make([]int, len(clients))}
	l.change.L = &l.mu
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	for i, client := range clients {
		network, many, _ := strings.Cut(client, " ")
		conns := make([]*dns.Conn, 1)
		if many != "" {
			conns = make([]*dns.Conn, 50)
		}
		group.Go(func() {
			pace := time.NewTicker(time.Millisecond)
			defer pace.Stop()
			for n := 0; ctx.Err() == nil; n++ {
				conn := &conns[n%len(conns)]
				err := l.ask(conn, network, addr)
				if *conn != nil && (err != nil || network != "udp") {
					(*conn).Close()
					*conn = nil
				}
				l.mu.Lock()
				l.counts[i]++
				if l.err == nil && err != nil {
					l.err = fmt.Errorf("%s: query %d: %w", client, l.counts[i], err)
				}
				l.mu.Unlock()
				l.change.Signal()
				<-pace.C
			}
			for _, conn := range conns {
				if conn != nil {
					conn.Close()
				}
			}
		})
	}
	t.Cleanup(func() { cancel(); group.Wait() })
	return l
}

// ask asks over conn, or over a new connection.
func (l *load) ask(conn **dns.Conn, network, addr string) (err error) {
	client := dns.Client{Net: network, Timeout: 5 * time.Second, TLSConfig: &tls.Config{InsecureSkipVerify: true}}
	if *conn == nil {
		if *conn, err = client.Dial(addr); err != nil {
			*conn = nil
			return err
		}
	}
	l.asked.Add(1)
	m, _, err := client.ExchangeWithConn(new(dns.Msg).SetQuestion("static.shop.example.", dns.TypeA), *conn)
	if err == nil && len(m.Answer) != 1 {
		err = fmt.Errorf("unexpected answer %v", m)
	}
	return err
}

// wait waits until every client has had n more answers. A query that fails ends the test.
func (l *load) wait(t *testing.T, n int) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	begin := slices.Clone(l.counts)
	for i := range l.counts {
		for l.counts[i] < begin[i]+n && l.err == nil {
			l.change.Wait()
		}
	}
	if l.err != nil {
		t.Fatal(l.err)
	}
}

// Without being told to, a server does not share an address, although the one that has it would.
func TestNoTakeOverUnasked(t *testing.T) {
	listen := []netip.AddrPort{netip.MustParseAddrPort("127.0.0.80:0")}
	first := newServer(t, Options{Listen: listen})
	start(t, first)
	second := newServer(t, Options{Listen: first.Addrs()})
	if err := second.Listen(); err == nil {
		t.Error("two servers share an address")
		second.Close()
	}
}

// A server that is to take over, and finds nobody, simply starts.
func TestTakeOverNobody(t *testing.T) {
	listen := []netip.AddrPort{netip.MustParseAddrPort("127.0.0.81:0")}
	s, err := New(Options{Listen: listen, TakeOver: true})
	if !canShare {
		if err == nil {
			t.Error("no error where addresses are not shared")
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	s.Store(newSnapshot(t, "192.0.2.1"))
	addr, _ := start(t, s)
	ask(t, "udp", addr, "static.shop.example. A")
	ask(t, "tcp", addr, "static.shop.example. A")
}
