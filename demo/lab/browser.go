package lab

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/meridian-gtm/meridian/demo/traveler"
	"github.com/meridian-gtm/meridian/demo/world"
)

// travelerPort is used when it is free.
const travelerPort = 8080

// listenTraveler binds the traveler's address.
func (l *Lab) listenTraveler(anyPort bool) error {
	wanted := uint16(travelerPort)
	if anyPort {
		wanted = 0
	}
	at, note, err := chooseTraveler(wanted, l.World.ControlAddr())
	if err != nil {
		return err
	}
	if note != "" {
		l.Notes = append(l.Notes, note)
	}
	ln, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(at))
	if err != nil {
		return fmt.Errorf("traveler: %w", err)
	}
	l.travelerAt = ln
	return nil
}

// chooseTraveler finds the next free port from wanted on; 0 = any. The fault control's is not yet bound, and keeps it.
func chooseTraveler(wanted uint16, control netip.AddrPort) (at netip.AddrPort, note string, err error) {
	home := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	group := world.Group{Name: "traveler", Addrs: []netip.Addr{home}, Port: wanted}
	got, err := world.Choose(group)
	if err == nil && got.Real[home] == control {
		group.Port = got.Port + 1
		got, err = world.Choose(group)
	}
	if err != nil {
		return netip.AddrPort{}, "", err
	}
	if wanted != 0 && got.Port != wanted {
		note = fmt.Sprintf("traveler: %s is taken: using port %d", netip.AddrPortFrom(home, wanted), got.Port)
	}
	return got.Real[home], note, nil
}

// Travel returns what a traveler needs to shop from the lab's cities. Each asks the node of its own datacenter first.
func (l *Lab) Travel() traveler.Options {
	t := traveler.Options{Shop: Host, Port: l.World.Port(), Logger: l.logger}
	for i, c := range l.Clients {
		city := traveler.City{
			Title: c.City, Prefix: c.Prefix, Dial: l.World.Network().Dialer(c.Home),
		}
		for j := range l.Members {
			m := l.Members[(i+j)%len(l.Members)]
			city.Servers = append(city.Servers, traveler.Server{Addr: m.DNS, API: m.API})
		}
		t.Cities = append(t.Cities, city)
	}
	return t
}

// TravelerAddr is where browsers find the traveler.
func (l *Lab) TravelerAddr() netip.AddrPort { return l.travelerAt.Addr().(*net.TCPAddr).AddrPort() }
