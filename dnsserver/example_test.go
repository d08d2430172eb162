package dnsserver_test

import (
	"context"
	"fmt"
	"log"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/miekg/dns"

	"github.com/meridian-gtm/meridian/dnsserver"
	"github.com/meridian-gtm/meridian/dnsserver/wire"
	"github.com/meridian-gtm/meridian/dnsserver/zone"
)

// A server of one static zone: open the sockets, store a state, run until the context ends.
func Example() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "shop.example.zone")
	master := "$TTL 300\n@ SOA ns hostmaster 1 7200 900 1209600 60\n@ NS ns\nns A 192.0.2.53\nwww A 192.0.2.1\n"
	if err := os.WriteFile(file, []byte(master), 0o600); err != nil {
		log.Fatal(err)
	}
	shop, err := zone.Load(zone.Source{Origin: "shop.example", File: file})
	if err != nil {
		log.Fatal(err)
	}
	zones, err := zone.NewSet([]*zone.Zone{shop})
	if err != nil {
		log.Fatal(err)
	}

	server, err := dnsserver.New(dnsserver.Options{Listen: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}})
	if err != nil {
		log.Fatal(err)
	}
	server.Store(&wire.Snapshot{Zones: zones})
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- server.Run(ctx) }()
	<-server.Ready()

	query := new(dns.Msg).SetQuestion("WWW.shop.example.", dns.TypeA)
	answer, err := dns.Exchange(query, server.Addrs()[0].String())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(answer.Answer[0])

	stop()
	fmt.Println(<-done, server.Stats().UDP.Types)
	// Output:
	// WWW.shop.example.	300	IN	A	192.0.2.1
	// <nil> map[A:1]
}
