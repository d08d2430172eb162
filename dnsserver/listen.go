package dnsserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"
)

// socketBuffer is the kernel buffer asked for per UDP socket, in octets: some 10 ms of queries at full load. The
// kernel may give less.
const socketBuffer = 4 << 20

// freePortTries bounds the search for a port that is free for UDP and TCP.
const freePortTries = 16

// udpSocket is a UDP socket.
type udpSocket struct {
	*net.UDPConn
	wildcard bool // its packets carry the address they came to
	adopted  bool // opened elsewhere, so others may go on with it when we do not
}

// localAddr returns the address that packets come to; the zero AddrPort when that is any.
func (u *udpSocket) localAddr() netip.AddrPort {
	if u.wildcard {
		return netip.AddrPort{}
	}
	return u.LocalAddr().(*net.UDPAddr).AddrPort()
}

// Listen opens every socket without serving any yet; Run does it when it has not been done. Errors of all addresses
// are joined, and then nothing stays open. With Options.TakeOver it does nothing, and Run opens the sockets: from that
// moment they get their share of the queries.
func (s *Server) Listen() error {
	if s.opts.TakeOver {
		return nil
	}
	return s.listen()
}

func (s *Server) listen() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.opened {
		return nil
	}
	var errs []error
	for _, addr := range s.opts.Listen {
		bound, err := s.open(addr)
		errs = append(errs, err)
		s.addrs = append(s.addrs, bound)
	}
	for _, conn := range s.opts.UDP {
		socket, err := adopt(conn)
		errs = append(errs, err)
		s.udp = append(s.udp, socket)
		s.addrs = append(s.addrs, conn.LocalAddr().(*net.UDPAddr).AddrPort())
	}
	s.tcp = append(s.tcp, s.opts.TCP...)
	for _, addr := range s.opts.ListenTLS {
		listener, err := s.openTCP(addr)
		if errs = append(errs, err); err != nil {
			continue
		}
		s.dot = append(s.dot, listener)
		s.tlsAddrs = append(s.tlsAddrs, netip.AddrPortFrom(addr.Addr(), port(listener.Addr())))
	}
	if err := errors.Join(errs...); err != nil {
		s.closeSockets()
		s.addrs, s.tlsAddrs = nil, nil
		return err
	}
	for range s.udp {
		s.udpAll = append(s.udpAll, newCounters(false))
	}
	s.opened = true
	return nil
}

// Close closes the sockets that Listen opened, for a server that is not going to run. Once Run has begun it does
// nothing: Run closes them at its end. Addrs stays as it was.
func (s *Server) Close() {
	if s.ran.Swap(true) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closeSockets()
}

// closeSockets has mu held. Errors are those of sockets that are closed already.
func (s *Server) closeSockets() {
	for _, socket := range s.udp {
		_ = socket.Close()
	}
	for _, listener := range slices.Concat(s.tcp, s.dot) {
		_ = listener.Close()
	}
	s.udp, s.tcp, s.dot = nil, nil, nil
}

// open opens one address for TCP and UDP.
func (s *Server) open(addr netip.AddrPort) (netip.AddrPort, error) {
	for try := 1; ; try++ {
		listener, err := s.openTCP(addr)
		if err != nil {
			return addr, err
		}
		bound := netip.AddrPortFrom(addr.Addr(), port(listener.Addr()))
		sockets, err := s.openUDP(bound)
		if err == nil {
			s.tcp = append(s.tcp, listener)
			s.udp = append(s.udp, sockets...)
			return bound, nil
		}
		err = errors.Join(err, listener.Close())
		if addr.Port() == 0 && try < freePortTries && errors.Is(err, syscall.EADDRINUSE) {
			continue // the port was free for TCP but not for UDP
		}
		return addr, err
	}
}

// openTCP opens the listener of one address. It comes before UDP and, unless the address is to be taken over, has it
// for itself, so it tells when another server is there; UDP sockets would silently take half of each other's queries.
func (s *Server) openTCP(addr netip.AddrPort) (net.Listener, error) {
	var config net.ListenConfig
	config.SetMultipathTCP(false) // costs, gains nothing for a query or two, and knows no programs for sharing
	if s.opts.TakeOver {
		config.Control = func(_, _ string, raw syscall.RawConn) error { return shareAddress(raw) }
	}
	listener, err := config.Listen(context.Background(), network("tcp", addr), addr.String())
	if err != nil {
		return nil, err
	}
	if !canShare {
		return listener, nil
	}
	raw, err := listener.(*net.TCPListener).SyscallConn()
	if err == nil {
		err = shareAddress(raw) // with a server that takes over later
	}
	if err != nil {
		return nil, fmt.Errorf("listen tcp %s: %w", addr, errors.Join(err, listener.Close()))
	}
	return listener, nil
}

// openUDP opens the sockets of one address, one for each worker.
func (s *Server) openUDP(addr netip.AddrPort) (sockets []*udpSocket, err error) {
	wildcard := addr.Addr().IsUnspecified()
	// Before bind: packets come from then on.
	config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		if canShare {
			if err := shareAddress(raw); err != nil {
				return err
			}
		}
		if wildcard {
			return wantDestination(raw, addr.Addr())
		}
		return nil
	}}
	defer func() {
		if err != nil {
			for _, socket := range sockets {
				_ = socket.Close() // the error of opening says more
			}
		}
	}()
	for i := range s.opts.Workers {
		if i > 0 && !canShare {
			sockets = append(sockets, sockets[0])
			continue
		}
		conn, err := config.ListenPacket(context.Background(), network("udp", addr), addr.String())
		if err != nil {
			return sockets, err
		}
		socket := &udpSocket{UDPConn: conn.(*net.UDPConn), wildcard: wildcard}
		socket.enlarge()
		sockets = append(sockets, socket)
	}
	return sockets, nil
}

// adopt makes a socket that was opened elsewhere ready to be served.
func adopt(conn *net.UDPConn) (*udpSocket, error) {
	addr := conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr()
	socket := &udpSocket{UDPConn: conn, wildcard: addr.IsUnspecified(), adopted: true}
	socket.enlarge()
	if !socket.wildcard {
		return socket, nil
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return socket, err
	}
	return socket, wantDestination(raw, addr)
}

// enlarge asks for large buffers. Smaller ones are slower, not wrong.
func (u *udpSocket) enlarge() {
	if err := forceBuffers(u.UDPConn, socketBuffer); err != nil { // takes a privilege
		_ = u.SetReadBuffer(socketBuffer)
		_ = u.SetWriteBuffer(socketBuffer)
	}
}

// network returns "udp4", "tcp6" and so on: one family per socket, so that :: does not take 0.0.0.0's packets.
func network(transport string, addr netip.AddrPort) string {
	if addr.Addr().Unmap().Is4() {
		return transport + "4"
	}
	return transport + "6"
}

func port(addr net.Addr) uint16 { return addr.(*net.TCPAddr).AddrPort().Port() }

// control runs f on a connection's file descriptor.
func control(conn syscall.RawConn, f func(fd int) error) error {
	var inner error
	err := conn.Control(func(fd uintptr) { inner = f(int(fd)) })
	return errors.Join(err, inner)
}
