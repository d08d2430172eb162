package dnsserver

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"

	"github.com/meridian-gtm/meridian/dnsserver/tap"
	"github.com/meridian-gtm/meridian/dnsserver/wire"
)

// newTestBatch returns a worker and its batch on a loopback socket.
func newTestBatch(tb testing.TB, listen string) (*worker, *batch, *net.UDPAddr) {
	tb.Helper()
	return newTappedBatch(tb, listen, nil)
}

func newTappedBatch(tb testing.TB, listen string, t *tap.Tap) (*worker, *batch, *net.UDPAddr) {
	tb.Helper()
	s := newServer(tb, Options{Listen: []netip.AddrPort{netip.MustParseAddrPort(listen)}, Workers: 1})
	s.Store(newSnapshot(tb, "192.0.2.1"))
	if err := s.Listen(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(s.Close)
	w := s.newWorker(s.udpAll[0], wire.UDP)
	w.tap = t.NewFeed().NewPoint(s.udp[0].localAddr())
	b, err := newBatch(s.udp[0])
	if err != nil {
		tb.Fatal(err)
	}
	to := net.UDPAddrFromAddrPort(s.Addrs()[0])
	if to.IP.IsUnspecified() {
		to.IP = net.IPv4(127, 0, 0, 1)
	}
	return &w, b, to
}

// newClient returns a connected socket.
func newClient(tb testing.TB, to *net.UDPAddr) *net.UDPConn {
	tb.Helper()
	conn, err := net.DialUDP("udp", nil, to)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { conn.Close() })
	_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	return conn
}

