package dnsserver

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

func TestAddressInUse(t *testing.T) {
	// An address of its own: no other process' client gets the port while it is free.
	first := newServer(t, Options{Listen: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.77:0")}})
	addr, stop := start(t, first)
	// The second address is free: it must not stay open when the first cannot be had.
	free := netip.MustParseAddrPort("127.0.0.3:0")
	second := newServer(t, Options{Listen: []netip.AddrPort{free, netip.MustParseAddrPort(addr)}})
	err := second.Run(t.Context())
	if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), addr) {
		t.Errorf("got %v", err)
	}
	if got := second.Addrs(); len(got) != 0 {
		t.Errorf("still open: %v", got)
	}
	stop()
	third := newServer(t, Options{Listen: []netip.AddrPort{netip.MustParseAddrPort(addr)}})
	start(t, third) // the address is free again
}

func TestSocketsHandedIn(t *testing.T) {
	udp, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(loopback[0]))
	if err != nil {
		t.Fatal(err)
	}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := newServer(t, Options{UDP: []*net.UDPConn{udp}, TCP: []net.Listener{tcp}})
	s.Store(newSnapshot(t, "192.0.2.1"))
	addr, stop := start(t, s)
	ask(t, "udp", addr, "static.shop.example. A")
	ask(t, "tcp", tcp.Addr().String(), "static.shop.example. A")
	stop()
	if _, err := udp.Write([]byte{0}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("udp socket after Run: %v", err)
	}
	if _, err := tcp.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("listener after Run: %v", err)
	}
}

// A socket that was handed in, and that its owner keeps as well, is left as it was for the next server.
func TestSocketKeptByOwner(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("sockets are not files on", runtime.GOOS)
	}
	snap := newSnapshot(t, "192.0.2.1")
	first, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(loopback[0]))
	if err != nil {
		t.Fatal(err)
	}
	file, err := first.File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	again, err := net.FilePacketConn(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, conn := range []*net.UDPConn{first, again.(*net.UDPConn)} {
		s := newServer(t, Options{UDP: []*net.UDPConn{conn}})
		s.Store(snap)
		addr, stop := start(t, s)
		ask(t, "udp", addr, "static.shop.example. A")
		stop()
	}
}

// A socket that somebody else closes is a failure, not the end of serving in silence.
func TestSocketLost(t *testing.T) {
	udp, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(loopback[0]))
	if err != nil {
		t.Fatal(err)
	}
	s := newServer(t, Options{UDP: []*net.UDPConn{udp}, Listen: loopback})
	done := make(chan error, 1)
	go func() { done <- s.Run(context.Background()) }()
	<-s.Ready()
	udp.Close()
	if err := <-done; !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v", err)
	}
}

// A server that is listened with but never run lets its addresses go.
func TestClose(t *testing.T) {
	s := newServer(t, Options{Listen: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.78:0")}})
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	s.Close()
	start(t, newServer(t, Options{Listen: s.Addrs()}))
	if err := s.Run(t.Context()); err == nil {
		t.Error("Run after Close: no error")
	}
	s.Close()
}
