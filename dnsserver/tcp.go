package dnsserver

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/meridian-gtm/meridian/dnsserver/proxyproto"
	"github.com/meridian-gtm/meridian/dnsserver/wire"
)

// What ends a connection before its first answer.
var (
	errTooMany   = errors.New("too many connections of one client")
	errUntrusted = errors.New("a PROXY header from elsewhere than front ends")
)

// prefixSize is the length in front of every message (RFC 1035 section 4.2.2), in octets.
const prefixSize = 2

// maxTCPQuery is the longest TCP query read, in octets, as for UDP. What is longer is cut and gets FORMERR: only
// dynamic updates and padding are.
const maxTCPQuery = maxUDPQuery

// maxPending is how many octets of answers may wait for a client before no more of its queries are read.
const maxPending = 64 << 10

// maxSpare is the largest buffer that a connection keeps while it is idle, in octets.
const maxSpare = 4 << 10

// tcpWorker is what one query in progress needs; connections that wait for a query hold none.
type tcpWorker struct {
	worker
	in  [maxTCPQuery]byte
	out [prefixSize + wire.MaxSize]byte // length prefix and answer
}

// stream is what the connections of one transport share.
type stream struct {
	transport wire.Transport
	counters  *counters
	workers   *sync.Pool
}

func (s *Server) newStream(tr wire.Transport) *stream {
	c, feed := newCounters(true), s.opts.Tap.NewFeed()
	return &stream{transport: tr, counters: c, workers: &sync.Pool{New: func() any {
		w := &tcpWorker{worker: s.newWorker(c, tr)}
		w.tap = feed.NewPoint(netip.AddrPort{})
		return w
	}}}
}

// serveTCP accepts connections until ctx ends, and those that the kernel had begun to by then, and returns when the
// last one is gone. The end of kill closes them.
func (s *Server) serveTCP(ctx, kill context.Context, listener net.Listener, via *stream) error {
	defer listener.Close()
	defer context.AfterFunc(kill, func() { listener.Close() })()
	defer context.AfterFunc(ctx, func() {
		if l, ok := listener.(interface{ SetDeadline(time.Time) error }); !ok || l.SetDeadline(s.drainEnd()) != nil {
			listener.Close()
		}
	})()
	var open sync.WaitGroup
	defer open.Wait()
	for {
		conn, err := listener.Accept()
		if err != nil {
			// Out of file descriptors, or the client was gone before it was accepted.
			if end, err := readFailed(ctx, via.counters, err); end {
				return err
			}
			continue
		}
		c := s.newConn(conn, via)
		if c == nil {
			conn.Close()
			continue
		}
		open.Go(func() { c.serve(ctx, kill) })
	}
}

// newConn returns a connection that is counted in, or nil when its client has too many.
func (s *Server) newConn(conn net.Conn, via *stream) *tcpConn {
	c := &tcpConn{Conn: conn, server: s, via: via, begun: time.Now()}
	c.room.L = &c.mu
	c.client, _ = netip.ParseAddrPort(conn.RemoteAddr().String())
	if addr, ok := conn.LocalAddr().(*net.TCPAddr); ok {
		c.local = addr.AddrPort()
	}
	c.proxied = proxies(s.opts.ProxyFrom).trust(c.client.Addr())
	if c.proxied {
		c.slot = s.conns.admitUnknown(conn)
		return c
	}
	if c.slot = s.conns.admit(c.client.Addr(), conn); c.slot == nil {
		return nil
	}
	return c
}

// tcpConn is one client's connection. One goroutine reads queries, and it and others answer them, each when it is done
// (RFC 7766 section 6.2.1.1).
type tcpConn struct {
	net.Conn
	server  *Server
	client  netip.AddrPort
	proxied bool // a front end's: it begins with who the client is
	local   netip.AddrPort
	slot    *connSlot
	via     *stream
	begun   time.Time
	queries *bufio.Reader
	taken   int // octets of the last query, prefix included, which are still to be skipped

	mu      sync.Mutex // guards the rest; not held while writing
	pending []byte     // answers that wait to be written
	spare   []byte     // the next pending
	writing bool
	err     error // of the write that failed
	room    sync.Cond
}

// serve answers the connection's queries, closes it and counts it out. At the end of ctx it answers what has arrived,
// at that of kill nothing more.
func (c *tcpConn) serve(ctx, kill context.Context) {
	conn := c.Conn // without TLS, whose own way to close may wait for the client
	defer c.server.conns.release(c.slot)
	defer func() {
		if !c.waitForRoom() {
			conn.Close() // who does not take answers does not take a farewell
		}
		c.Close()
	}()
	defer context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(c.drainEnd()) })()
	defer context.AfterFunc(kill, func() { conn.Close() })()
	if err := c.open(ctx); err != nil {
		return
	}
	c.queries = bufio.NewReaderSize(c.Conn, prefixSize+maxTCPQuery)

	var others sync.WaitGroup
	defer others.Wait()
	busy := make(chan struct{}, c.server.opts.MaxPipeline-1) // an element for each of the others
	for c.waitForRoom() {
		query, err := c.next(ctx)
		if err != nil {
			return
		}
		w := c.via.workers.Get().(*tcpWorker)
		query = w.in[:copy(w.in[:], query)]
		// A client that waits for its answer, and one that asks too much at once, waits for this goroutine.
		beside := false
		if c.more() {
			select {
			case busy <- struct{}{}:
				beside = true
			default:
			}
		}
		if !beside {
			if !c.answer(ctx, w, query) {
				return
			}
			continue
		}
		others.Go(func() {
			defer func() { <-busy }()
			if !c.answer(ctx, w, query) {
				conn.Close() // which ends the reader, too
			}
		})
	}
}

