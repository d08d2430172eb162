// Package demodb makes the small City and ASN databases of the demo. They cover addresses that nobody owns: the
// documentation prefixes of RFC 5737 and RFC 3849, and parts of 127.0.0.0/8, so that "dig +subnet=PREFIX" on a
// laptop can ask as a client of any of the [Cities]. The bytes are the same in every run.
package demodb

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"

	"github.com/meridian-gtm/meridian/geo"
)

// City is one city of the databases and the prefixes that lie in it.
type City struct {
	Name        string
	Continent   string // two-letter code
	Country     string // ISO 3166-1 alpha-2
	Subdivision string // ISO 3166-2 without the country
	Coord       geo.Coord
	ASN         uint32 // of V4 and V6, from the range for documentation (RFC 5398)

	V4       netip.Prefix // a /26 of a documentation prefix
	V6       netip.Prefix // a /48 of 2001:db8::/32
	Loopback netip.Prefix // a /24 of 127.0.0.0/8; it has no ASN
}

// Cities returns the cities, those of the demo's three datacenters first: New York, Frankfurt, Mumbai. City n, from
// 1, has 127.0.n.0/24 and 2001:db8:n::/48; the Americas are in 192.0.2.0/24, Europe and Africa in 198.51.100.0/24,
// Asia and Oceania in 203.0.113.0/24. Nothing is known about 127.0.0.0/24.
func Cities() []City {
	cities := []City{
		{Name: "New York", Continent: "NA", Country: "US", Subdivision: "NY", Coord: geo.Coord{Lat: 40.7128, Lon: -74.0060}, ASN: 64496, V4: v4("192.0.2.0/26")},
		{Name: "Frankfurt", Continent: "EU", Country: "DE", Subdivision: "HE", Coord: geo.Coord{Lat: 50.1109, Lon: 8.6821}, ASN: 64498, V4: v4("198.51.100.0/26")},
		{Name: "Mumbai", Continent: "AS", Country: "IN", Subdivision: "MH", Coord: geo.Coord{Lat: 19.0760, Lon: 72.8777}, ASN: 64500, V4: v4("203.0.113.0/26")},
		{Name: "San Francisco", Continent: "NA", Country: "US", Subdivision: "CA", Coord: geo.Coord{Lat: 37.7749, Lon: -122.4194}, ASN: 64496, V4: v4("192.0.2.64/26")},
		{Name: "Sao Paulo", Continent: "SA", Country: "BR", Subdivision: "SP", Coord: geo.Coord{Lat: -23.5505, Lon: -46.6333}, ASN: 64497, V4: v4("192.0.2.128/26")},
		{Name: "Mexico City", Continent: "NA", Country: "MX", Subdivision: "CMX", Coord: geo.Coord{Lat: 19.4326, Lon: -99.1332}, ASN: 64497, V4: v4("192.0.2.192/26")},
		{Name: "London", Continent: "EU", Country: "GB", Subdivision: "ENG", Coord: geo.Coord{Lat: 51.5074, Lon: -0.1278}, ASN: 64498, V4: v4("198.51.100.64/26")},
		{Name: "Paris", Continent: "EU", Country: "FR", Subdivision: "IDF", Coord: geo.Coord{Lat: 48.8566, Lon: 2.3522}, ASN: 64499, V4: v4("198.51.100.128/26")},
		{Name: "Nairobi", Continent: "AF", Country: "KE", Subdivision: "30", Coord: geo.Coord{Lat: -1.2921, Lon: 36.8219}, ASN: 64499, V4: v4("198.51.100.192/26")},
		{Name: "Singapore", Continent: "AS", Country: "SG", Coord: geo.Coord{Lat: 1.3521, Lon: 103.8198}, ASN: 64500, V4: v4("203.0.113.64/26")},
		{Name: "Tokyo", Continent: "AS", Country: "JP", Subdivision: "13", Coord: geo.Coord{Lat: 35.6762, Lon: 139.6503}, ASN: 64501, V4: v4("203.0.113.128/26")},
		{Name: "Sydney", Continent: "OC", Country: "AU", Subdivision: "NSW", Coord: geo.Coord{Lat: -33.8688, Lon: 151.2093}, ASN: 64501, V4: v4("203.0.113.192/26")},
	}
	for i := range cities {
		n := byte(i + 1)
		cities[i].V6 = netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 0, n}), 48)
		cities[i].Loopback = netip.PrefixFrom(netip.AddrFrom4([4]byte{127, 0, n, 0}), 24)
	}
	return cities
}

