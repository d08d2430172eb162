package world

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"
)

// Group is a set of loopback addresses that are to share one port.
type Group struct {
	Name  string       // for the note: "VIPs and shops"
	Addrs []netip.Addr // one or more, each once
	Port  uint16       // wanted; 0 = any
	UDP   bool         // the port has to be free for UDP too
}

// Addresses is what a group got.
type Addresses struct {
	// Port is the one that DNS data and checks may name for all addresses of the group.
	Port uint16
	// Real is where each address is really bound: itself with Port, or 127.0.0.1 with a port of its own on machines
	// that have only that one address.
	Real map[netip.Addr]netip.AddrPort
	// Note says for people what is not as wanted; "" = all is.
	Note string
}

// portTries is how many ports are tried before a group is given up.
const portTries = 100

// Choose finds a port that is free on every address of the group by binding and letting go. What it found can be
// taken by others in the moment before it is bound again.
func Choose(g Group) (Addresses, error) {
	wanted := g.Port
	var taken netip.AddrPort
	for try := range portTries {
		port := wanted + uint16(try)
		if wanted == 0 {
			var err error
			if port, err = anyPort(g.Addrs[0]); errors.Is(err, syscall.EADDRNOTAVAIL) {
				return chooseOne(g)
			} else if err != nil {
				return Addresses{}, fmt.Errorf("%s: %w", g.Name, err)
			}
		} else if port < wanted {
			break // past 65535
		}
		busy, err := bindable(g, port)
		switch {
		case errors.Is(err, syscall.EADDRNOTAVAIL):
			return chooseOne(g)
		case errors.Is(err, syscall.EADDRINUSE):
			if !taken.IsValid() {
				taken = busy
			}
			continue
		case err != nil:
			return Addresses{}, fmt.Errorf("%s: %w", g.Name, err)
		}
		a := Addresses{Port: port, Real: map[netip.Addr]netip.AddrPort{}}
		for _, addr := range g.Addrs {
			a.Real[addr] = netip.AddrPortFrom(addr, port)
		}
		if taken.IsValid() && wanted != 0 {
			a.Note = fmt.Sprintf("%s: %s is taken: using port %d", g.Name, taken, port)
		}
		return a, nil
	}
	return Addresses{}, fmt.Errorf("%s: no free port on every address from %d on: first taken: %s", g.Name, wanted, taken)
}

// chooseOne maps the group to ports of 127.0.0.1.
func chooseOne(g Group) (Addresses, error) {
	home := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	a := Addresses{Port: g.Port, Real: map[netip.Addr]netip.AddrPort{}}
	var names []string
	next := g.Port
	for _, addr := range g.Addrs {
		port, err := next, error(nil)
		for try := 0; ; try++ {
			if g.Port == 0 {
				if port, err = anyPort(home); err != nil {
					return Addresses{}, fmt.Errorf("%s: %w", g.Name, err)
				}
			}
			one := Group{Addrs: []netip.Addr{home}, UDP: g.UDP}
			if _, err = bindable(one, port); err == nil {
				break
			}
			if !errors.Is(err, syscall.EADDRINUSE) || try == portTries || port == 65535 {
				return Addresses{}, fmt.Errorf("%s: %w", g.Name, err)
			}
			port++
		}
		next = port + 1
		if a.Port == 0 {
			a.Port = port
		}
		a.Real[addr] = netip.AddrPortFrom(home, port)
		names = append(names, fmt.Sprintf("%s is %s", netip.AddrPortFrom(addr, a.Port), a.Real[addr]))
	}
	a.Note = fmt.Sprintf("%s: this machine has no 127.0.x.y: %s", g.Name, strings.Join(names, ", "))
	return a, nil
}

// bindable tries the port on every address of the group and returns the first that is not to be had.
func bindable(g Group, port uint16) (netip.AddrPort, error) {
	for _, addr := range g.Addrs {
		ap := netip.AddrPortFrom(addr, port)
		l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(ap))
		if err != nil {
			return ap, err
		}
		l.Close()
		if !g.UDP {
			continue
		}
		c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(ap))
		if err != nil {
			return ap, err
		}
		c.Close()
	}
	return netip.AddrPort{}, nil
}

func anyPort(addr netip.Addr) (uint16, error) {
	l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.AddrPortFrom(addr, 0)))
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).AddrPort().Port(), nil
}
