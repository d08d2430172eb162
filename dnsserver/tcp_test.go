package dnsserver

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"github.com/meridian-gtm/meridian/dnsserver/wire"
)

// piped is a connection to a server that knows no other, inside a synctest bubble.
type piped struct {
	net.Conn               // the client's end
	stop     func()        // ends the server's context
	kill     func()        // ends its patience
	done     chan struct{} // closed when the server is done with the connection
}

func newPiped(t *testing.T, o Options, snap *wire.Snapshot) *piped {
	t.Helper()
	s := newServer(t, o)
	s.Store(snap)
	return newPipedTo(t, s, s.overTCP)
}

// newPipedTo is a connection over a transport of a server.
func newPipedTo(t *testing.T, s *Server, via *stream) *piped {
	t.Helper()
	client, server := net.Pipe()
	return pipe(t, s, client, server, via)
}

// newPipedFrom is a connection from an address.
func newPipedFrom(t *testing.T, s *Server, from netip.AddrPort) *piped {
	t.Helper()
	client, server := net.Pipe()
	return pipe(t, s, client, peered{server, from}, s.overTCP)
}

func pipe(t *testing.T, s *Server, client, server net.Conn, via *stream) *piped {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	kill, killNow := context.WithCancel(context.Background())
	p := &piped{Conn: client, stop: stop, kill: killNow, done: make(chan struct{})}
	conn := s.newConn(server, via)
	go func() {
		defer close(p.done)
		conn.serve(ctx, kill)
	}()
	t.Cleanup(func() { stop(); killNow(); client.Close(); <-p.done })
	return p
}

// framed returns a query with its length in front.
func framed(t *testing.T, name string, id uint16) []byte {
	t.Helper()
	m := new(dns.Msg).SetQuestion(name, dns.TypeA)
	m.Id = id
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...)
}

// receive reads one framed answer.
func receive(t *testing.T, r io.Reader) *dns.Msg {
	t.Helper()
	var prefix [2]byte
	if _, err := io.ReadFull(r, prefix[:]); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, binary.BigEndian.Uint16(prefix[:]))
	if _, err := io.ReadFull(r, b); err != nil {
		t.Fatal(err)
	}
	m := new(dns.Msg)
	if err := m.Unpack(b); err != nil {
		t.Fatal(err)
	}
	return m
}

// send writes without waiting for the reader at the other end of the pipe, who may hang up midway.
func send(w io.Writer, b []byte) { go func() { _, _ = w.Write(b) }() }

// Queries sent without waiting for answers are all answered (RFC 7766 section 6.2.1.1), however the stream is cut
// (RFC 7766 section 8).
func TestTCPPipelining(t *testing.T) {
	snap := newSnapshot(t, "192.0.2.1")
	names := []string{"static.shop.example.", "gone.shop.example.", "big.shop.example.", "www.shop.example."}
	synctest.Test(t, func(t *testing.T) {
		for _, chunk := range []int{1, 7, 1000, 100_000} {
			p := newPiped(t, Options{}, snap)
			const queries = 100
			var stream bytes.Buffer
			for id := range queries {
				stream.Write(framed(t, names[id%len(names)], uint16(id)))
			}
			go func() {
				for stream.Len() > 0 {
					_, _ = p.Write(stream.Next(chunk))
				}
			}()
			seen := map[uint16]bool{}
			for range queries {
				m := receive(t, p)
				if seen[m.Id] || m.Question[0].Name != names[int(m.Id)%len(names)] {
					t.Errorf("answer %d is %v", m.Id, m)
				}
				seen[m.Id] = true
			}
		}
	})
}

// An answer that takes its time does not hold up the others, up to the limit.
func TestTCPOutOfOrder(t *testing.T) {
	snap := newSnapshot(t, "192.0.2.1")
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, Options{MaxPipeline: 2})
		s.Store(snap)
		release := make(chan struct{})
		fast := s.overTCP.workers.New
		s.overTCP.workers.New = func() any {
			w := fast().(*tcpWorker)
			respond := w.respond
			w.respond = func(
				snap *wire.Snapshot, cookies *wire.Cookies, req []byte, c netip.AddrPort, tr wire.Transport, turn uint32,
				out []byte,
			) ([]byte, wire.Meta) {
				if req[1] < 10 { // by ID
					<-release
				}
				return respond(snap, cookies, req, c, tr, turn, out)
			}
			return w
		}
		p := newPipedTo(t, s, s.overTCP)
		var stream []byte
		for _, id := range []uint16{1, 11, 12, 13, 2, 14} {
			stream = append(stream, framed(t, "static.shop.example.", id)...)
		}
		send(p, stream)
		for want := range uint16(3) { // 1 waits in a goroutine of its own, and 2 in the reader
			if m := receive(t, p); m.Id != 11+want {
				t.Errorf("got %d", m.Id)
			}
		}
		late := make(chan *dns.Msg)
		go func() {
			for range 3 {
				late <- receive(t, p)
			}
		}()
		synctest.Wait()
		select {
		case m := <-late:
			t.Errorf("over the limit: got %d", m.Id)
		default:
		}
		close(release)
		seen := map[uint16]bool{}
		for range 3 {
			seen[(<-late).Id] = true
		}
		if !seen[1] || !seen[2] || !seen[14] {
			t.Errorf("got %v", seen)
		}
	})
}

