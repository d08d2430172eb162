package gossip

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

const (
	maxStreams     = 128     // inbound, at once
	maxStreamBytes = 4 << 20 // read from one stream: a push/pull of some thousand members fits
)

var (
	errCut       = errors.New("link is cut")
	errLongRead  = fmt.Errorf("stream of more than %d bytes", maxStreamBytes)
	errBigPacket = errors.New("packet too large")
)

// transport stands between memberlist and the network. It counts, bounds packets and streams, gives every stream
// a deadline, and stops what Faults cuts. memberlist gives user messages on a stream no write deadline: a peer that
// is paused would hold them up for ever.
type transport struct {
	inner    memberlist.Transport
	faults   *Faults
	counters *counters
	local    netip.Addr
	lifetime time.Duration // of a stream
	dial     func(addr string, timeout time.Duration) (net.Conn, error)

	packets chan *memberlist.Packet
	streams chan net.Conn
	stop    chan struct{}
	once    sync.Once
	wg      sync.WaitGroup

	mu      sync.Mutex
	open    map[*stream]bool // true = inbound
	inbound int
	closed  bool
}

var _ memberlist.NodeAwareTransport = (*transport)(nil)

// listen opens UDP and TCP on bind.
func listen(bind netip.AddrPort, logger *log.Logger) (*memberlist.NetTransport, error) {
	conf := &memberlist.NetTransportConfig{
		BindAddrs: []string{bind.Addr().String()}, BindPort: int(bind.Port()), Logger: logger,
	}
	// A port that the system chose for TCP may be taken for UDP: ask for another.
	for attempt := 0; ; attempt++ {
		t, err := memberlist.NewNetTransport(conf)
		if err == nil || bind.Port() != 0 || attempt == 9 || !strings.Contains(err.Error(), "address already in use") {
			return t, err
		}
	}
}

// dialFrom makes streams come from the bound address, so that firewalls and Faults know whose they are.
func dialFrom(ctx context.Context, local netip.Addr) func(string, time.Duration) (net.Conn, error) {
	var from net.Addr
	if !local.IsUnspecified() {
		from = net.TCPAddrFromAddrPort(netip.AddrPortFrom(local, 0))
	}
	return func(addr string, timeout time.Duration) (net.Conn, error) {
		d := net.Dialer{LocalAddr: from, Timeout: timeout}
		return d.DialContext(ctx, "tcp", addr)
	}
}

// newTransport wraps inner and starts to pass on what it receives, until Shutdown.
func newTransport(inner memberlist.Transport, faults *Faults, c *counters, local netip.Addr, lifetime time.Duration) *transport {
	t := &transport{
		inner: inner, faults: faults, counters: c, local: local.Unmap(), lifetime: lifetime, dial: inner.DialTimeout,
		packets: make(chan *memberlist.Packet), streams: make(chan net.Conn), stop: make(chan struct{}),
		open: make(map[*stream]bool),
	}
	t.wg.Go(t.passPackets)
	t.wg.Go(t.passStreams)
	return t
}

func (t *transport) FinalAdvertiseAddr(ip string, port int) (net.IP, int, error) {
	return t.inner.FinalAdvertiseAddr(ip, port)
}

func (t *transport) WriteTo(b []byte, addr string) (time.Time, error) {
	if len(b) > maxPacket {
		t.counters.oversize.Add(1)
		return time.Time{}, fmt.Errorf("%w: %d bytes: want at most %d", errBigPacket, len(b), maxPacket)
	}
	if peer, err := netip.ParseAddrPort(addr); err == nil && t.faults.cut(peer, Out) {
		t.counters.cut.Add(1)
		return time.Now(), nil // lost, as packets are
	}
	t.counters.packetsOut.Add(1)
	t.counters.packetBytesOut.Add(uint64(len(b)))
	raise(&t.counters.largestPacketOut, uint64(len(b)))
	return t.inner.WriteTo(b, addr)
}

func (t *transport) WriteToAddress(b []byte, a memberlist.Address) (time.Time, error) {
	return t.WriteTo(b, a.Addr)
}

