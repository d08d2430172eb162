package world

import (
	"net"
	"net/netip"
	"strings"
	"testing"
)

var home = netip.MustParseAddr("127.0.0.1")

func TestChooseMovesTheWholeGroup(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	taken := ln.Addr().(*net.TCPAddr).AddrPort().Port()
	if taken > 65000 {
		t.Skip("no room above the port")
	}
	other := netip.MustParseAddr("127.0.0.2")
	got, err := Choose(Group{Name: "things", Addrs: []netip.Addr{other, home}, Port: taken, UDP: true})
	if err != nil {
		t.Fatal(err)
	}
	if got.Port <= taken || got.Real[home] != netip.AddrPortFrom(home, got.Port) || got.Real[other] != netip.AddrPortFrom(other, got.Port) {
		t.Errorf("chose %+v: want one port above %d on both", got, taken)
	}
	if !strings.HasPrefix(got.Note, "things: "+ln.Addr().String()+" is taken: using port ") {
		t.Errorf("note %q", got.Note)
	}
}

func TestChooseSeesUDP(t *testing.T) {
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	taken := c.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	if taken > 65000 {
		t.Skip("no room above the port")
	}
	got, err := Choose(Group{Addrs: []netip.Addr{home}, Port: taken, UDP: true})
	if err != nil || got.Port <= taken {
		t.Errorf("chose %+v, %v: want a port above %d", got, err, taken)
	}
}

// TestChooseWithoutLoopbackNet: a machine that has none of the addresses gets a map to the one that all have.
func TestChooseWithoutLoopbackNet(t *testing.T) {
	addrs := []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")}
	for _, port := range []uint16{0, 20000} {
		got, err := Choose(Group{Name: "VIPs", Addrs: addrs, Port: port, UDP: true})
		if err != nil {
			t.Fatal(err)
		}
		a, b := got.Real[addrs[0]], got.Real[addrs[1]]
		if a.Addr() != home || b.Addr() != home || a == b || got.Port == 0 || port != 0 && got.Port != port {
			t.Errorf("port %d: %+v: want two ports of %s", port, got, home)
		}
		if want := netip.AddrPortFrom(addrs[1], got.Port).String() + " is " + b.String(); !strings.Contains(got.Note, want) {
			t.Errorf("note %q: want %q in it", got.Note, want)
		}
	}
}

func TestChooseNoPortLeft(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:65535")
	if err != nil {
		t.Skip(err)
	}
	defer ln.Close()
	if got, err := Choose(Group{Name: "things", Addrs: []netip.Addr{home}, Port: 65535}); err == nil {
		t.Errorf("chose %+v: want an error", got)
	}
}