// A client that asks and asks and does not read is not read from any more once its answers fill the room, and loses
// the connection when the time to take them is over.
func TestTCPGreedyClient(t *testing.T) {
	snap := newSnapshot(t, "192.0.2.1")
	synctest.Test(t, func(t *testing.T) {
		p := newPiped(t, Options{WriteTimeout: 4 * time.Second}, snap)
		query := framed(t, "big.shop.example.", 1)
		begin, sent := time.Now(), 0
		for {
			n, err := p.Write(query)
			sent += n
			if err != nil {
				break
			}
		}
		<-p.done
		if got := time.Since(begin); got != 4*time.Second {
			t.Errorf("closed after %v", got)
		}
		// 100 addresses of 16 octets and more each; twice the room, for what is being written.
		if most := 2 * maxPending / 1600 * len(query); sent > most+2*maxTCPQuery {
			t.Errorf("read %d octets of queries, want at most %d", sent, most)
		}
	})
}

// A query as long as a message can be is cut, gets FORMERR, and does not disturb the next.
func TestTCPLongQuery(t *testing.T) {
	snap := newSnapshot(t, "192.0.2.1")
	synctest.Test(t, func(t *testing.T) {
		p := newPiped(t, Options{}, snap)
		long := binary.BigEndian.AppendUint16(nil, 65535)
		m := new(dns.Msg).SetQuestion("static.shop.example.", dns.TypeA)
		m.SetEdns0(4096, false)
		m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_PADDING{Padding: make([]byte, 6000)})
		b, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		long = append(append(long, b...), make([]byte, 65535-len(b))...)
		send(p, append(long, framed(t, "static.shop.example.", 2)...))
		if got := receive(t, p); got.Id != m.Id || got.Rcode != dns.RcodeFormatError {
			t.Errorf("got %v", got)
		}
		if got := receive(t, p); got.Id != 2 || len(got.Answer) != 1 {
			t.Errorf("got %v", got)
		}
	})
}

// closedAfter waits until the server hangs up and returns how long that took.
func closedAfter(t *testing.T, p *piped) time.Duration {
	t.Helper()
	begin := time.Now()
	if n, err := io.Copy(io.Discard, p); err != nil || n > 0 {
		t.Errorf("%d octets, %v", n, err)
	}
	<-p.done
	return time.Since(begin)
}

// A connection lives for the idle timeout after accept and after every answer (RFC 7766 section 6.2.3).
func TestTCPIdle(t *testing.T) {
	snap := newSnapshot(t, "192.0.2.1")
	synctest.Test(t, func(t *testing.T) {
		p := newPiped(t, Options{IdleTimeout: 3 * time.Second}, snap)
		for range 5 {
			time.Sleep(2 * time.Second)
			send(p, framed(t, "static.shop.example.", 1))
			receive(t, p)
		}
		if got := closedAfter(t, p); got != 3*time.Second {
			t.Errorf("closed after %v", got)
		}
	})
}

