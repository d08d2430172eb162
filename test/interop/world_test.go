package interop

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"testing"

	"github.com/meridian-gtm/meridian/dnsserver"
	"github.com/meridian-gtm/meridian/dnsserver/steer"
	"github.com/meridian-gtm/meridian/dnsserver/wire"
	"github.com/meridian-gtm/meridian/dnsserver/zone"
	"github.com/meridian-gtm/meridian/geo"
)

// The addresses that answers for clients in the office and for all others have.
const (
	usV4, usV6 = "203.0.113.1", "2001:db8:a::1"
	euV4, euV6 = "203.0.113.2", "2001:db8:a::2"
	officeV4   = "198.51.100.0/24"
	officeV6   = "2001:db8:7::/48"
)

// Where the world's servers are: one port, so that a resolver can be told to find every server there. The zones'
// glue names the addresses. named listens on addresses of interfaces only.
var (
	resolverAddr = netip.MustParseAddr("127.0.0.1")
	shopAddr     = netip.MustParseAddr("127.0.0.2")
	subAddr      = netip.MustParseAddr("127.0.0.3")
	rootAddr     = netip.MustParseAddr("127.0.0.4")
)

// world is a name space of three servers, each with a zone: the root, shop.example and sub.shop.example.
type world struct {
	port uint16
	shop *dnsserver.Server
	seen map[netip.Addr]*tap
}

// newWorld starts the servers until the test ends, each behind a tap.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{port: freePort(t), seen: map[netip.Addr]*tap{}}
	plan := newPlan(t)
	for addr, src := range map[netip.Addr]zone.Source{
		rootAddr: {Origin: ".", File: "testdata/root.zone"},
		shopAddr: {Origin: "shop.example", File: "testdata/shop.example.zone", Steer: map[string]string{
			"@": "shop", "www": "shop", "*.app": "shop", "v4": "v4",
		}},
		subAddr: {Origin: "sub.shop.example", File: "testdata/sub.shop.example.zone"},
	} {
		z, err := zone.Load(src)
		if err != nil {
			t.Fatal(err)
		}
		s := serve(t, dnsserver.Options{
			Listen:  []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")},
			Answers: wire.Options{NSID: "fra-1", Version: "meridian"},
			Cookies: dnsserver.CookieOptions{Require: true},
		}, plan, z)
		if addr == shopAddr {
			w.shop = s
		}
		w.seen[addr] = newTap(t, netip.AddrPortFrom(addr, w.port), s.Addrs()[0])
	}
	return w
}

// serve answers from zones until the test ends.
func serve(t *testing.T, o dnsserver.Options, plan *steer.Plan, list ...*zone.Zone) *dnsserver.Server {
	t.Helper()
	zones, err := zone.NewSet(list)
	if err != nil {
		t.Fatal(err)
	}
	s, err := dnsserver.New(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Store(&wire.Snapshot{Zones: zones, Plan: plan})
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	select {
	case <-s.Ready():
	case err := <-done:
		done <- nil
		t.Fatal(err)
	}
	return s
}

// newPlan steers clients of the office to eu and all others to us.
func newPlan(t *testing.T) *steer.Plan {
	t.Helper()
	office := geo.Place{Label: "office"}
	var b geo.Builder
	if err := b.Add(geo.Layer(
		geo.Network{Prefix: netip.MustParsePrefix(officeV4), Place: office},
		geo.Network{Prefix: netip.MustParsePrefix(officeV6), Place: office},
	)); err != nil {
		t.Fatal(err)
	}
	us, eu := steer.Policy{Kind: steer.KindSite, Site: "us"}, steer.Policy{Kind: steer.KindSite, Site: "eu"}
	plan, err := steer.Compile(steer.Inputs{
		Datacenters: []steer.Datacenter{{Name: "us", Region: "us"}, {Name: "eu", Region: "eu"}},
		Sites: []steer.Site{
			{Name: "us", Datacenter: "us", V4: netip.MustParseAddr(usV4), V6: netip.MustParseAddr(usV6), Weight: 100},
			{Name: "eu", Datacenter: "eu", V4: netip.MustParseAddr(euV4), V6: netip.MustParseAddr(euV6), Weight: 100},
			{Name: "us-v4", Datacenter: "us", V4: netip.MustParseAddr(usV4), Weight: 100},
		},
		Services: []steer.Service{
			{Name: "shop", TTLMin: 30, TTLMax: 30, AllDown: steer.LastGood, Policy: steer.Policy{
				Kind:    steer.KindGeo,
				Rules:   []steer.Rule{{Kind: steer.MatchLabel, Value: "office", Child: eu}},
				Default: &us,
			}},
			{Name: "v4", TTLMin: 30, TTLMax: 30, AllDown: steer.LastGood, Policy: steer.Policy{
				Kind: steer.KindSite, Site: "us-v4",
			}},
		},
		World: b.World(),
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

// freePort returns a port that is free on all the addresses, for UDP and TCP.
func freePort(t *testing.T) uint16 {
	t.Helper()
	var last error
	for range 50 {
		port, err := tryPort()
		if err == nil {
			return port
		}
		last = err
	}
	t.Skipf("SKIPPED: want one free port on %v..%v: %v", resolverAddr, rootAddr, last)
	return 0
}

func tryPort() (port uint16, err error) {
	for addr := resolverAddr; addr.Compare(rootAddr) <= 0; addr = addr.Next() {
		u, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, port)))
		if err != nil {
			return 0, err
		}
		defer u.Close()
		port = u.LocalAddr().(*net.UDPAddr).AddrPort().Port()
		l, err := net.Listen("tcp", netip.AddrPortFrom(addr, port).String())
		if err != nil {
			return 0, err
		}
		defer l.Close()
	}
	return port, nil
}

// at returns the address of a server of the world.
func (w *world) at(addr netip.Addr) string { return netip.AddrPortFrom(addr, w.port).String() }

func (w *world) portString() string { return fmt.Sprint(w.port) }
