package dnsserver

import (
	"errors"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// canShare says that several UDP sockets of one address get their share of its clients each.
const canShare = true

// shareAddress lets sockets that ask for it before they are bound have the address, too.
func shareAddress(raw syscall.RawConn) error {
	return control(raw, func(fd int) error {
		return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	})
}

// wantConnections makes the kernel give connections to come to this listener, the second of its address, and none to
// the first. A program for all listeners of the address names the one by its place in the order of opening. Where
// there is none at that place the kernel chooses by itself (socket(7), SO_ATTACH_REUSEPORT_CBPF), so the program need
// not be taken away once the first listener is gone.
func wantConnections(listener *net.TCPListener) error {
	raw, err := listener.SyscallConn()
	if err != nil {
		return err
	}
	program := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K, K: 1}}
	return control(raw, func(fd int) error {
		return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_REUSEPORT_CBPF,
			&unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]})
	})
}

// forceBuffers sets the kernel's buffers beyond what it grants everybody (net.core.rmem_max).
func forceBuffers(conn *net.UDPConn, octets int) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	return control(raw, func(fd int) error {
		return errors.Join(
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, octets),
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, octets),
		)
	})
}

// wantDestination makes packets to a wildcard address come with the address they were sent to.
func wantDestination(raw syscall.RawConn, wildcard netip.Addr) error {
	return control(raw, func(fd int) error {
		if wildcard.Unmap().Is4() {
			return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
		}
		return unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
	})
}

// turnAway makes the kernel choose other sockets of the address for packets to come, and keeps those that the socket
// has. A socket that is connected takes packets of its peer alone, and this one's is itself.
func turnAway(conn *net.UDPConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	return control(raw, func(fd int) error {
		itself, err := unix.Getsockname(fd) // to the kernel, a wildcard address is the loopback one here
		if err != nil {
			return err
		}
		return unix.Connect(fd, itself)
	})
}

// sourceFromDestination turns the control message of a packet received into that of its answer, in place. The two
// have one layout (ip(7), ipv6(7)): the address stays, and the interface is forgotten, so that routing chooses it,
// save for link-local addresses, which mean nothing without.
func sourceFromDestination(oob []byte) []byte {
	if len(oob) < unix.SizeofCmsghdr {
		return nil
	}
	header, data, _, err := unix.ParseOneSocketControlMessage(oob)
	if err != nil {
		return nil
	}
	switch {
	case header.Level == unix.IPPROTO_IP && header.Type == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
		clear(data[:4])
	case header.Level == unix.IPPROTO_IPV6 && header.Type == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
		if !netip.AddrFrom16([16]byte(data)).IsLinkLocalUnicast() {
			clear(data[16:20])
		}
	default:
		return nil
	}
	return oob
}