// open reads what comes before the first query.
func (c *tcpConn) open(ctx context.Context) (err error) {
	if c.proxied {
		if err := c.beginReading(ctx); err != nil {
			return err
		}
		if c.client, err = readProxied(c.Conn, c.client, c.via.counters); err != nil {
			return err
		}
		if !c.server.conns.identify(c.slot, c.client.Addr()) {
			return errTooMany
		}
	}
	if c.via.transport == wire.DoT {
		return c.handshake(ctx)
	}
	return nil
}

// beginReading gives the client the idle timeout for what comes next, all of it: who sends an octet at a time does not
// get longer.
func (c *tcpConn) beginReading(ctx context.Context) error {
	if err := c.SetReadDeadline(time.Now().Add(c.server.opts.IdleTimeout)); err != nil {
		return err
	}
	if ctx.Err() != nil { // maybe since before our deadline was set
		return c.SetReadDeadline(c.drainEnd())
	}
	return nil
}

// next waits for a query and returns it, cut after maxTCPQuery octets. It is valid until the next call.
func (c *tcpConn) next(ctx context.Context) ([]byte, error) {
	if err := c.beginReading(ctx); err != nil {
		return nil, err
	}
	if _, err := c.queries.Discard(c.taken); err != nil {
		return nil, err
	}
	c.taken = 0
	prefix, err := c.queries.Peek(prefixSize)
	if err != nil {
		return nil, err
	}
	size := int(binary.BigEndian.Uint16(prefix))
	if size == proxyPrefix {
		// A front end that is not known as one, or somebody who pretends to be one, would wait in vain.
		start, err := c.queries.Peek(len(proxyproto.Signature))
		if err != nil {
			return nil, err
		}
		if proxyproto.Begins(start) {
			c.via.counters.proxyUntrusted.Add(1)
			return nil, errUntrusted
		}
	}
	message, err := c.queries.Peek(prefixSize + min(size, maxTCPQuery))
	if err != nil {
		return nil, err
	}
	c.taken = prefixSize + size
	return message[prefixSize:], nil
}

// more reports whether the client sent more behind the last query without waiting for the answer.
func (c *tcpConn) more() bool { return c.queries.Buffered() > c.taken }

// drainEnd is when reading ends once the server does. A client that has just connected could not ask yet.
func (c *tcpConn) drainEnd() time.Time {
	end := c.server.drainEnd()
	if own := c.begun.Add(c.server.drainTime()); own.After(end) {
		return own
	}
	return end
}

// answer answers one query, gives the worker back, and reports whether the connection is good for another.
func (c *tcpConn) answer(ctx context.Context, w *tcpWorker, query []byte) bool {
	limit := len(w.out)
	options, _, _ := findOPT(query)
	keepalive := hasOption(options, dns.EDNS0TCPKEEPALIVE)
	if keepalive {
		limit -= keepaliveSize
	}
	// In clear there is nothing to hide (RFC 7830 section 6).
	padding := w.transport == wire.DoT && hasOption(options, dns.EDNS0PADDING)
	if padding {
		limit -= paddingSize
	}
	w.begin()
	if w.tap != nil {
		w.tap.SetServer(c.local)
	}
	snap, cookies := c.server.snapshot.Load(), c.server.cookies.now.Load()
	answer := w.answer(snap, cookies, query, c.client, w.out[prefixSize:prefixSize:limit])
	if answer == nil {
		c.via.workers.Put(w)
		return false // not a client that speaks DNS to us
	}
	answer = w.out[prefixSize : prefixSize+len(answer)] // with the room that was kept
	if keepalive {
		timeout := c.server.opts.IdleTimeout
		if ctx.Err() != nil {
			timeout = 0 // please close (RFC 7828 section 3.4)
		}
		answer = appendKeepalive(answer, timeout)
	}
	if padding {
		answer = appendPadding(answer)
	}
	// Prefix and answer in one write (RFC 7766 section 8). The answer was written behind the prefix.
	binary.BigEndian.PutUint16(w.out[:], uint16(len(answer)))
	c.mu.Lock()
	c.pending = append(c.pending, w.out[:prefixSize+len(answer)]...)
	c.mu.Unlock()
	c.via.workers.Put(w) // before writing, which the client may make last
	return c.flush()
}

// flush writes what is pending, or leaves it to the goroutine that is writing already. It reports whether writing
// works.
func (c *tcpConn) flush() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.writing {
		return c.err == nil
	}
	c.writing = true
	for len(c.pending) > 0 && c.err == nil {
		out := c.pending
		c.pending, c.spare = c.spare[:0], nil
		c.mu.Unlock()
		err := c.write(out)
		c.mu.Lock()
		c.err = err
		if cap(out) <= maxSpare {
			c.spare = out
		}
		c.room.Signal()
	}
	c.writing = false
	return c.err == nil
}

func (c *tcpConn) write(b []byte) error {
	c.server.conns.touch(c.slot)
	err := c.SetWriteDeadline(time.Now().Add(c.server.opts.WriteTimeout))
	if err == nil {
		_, err = c.Write(b)
	}
	if err != nil {
		c.via.counters.writeErrors.Add(1)
	}
	return err
}

// waitForRoom waits until the client has taken most of its answers, and reports whether writing works.
func (c *tcpConn) waitForRoom() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.pending) > maxPending && c.err == nil {
		c.room.Wait()
	}
	return c.err == nil
}