// A client that sends an octet now and then does not get longer than one that sends nothing.
func TestTCPSlowQuery(t *testing.T) {
	snap := newSnapshot(t, "192.0.2.1")
	synctest.Test(t, func(t *testing.T) {
		p := newPiped(t, Options{IdleTimeout: 3 * time.Second}, snap)
		var sender sync.WaitGroup
		defer sender.Wait()
		sender.Go(func() {
			for _, octet := range framed(t, "static.shop.example.", 1) {
				if _, err := p.Write([]byte{octet}); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		})
		if got := closedAfter(t, p); got != 3*time.Second {
			t.Errorf("closed after %v", got)
		}
	})
}

// A client that does not take its answer loses the connection.
func TestTCPSlowReader(t *testing.T) {
	snap := newSnapshot(t, "192.0.2.1")
	synctest.Test(t, func(t *testing.T) {
		p := newPiped(t, Options{WriteTimeout: 4 * time.Second}, snap)
		begin := time.Now()
		send(p, framed(t, "static.shop.example.", 1))
		<-p.done
		if got := time.Since(begin); got != 4*time.Second {
			t.Errorf("closed after %v", got)
		}
	})
}

// What is no query ends the connection at once: the stream cannot be trusted any more.
func TestTCPGarbage(t *testing.T) {
	snap := newSnapshot(t, "192.0.2.1")
	for name, stream := range map[string][]byte{
		"empty message": {0, 0},
		"short message": {0, 3, 1, 2, 3},
		"an answer":     append([]byte{0, 12, 0, 0, 0x80}, make([]byte, 9)...),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPiped(t, Options{}, snap)
				send(p, stream)
				if got := closedAfter(t, p); got != 0 {
					t.Errorf("closed after %v", got)
				}
			})
		})
	}
}

// At the end a connection has a moment for queries under way and then closes; an answer that is on its way gets there.
func TestTCPDrain(t *testing.T) {
	snap := newSnapshot(t, "192.0.2.1")
	synctest.Test(t, func(t *testing.T) {
		idle := newPiped(t, Options{}, snap)
		idle.stop()
		if got := closedAfter(t, idle); got != drainTime {
			t.Errorf("idle: closed after %v", got)
		}

		young := newPiped(t, Options{DrainTimeout: time.Millisecond}, snap)
		time.Sleep(time.Second)
		young.stop()
		if got := closedAfter(t, young); got != time.Millisecond {
			t.Errorf("young: closed after %v", got)
		}

		busy := newPiped(t, Options{}, snap)
		send(busy, append(framed(t, "static.shop.example.", 1), framed(t, "static.shop.example.", 2)...))
		synctest.Wait() // the server is writing an answer
		busy.stop()
		for range 2 {
			if m := receive(t, busy); len(m.Answer) != 1 {
				t.Errorf("busy: got %v", m)
			}
		}
		send(busy, framed(t, "static.shop.example.", 3))
		if m := receive(t, busy); m.Id != 3 {
			t.Errorf("busy: got %v", m)
		}
		if got := closedAfter(t, busy); got != drainTime {
			t.Errorf("busy: closed after %v", got)
		}

		stuck := newPiped(t, Options{WriteTimeout: time.Hour}, snap)
		send(stuck, framed(t, "static.shop.example.", 1))
		synctest.Wait()
		stuck.stop()
		time.Sleep(time.Minute)
		select {
		case <-stuck.done:
			t.Error("stuck: closed before the drain timeout")
		default:
		}
		stuck.kill()
		<-stuck.done
	})
}

// Run returns although a client takes its answer at no pace at all, once the drain timeout is over.
func TestRunDrains(t *testing.T) {
	s := newServer(t, Options{Listen: loopback, DrainTimeout: 50 * time.Millisecond, WriteTimeout: time.Hour})
	s.Store(newSnapshot(t, "192.0.2.1"))
	addr, stop := start(t, s)
	idle, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	stuck, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer stuck.Close()
	// Ask for more than the sockets' buffers hold and read none of it.
	query := bytes.Repeat(framed(t, "big.shop.example.", 1), 1000)
	_ = stuck.SetWriteDeadline(time.Now().Add(time.Second))
	for {
		if _, err := stuck.Write(query); err != nil {
			break // the server has stopped reading: it is writing
		}
	}
	stop() // fails the test when Run does not return nil, and the test times out when it does not return
	if _, err := idle.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("idle connection: %v", err)
	}
	if got := s.Stats().Conns.Open; got != 0 {
		t.Errorf("%d connections open", got)
	}
}

// failingListener fails every accept until it is closed.
type failingListener struct {
	net.Listener
	accepts int
	closed  chan struct{}
	once    sync.Once
}

func (l *failingListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *failingListener) Accept() (net.Conn, error) {
	l.accepts++
	select {
	case <-l.closed:
		return nil, net.ErrClosed
	default:
		return nil, syscall.EMFILE
	}
}

// A process without file descriptors left keeps trying, at a pace that leaves room for others.
func TestAcceptErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, Options{})
		listener := &failingListener{closed: make(chan struct{})}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.serveTCP(ctx, ctx, listener, s.overTCP); err != nil {
			t.Error(err)
		}
		want := int(time.Second / readErrorPause)
		if got := int(s.Stats().TCP.ReadErrors); got < want || got > want+1 || listener.accepts-got > 1 {
			t.Errorf("%d accepts, %d errors, want %d", listener.accepts, got, want)
		}
	})
}