// numbered returns a query with an ID.
func numbered(tb testing.TB, name string, id int) []byte {
	tb.Helper()
	m := new(dns.Msg).SetQuestion(name, dns.TypeA)
	m.Id = uint16(id)
	b, err := m.Pack()
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// ids reads answers and returns their IDs.
func ids(tb testing.TB, conn net.Conn, n int) (list []int) {
	tb.Helper()
	buf := make([]byte, 1500)
	for range n {
		got, err := conn.Read(buf)
		if err != nil {
			tb.Fatalf("after %v: %v", list, err)
		}
		var m dns.Msg
		if err := m.Unpack(buf[:got]); err != nil {
			tb.Fatal(err)
		}
		list = append(list, int(m.Id))
	}
	return list
}

// One read takes what is there, up to a batch, and every client gets its own answers in order, whatever lies between
// them: garbage, silence, and the room that earlier and longer packets left behind.
func TestBatch(t *testing.T) {
	for _, listen := range []string{"127.0.0.1:0", "0.0.0.0:0"} {
		w, b, to := newTestBatch(t, listen)
		one, two := newClient(t, to), newClient(t, to)
		for _, total := range []int{1, 50, 3, batchSize + 11, 2} {
			var want [2][]int
			for i := range total {
				conn := []net.Conn{one, two}[i%2]
				packet := numbered(t, []string{"static.shop.example.", "gone.shop.example."}[i%2], i)
				if i%5 == 4 {
					packet = make([]byte, i*10)
					packet[2] = 0x80 // somebody's answer: silence
				} else {
					want[i%2] = append(want[i%2], i)
				}
				if _, err := conn.Write(packet); err != nil {
					t.Fatal(err)
				}
			}
			for left := total; left > 0; left -= b.received {
				if err := b.read(); err != nil {
					t.Fatal(err)
				}
				if want := min(left, batchSize); b.received != want {
					t.Fatalf("%d packets in a batch, want %d", b.received, want)
				}
				w.answerBatch(b)
			}
			if got := ids(t, one, len(want[0])); !slices.Equal(got, want[0]) {
				t.Errorf("%s: %d packets: got %v, want %v", listen, total, got, want[0])
			}
			if got := ids(t, two, len(want[1])); !slices.Equal(got, want[1]) {
				t.Errorf("%s: %d packets: got %v, want %v", listen, total, got, want[1])
			}
		}
		if st := w.server.Stats().UDP; st.WriteErrors != 0 || st.ReadErrors != 0 {
			t.Errorf("%+v", st)
		}
	}
}

// Answers that the kernel refuses do not take the others with them.
func TestBatchRefusedAnswers(t *testing.T) {
	for _, refused := range [][]int{{0}, {2}, {5}, {0, 1}, {1, 2, 4}, {4, 5}, {0, 1, 2, 3, 4, 5}} {
		w, b, to := newTestBatch(t, "127.0.0.1:0")
		conn := newClient(t, to)
		var want []int
		for i := range 6 {
			if _, err := conn.Write(numbered(t, "static.shop.example.", i)); err != nil {
				t.Fatal(err)
			}
			if !slices.Contains(refused, i) {
				want = append(want, i)
			}
		}
		if err := b.read(); err != nil || b.received != 6 {
			t.Fatalf("%d packets, %v", b.received, err)
		}
		for _, i := range refused {
			b.peers[i].Port = 0 // EINVAL, as for a query from port 0
			if i%2 == 0 {
				b.peers[i].Family = unix.AF_INET6 // EAFNOSUPPORT
			}
		}
		w.answerBatch(b)
		if got := ids(t, conn, len(want)); !slices.Equal(got, want) {
			t.Errorf("%v refused: got %v", refused, got)
		}
		if got := w.server.Stats().UDP.WriteErrors; got != uint64(len(refused)) {
			t.Errorf("%v refused: %d write errors", refused, got)
		}
	}
}

// A full socket buffer is waited for, up to the write deadline; what is not sent then is counted, and not sent twice.
func TestBatchDeadline(t *testing.T) {
	w, b, to := newTestBatch(t, "127.0.0.1:0")
	conn := newClient(t, to)
	for i := range 3 {
		if _, err := conn.Write(numbered(t, "static.shop.example.", i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.read(); err != nil || b.received != 3 {
		t.Fatalf("%d packets, %v", b.received, err)
	}
	if err := b.socket.SetWriteDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	w.answerBatch(b)
	if got := w.server.Stats().UDP.WriteErrors; got != 3 {
		t.Errorf("%d write errors", got)
	}
	if err := b.socket.SetWriteDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write(numbered(t, "static.shop.example.", 9)); err != nil {
		t.Fatal(err)
	}
	if err := b.read(); err != nil {
		t.Fatal(err)
	}
	w.answerBatch(b)
	if got := ids(t, conn, 1); got[0] != 9 {
		t.Errorf("got %v", got)
	}
}

// A kernel without the system calls is found out before anything is read.
func TestBatchUnknownCall(t *testing.T) {
	_, b, to := newTestBatch(t, "127.0.0.1:0")
	if _, err := newClient(t, to).Write([]byte{1}); err != nil {
		t.Fatal(err)
	}
	b.recvmmsg = func(uintptr) bool { b.errno = unix.ENOSYS; return true }
	if err := b.read(); err != errNoBatches || b.received != 0 {
		t.Errorf("%d packets, %v", b.received, err)
	}
}

// Reading, answering and sending a batch allocates nothing that wire does not, on either kind of socket, whether somebody
// watches or not, and whether they keep up or not.
func TestBatchAllocations(t *testing.T) {
	every, err := tap.New(tap.Output{Sink: new(countingSink), Sample: 1}, tap.Output{Sink: new(countingSink), Sample: 7})
	if err != nil {
		t.Fatal(err)
	}
	stuck, err := tap.New(tap.Output{Sink: new(countingSink), Sample: 1})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { every.Run(ctx) })
	defer running.Wait()
	defer cancel()
	for _, tt := range []struct {
		listen string
		tap    *tap.Tap
	}{
		{"127.0.0.1:0", nil}, {"0.0.0.0:0", nil}, {"127.0.0.1:0", every}, {"0.0.0.0:0", every}, {"127.0.0.1:0", stuck},
	} {
		listen := tt.listen
		w, b, to := newTappedBatch(t, listen, tt.tap)
		conn := newClient(t, to)
		query, buf := newCookieQuery(t, "static.shop.example.", clientCookie), make([]byte, 512)
		r, snap, out := w.server.responder.Clone(), w.server.Snapshot(), make([]byte, maxUDPAnswer)
		const packets = 16
		bare := testing.AllocsPerRun(100, func() {
			for range packets {
				r.Respond(snap, w.server.cookies.now.Load(), query, loopback[0], wire.UDP, 0, out)
			}
		})
		got := testing.AllocsPerRun(100, func() {
			for range packets {
				if _, err := conn.Write(query); err != nil {
					t.Fatal(err)
				}
			}
			for n := 0; n < packets; n += b.received {
				if err := b.read(); err != nil {
					t.Fatal(err)
				}
				w.answerBatch(b)
			}
			for range packets {
				if _, err := conn.Read(buf); err != nil {
					t.Fatal(err)
				}
			}
		})
		if n := w.server.Stats().UDP.Cookies.Client; n == 0 {
			t.Errorf("%s: no cookies", listen)
		}
		if got > bare {
			t.Errorf("%s, tap %v: %v allocations for %d packets, %v of them in wire", listen, tt.tap != nil, got, packets, bare)
		}
	}
	if stuck.Lost() == 0 {
		t.Error("a tap that nobody empties has lost nothing")
	}
}

// countingSink counts what it gets.
type countingSink struct{ n int }

func (s *countingSink) Take(*tap.Exchange) { s.n++ }
