package zone_test

import (
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/miekg/dns"

	"github.com/meridian-gtm/meridian/dnsserver/zone"
)

func ExampleLoad() {
	dir, err := os.MkdirTemp("", "zones")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "shop.zone")
	text := `$TTL 300
@    SOA   ns1 hostmaster 1 7200 900 1209600 60
     NS    ns1
ns1  A     192.0.2.53
shop CNAME www
`
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		log.Fatal(err)
	}
	z, err := zone.Load(zone.Source{
		Origin: "shop.example",
		File:   file,
		Steer:  map[string]string{"www": "web"},
	})
	if err != nil {
		log.Fatal(err)
	}

	for _, qname := range []string{"ns1.shop.example.", "shop.shop.example.", "nowhere.shop.example."} {
		r := z.Lookup(qname, dns.TypeA)
		fmt.Printf("%s %v, %d records, service %q\n", qname, r.Kind, len(r.Answer), r.Service)
	}
	// Output:
	// ns1.shop.example. Success, 1 records, service ""
	// shop.shop.example. Steered, 1 records, service "web"
	// nowhere.shop.example. NXDomain, 0 records, service ""
}
