package dnsserver

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"
)

// maxUDPQuery is the longest UDP query read, in octets. What is longer is cut by the kernel and gets FORMERR.
const maxUDPQuery = 4096

// maxUDPAnswer bounds every wire.Options.UDPSize.
const maxUDPAnswer = 4096

// readErrorPause is the wait after a read error, so that one that stays does not spin.
const readErrorPause = 10 * time.Millisecond

// serveUDP answers one socket's queries until ctx ends, and those that had arrived by then.
func (s *Server) serveUDP(ctx context.Context, socket *udpSocket, w *worker) error {
	defer socket.Close()
	stop := context.AfterFunc(ctx, func() {
		if !socket.adopted {
			// Where this does nothing, or fails, packets that come later are lost with the socket.
			_ = turnAway(socket.UDPConn)
		}
		_ = socket.SetReadDeadline(s.drainEnd())
		_ = socket.SetWriteDeadline(time.Now().Add(s.opts.DrainTimeout))
	})
	defer stop()
	if canBatch && !s.singly {
		if err := s.serveBatches(ctx, socket, w); !errors.Is(err, errNoBatches) {
			return err
		}
	}
	return s.servePackets(ctx, socket, w)
}

// servePackets answers one packet after the other.
func (s *Server) servePackets(ctx context.Context, socket *udpSocket, w *worker) error {
	in, out := make([]byte, maxUDPQuery), make([]byte, maxUDPAnswer)
	oob := make([]byte, 128)
	for {
		n, control, from, err := socket.read(in, oob)
		if err != nil {
			if end, err := readFailed(ctx, w.counters, err); end {
				return err
			}
			continue
		}
		if !w.sampler.next() {
			w.answerPacket(socket, in[:n], control, from, out)
			continue
		}
		begin := time.Now()
		w.answerPacket(socket, in[:n], control, from, out)
		w.counters.latency.add(1, time.Since(begin))
	}
}

// answerPacket answers one packet, which came with control.
func (w *worker) answerPacket(socket *udpSocket, req, control []byte, from netip.AddrPort, out []byte) {
	req, client, ok := w.unwrap(req, from)
	if !ok {
		return
	}
	w.begin()
	answer := w.answer(w.server.snapshot.Load(), w.server.cookies.now.Load(), req, client, out)
	if answer == nil {
		return
	}
	if err := socket.write(answer, control, from); err != nil {
		w.counters.writeErrors.Add(1)
	}
}

// read reads one packet. control is what write needs to answer from the address the packet came to.
func (u *udpSocket) read(b, oob []byte) (n int, control []byte, from netip.AddrPort, err error) {
	if !u.wildcard {
		n, from, err = u.ReadFromUDPAddrPort(b)
		return n, nil, from, err
	}
	n, oobn, _, from, err := u.ReadMsgUDPAddrPort(b, oob)
	return n, sourceFromDestination(oob[:oobn]), from, err
}

// write sends one packet.
func (u *udpSocket) write(b, control []byte, to netip.AddrPort) (err error) {
	if control == nil {
		_, err = u.WriteToUDPAddrPort(b, to)
		return err
	}
	_, _, err = u.WriteMsgUDPAddrPort(b, control, to)
	return err
}

// readFailed says what follows from a read or an accept that failed: the end, with Run's error if it is one, or, after
// it was counted and a pause, another try.
func readFailed(ctx context.Context, c *counters, err error) (end bool, result error) {
	switch {
	case ctx.Err() != nil:
		return true, nil
	case errors.Is(err, net.ErrClosed):
		return true, err
	default:
		c.readErrors.Add(1)
		pause(ctx, readErrorPause)
		return false, nil
	}
}

// pause waits for d or the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