func (t *transport) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	if peer, err := netip.ParseAddrPort(addr); err == nil && t.faults.cut(peer, Both) {
		t.counters.cut.Add(1)
		return nil, fmt.Errorf("dial %s: %w", addr, errCut)
	}
	conn, err := t.dial(addr, min(timeout, t.lifetime))
	if err != nil {
		return nil, err
	}
	s := t.wrap(conn, false)
	if s == nil {
		return nil, fmt.Errorf("dial %s: %w", addr, net.ErrClosed)
	}
	t.counters.streamsOut.Add(1)
	return s, nil
}

func (t *transport) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	return t.DialTimeout(a.Addr, timeout)
}

func (t *transport) PacketCh() <-chan *memberlist.Packet { return t.packets }
func (t *transport) StreamCh() <-chan net.Conn           { return t.streams }

// Shutdown closes the inner transport while still reading from it, as it may wait for what it is handing over, and
// every stream.
func (t *transport) Shutdown() error {
	err := t.inner.Shutdown()
	t.mu.Lock()
	t.closed = true
	for s := range t.open {
		_ = s.Conn.Close()
	}
	t.mu.Unlock()
	t.once.Do(func() { close(t.stop) })
	t.wg.Wait()
	return err
}

func (t *transport) passPackets() {
	for {
		select {
		case <-t.stop:
			return
		case p := <-t.inner.PacketCh():
			if t.faults.cut(addrPort(p.From), In) {
				t.counters.cut.Add(1)
				continue
			}
			t.counters.packetsIn.Add(1)
			t.counters.packetBytesIn.Add(uint64(len(p.Buf)))
			select {
			case t.packets <- p:
			case <-t.stop:
				return
			}
		}
	}
}

func (t *transport) passStreams() {
	for {
		select {
		case <-t.stop:
			return
		case conn := <-t.inner.StreamCh():
			from := addrPort(conn.RemoteAddr()).Addr().Unmap()
			if from != t.local && t.faults.cutFrom(from) {
				t.counters.cut.Add(1)
				_ = conn.Close()
				continue
			}
			s := t.wrap(conn, true)
			if s == nil {
				t.counters.overflow.Add(1)
				continue
			}
			t.counters.streamsIn.Add(1)
			select {
			case t.streams <- s:
			case <-t.stop:
				_ = s.Close()
				return
			}
		}
	}
}

func addrPort(a net.Addr) netip.AddrPort {
	if u, ok := a.(*net.UDPAddr); ok {
		return plain(u.AddrPort())
	}
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.AddrPort{}
	}
	return plain(ap)
}

// stream is a connection with a lifetime, a bound and counters.
type stream struct {
	net.Conn
	t    *transport
	end  time.Time
	left int64 // bytes that may still be read; one goroutine reads
}

// wrap closes conn and returns nil when there are too many inbound streams, or after Shutdown.
func (t *transport) wrap(conn net.Conn, inbound bool) *stream {
	s := &stream{Conn: conn, t: t, end: time.Now().Add(t.lifetime), left: maxStreamBytes}
	_ = conn.SetDeadline(s.end)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed || (inbound && t.inbound >= maxStreams) {
		_ = conn.Close()
		return nil
	}
	t.open[s] = inbound
	if inbound {
		t.inbound++
	}
	return s
}

func (s *stream) Read(b []byte) (int, error) {
	if s.left <= 0 {
		return 0, errLongRead
	}
	n, err := s.Conn.Read(b[:min(int64(len(b)), s.left)])
	s.left -= int64(n)
	s.t.counters.streamBytesIn.Add(uint64(n))
	return n, err
}

func (s *stream) Write(b []byte) (int, error) {
	n, err := s.Conn.Write(b)
	s.t.counters.streamBytesOut.Add(uint64(n))
	return n, err
}

// SetDeadline may shorten the lifetime, not prolong it.
func (s *stream) SetDeadline(at time.Time) error {
	if at.IsZero() || at.After(s.end) {
		at = s.end
	}
	return s.Conn.SetDeadline(at)
}

func (s *stream) Close() error {
	s.t.mu.Lock()
	if inbound, ok := s.t.open[s]; ok {
		delete(s.t.open, s)
		if inbound {
			s.t.inbound--
		}
	}
	s.t.mu.Unlock()
	return s.Conn.Close()
}