func v4(s string) netip.Prefix { return netip.MustParsePrefix(s) }

// buildEpoch is fixed so that the databases are the same bytes in every run: 2026-01-01 00:00 UTC.
const buildEpoch = 1767225600

// WriteCity writes the City database, in MaxMind's schema.
func WriteCity(w io.Writer) error {
	tree, err := newTree("Meridian-Demo-City", "Cities on addresses that nobody owns")
	if err != nil {
		return err
	}
	for _, c := range Cities() {
		record := mmdbtype.Map{
			"continent": mmdbtype.Map{"code": mmdbtype.String(c.Continent)},
			"country":   mmdbtype.Map{"iso_code": mmdbtype.String(c.Country)},
			"city":      mmdbtype.Map{"names": mmdbtype.Map{"en": mmdbtype.String(c.Name)}},
			"location": mmdbtype.Map{
				"latitude": mmdbtype.Float64(c.Coord.Lat), "longitude": mmdbtype.Float64(c.Coord.Lon),
			},
		}
		if c.Subdivision != "" {
			record["subdivisions"] = mmdbtype.Slice{mmdbtype.Map{"iso_code": mmdbtype.String(c.Subdivision)}}
		}
		if err := insert(tree, record, c.V4, c.V6, c.Loopback); err != nil {
			return err
		}
	}
	return write(tree, w)
}

// WriteASN writes the ASN database, in MaxMind's schema.
func WriteASN(w io.Writer) error {
	tree, err := newTree("Meridian-Demo-ASN", "Autonomous systems on addresses that nobody owns")
	if err != nil {
		return err
	}
	for _, c := range Cities() {
		record := mmdbtype.Map{
			"autonomous_system_number":       mmdbtype.Uint32(c.ASN),
			"autonomous_system_organization": mmdbtype.String(fmt.Sprintf("Example Network %d", c.ASN)),
		}
		if err := insert(tree, record, c.V4, c.V6); err != nil {
			return err
		}
	}
	return write(tree, w)
}

// WriteFiles writes both databases into a directory, as demo-city.mmdb and demo-asn.mmdb, and returns their paths.
func WriteFiles(dir string) (city, asn string, err error) {
	city, asn = filepath.Join(dir, "demo-city.mmdb"), filepath.Join(dir, "demo-asn.mmdb")
	if err := writeFile(city, WriteCity); err != nil {
		return "", "", err
	}
	if err := writeFile(asn, WriteASN); err != nil {
		return "", "", err
	}
	return city, asn, nil
}

func writeFile(path string, write func(io.Writer) error) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := write(f); err != nil {
		f.Close()
		return fmt.Errorf("%s: %w", path, err)
	}
	return f.Close()
}

func newTree(databaseType, description string) (*mmdbwriter.Tree, error) {
	return mmdbwriter.New(mmdbwriter.Options{
		BuildEpoch:              buildEpoch,
		DatabaseType:            databaseType,
		Description:             map[string]string{"en": description},
		Languages:               []string{"en"},
		IncludeReservedNetworks: true,
		RecordSize:              24,
	})
}

func insert(tree *mmdbwriter.Tree, record mmdbtype.Map, prefixes ...netip.Prefix) error {
	for _, p := range prefixes {
		ip := net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
		if err := tree.Insert(&ip, record); err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
	}
	return nil
}

func write(tree *mmdbwriter.Tree, w io.Writer) error {
	_, err := tree.WriteTo(w)
	return err
}
