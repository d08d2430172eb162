package geo_test

import (
	"fmt"
	"net/netip"

	"github.com/meridian-gtm/meridian/geo"
)

// Two layers become a world, and the world a table that says who is European and how far around that holds.
func Example() {
	overrides, err := geo.ParseCIDRMap("overrides.txt", []byte(`
		192.0.2.128/26  continent=NA country=CA city=Toronto   # moved
	`))
	if err != nil {
		fmt.Println(err)
		return
	}
	var b geo.Builder
	err = b.Add(geo.Layer(geo.Network{
		Prefix: netip.MustParsePrefix("192.0.2.0/24"),
		Place:  geo.Place{Continent: "EU", Country: "DE", City: "Berlin", ASN: 64500},
	}))
	if err == nil {
		err = b.Add(geo.Layer(overrides...))
	}
	if err != nil {
		fmt.Println(err)
		return
	}
	world := b.World()
	table := world.Classify(func(p geo.Place) uint32 {
		if p.Continent == "EU" {
			return 1
		}
		return 0
	})
	for _, s := range []string{"192.0.2.1", "192.0.2.130", "192.0.2.200", "2001:db8::1"} {
		addr := netip.MustParseAddr(s)
		place, network := world.Lookup(addr)
		class, bits := table.Lookup(addr)
		fmt.Printf("%s: %q AS%d in %s, class %d, scope %d\n", addr, place.City, place.ASN, network, class, bits)
	}
	// Output:
	// 192.0.2.1: "Berlin" AS64500 in 192.0.2.0/25, class 1, scope 25
	// 192.0.2.130: "Toronto" AS64500 in 192.0.2.128/26, class 0, scope 26
	// 192.0.2.200: "Berlin" AS64500 in 192.0.2.192/26, class 1, scope 26
	// 2001:db8::1: "" AS0 in ::/0, class 0, scope 0
}
