package mmdb

import (
	"bytes"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"

	"github.com/meridian-gtm/meridian/geo"
)

type entry struct {
	prefix string
	record mmdbtype.DataType
}

// database returns the bytes of a database.
func database(t testing.TB, opts mmdbwriter.Options, entries ...entry) []byte {
	t.Helper()
	opts.IncludeReservedNetworks = true
	opts.BuildEpoch = 1767225600
	tree, err := mmdbwriter.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		_, network, err := net.ParseCIDR(e.prefix)
		if err != nil {
			t.Fatal(err)
		}
		if err := tree.Insert(network, e.record); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	if _, err := tree.WriteTo(&out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func file(t testing.TB, content []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// cityRecord is a record as MaxMind writes it.
func cityRecord(continent, country, subdivision, city string, lat, lon float64) mmdbtype.Map {
	return mmdbtype.Map{
		"continent":          mmdbtype.Map{"code": mmdbtype.String(continent)},
		"country":            mmdbtype.Map{"iso_code": mmdbtype.String(country), "geoname_id": mmdbtype.Uint32(7)},
		"registered_country": mmdbtype.Map{"iso_code": mmdbtype.String("FR")},
		"subdivisions": mmdbtype.Slice{
			mmdbtype.Map{"iso_code": mmdbtype.String(subdivision)}, mmdbtype.Map{"iso_code": mmdbtype.String("OXF")},
		},
		"city": mmdbtype.Map{"names": mmdbtype.Map{
			"en": mmdbtype.String(city), "de": mmdbtype.String("anders"),
		}},
		"location": mmdbtype.Map{"latitude": mmdbtype.Float64(lat), "longitude": mmdbtype.Float64(lon)},
	}
}

var (
	newYork = cityRecord("NA", "US", "NY", "New York", 40.7128, -74.006)
	berlin  = cityRecord("EU", "DE", "BE", "Berlin", 52.52, 13.405)
)

func asnRecord(n uint32) mmdbtype.Map {
	return mmdbtype.Map{
		"autonomous_system_number": mmdbtype.Uint32(n), "autonomous_system_organization": mmdbtype.String("x"),
	}
}

// check looks addresses up: each wants a place and the widest prefix with it.
func check(t *testing.T, w *geo.World, want map[string]geo.Place) {
	t.Helper()
	for prefix, place := range want {
		p := netip.MustParsePrefix(prefix)
		if got, around := w.Lookup(p.Addr()); got != place || around != p {
			t.Errorf("%s is %+v in %s: want %+v in %s", p.Addr(), got, around, place, p)
		}
	}
}

func TestLayers(t *testing.T) {
	files := Files{
		Country: file(t, database(t, mmdbwriter.Options{DatabaseType: "GeoLite2-Country"},
			entry{"192.0.2.0/24", cityRecord("AS", "IN", "", "ignored", 1, 1)},
			entry{"203.0.113.0/24", cityRecord("AS", "IN", "", "ignored", 1, 1)})),
		City: file(t, database(t, mmdbwriter.Options{DatabaseType: "GeoLite2-City"},
			entry{"192.0.2.0/24", newYork}, entry{"198.51.100.0/24", berlin}, entry{"2001:db8::/32", berlin})),
		ASN: file(t, database(t, mmdbwriter.Options{DatabaseType: "GeoLite2-ASN"},
			entry{"192.0.2.64/26", asnRecord(64500)}, entry{"198.51.100.0/23", asnRecord(64501)},
			entry{"2001:db8:1::/48", asnRecord(64502)})),
		CIDRMap: file(t, []byte("192.0.2.96/27 label=office sites=fra,nyc\n198.51.100.0/25 asn=64503 city=Potsdam")),
	}
	w, info, err := Load(files)
	if err != nil {
		t.Fatal(err)
	}
	ny := geo.Place{Continent: "NA", Country: "US", Subdivision: "NY", City: "New York", Coord: geo.Coord{Lat: 40.7128, Lon: -74.006}, Located: true}
	be := geo.Place{Continent: "EU", Country: "DE", Subdivision: "BE", City: "Berlin", Coord: geo.Coord{Lat: 52.52, Lon: 13.405}, Located: true}
	with := func(p geo.Place, set func(*geo.Place)) geo.Place { set(&p); return p }
	check(t, w, map[string]geo.Place{
		"192.0.2.0/26":      ny,
		"192.0.2.64/27":     with(ny, func(p *geo.Place) { p.ASN = 64500 }),
		"192.0.2.96/27":     with(ny, func(p *geo.Place) { p.ASN, p.Label, p.Sites = 64500, "office", "fra,nyc" }),
		"192.0.2.128/25":    ny,
		"198.51.100.0/25":   with(be, func(p *geo.Place) { p.ASN, p.City = 64503, "Potsdam" }),
		"198.51.100.128/25": with(be, func(p *geo.Place) { p.ASN = 64501 }),
		"198.51.101.0/24":   {ASN: 64501},
		"203.0.113.0/24":    {Continent: "AS", Country: "IN"},
		"2001:db8::/48":     be,
		"2001:db8:1::/48":   with(be, func(p *geo.Place) { p.ASN = 64502 }),
		"2002::/15":         {}, // an alias of IPv4 in the file, not a network of its own
	})
	built := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	want := []Database{
		{Role: "country", File: files.Country, Type: "GeoLite2-Country", Built: built, Networks: 2},
		{Role: "city", File: files.City, Type: "GeoLite2-City", Built: built, Networks: 3},
		{Role: "asn", File: files.ASN, Type: "GeoLite2-ASN", Built: built, Networks: 3},
		{Role: "cidr-map", File: files.CIDRMap, Type: "cidr-map", Built: info.Databases[3].Built, Networks: 2},
	}
	if diff := cmp.Diff(want, info.Databases); diff != "" {
		t.Error(diff)
	}
	if age := time.Since(info.Databases[3].Built); age < 0 || age > time.Hour {
		t.Errorf("cidr map built %s ago", age)
	}
	if info.Networks != w.Len() || info.Places != len(w.Places()) || info.Digest != w.Digest() || info.Took <= 0 {
		t.Errorf("info %+v does not describe the world", info)
	}
}

func TestFlatSchemas(t *testing.T) {
	place := geo.Place{Continent: "NA", Country: "US", Subdivision: "NY", City: "New York", Coord: geo.Coord{Lat: 40.7128, Lon: -74.006}, Located: true, ASN: 64500}
	type m = mmdbtype.Map
	s := func(v string) mmdbtype.String { return mmdbtype.String(v) }
	for name, record := range map[string]m{
		"numbers": {"continent_code": s("NA"), "country_code": s("US"), "region_code": s("NY"), "city": s("New York"),
			"latitude": mmdbtype.Float64(40.7128), "longitude": mmdbtype.Float64(-74.006), "asn": mmdbtype.Uint32(64500)},
		"strings": {"continent": s("NA"), "country": s("US"), "state_code": s("US-NY"), "city_name": s("New York"),
			"lat": s("40.7128"), "lng": s("-74.006"), "asn": s("AS64500")},
		"names beside codes": {"continent": s("North America"), "continent_code": s("NA"), "country": s("United States"),
			"country_code": s("US"), "subdivision_code": s("NY"), "city": s("New York"), "latitude": s("40.7128"),
			"lon": s("-74.006"), "as_number": mmdbtype.Uint64(64500), "postcode": s("10001"), "extra": m{"a": s("b")}},
	} {
		t.Run(name, func(t *testing.T) {
			flat := file(t, database(t, mmdbwriter.Options{DatabaseType: "vendor"}, entry{"192.0.2.0/24", record}))
			for _, role := range []struct {
				files Files
				want  geo.Place
			}{
				{Files{City: flat}, place},
				{Files{Country: flat}, geo.Place{Continent: "NA", Country: "US"}},
				{Files{ASN: flat}, geo.Place{ASN: 64500}},
			} {
				w, _, err := Load(role.files)
				if err != nil {
					t.Fatal(err)
				}
				check(t, w, map[string]geo.Place{"192.0.2.0/24": role.want})
			}
		})
	}
}

// Vendors write the unknown in many ways.
func TestFlatUnknown(t *testing.T) {
	type m = mmdbtype.Map
	s := func(v string) mmdbtype.String { return mmdbtype.String(v) }
	flat := file(t, database(t, mmdbwriter.Options{DatabaseType: "vendor"},
		entry{"192.0.2.0/26", m{"country_code": s("-"), "city": s("-"), "latitude": s("0.000000"), "longitude": s("0.000000"), "asn": s("")}},
		entry{"192.0.2.64/26", m{"country_code": s("DE"), "city": s(""), "latitude": s("north"), "longitude": s("13")}},
		entry{"192.0.2.128/26", m{"country_code": s("DE"), "latitude": mmdbtype.Float64(91), "longitude": s("13"), "asn": s("AS0")}}))
	w, _, err := Load(Files{City: flat})
	if err != nil {
		t.Fatal(err)
	}
	// The prefixes show that neighbours with nothing known, or with the same, became one.
	check(t, w, map[string]geo.Place{"192.0.2.0/26": {}, "192.0.2.64/26": {Country: "DE"}, "192.0.2.128/26": {Country: "DE"}})
}

func TestTreeShapes(t *testing.T) {
	country := mmdbtype.Map{"country": mmdbtype.Map{"iso_code": mmdbtype.String("DE")}}
	de := geo.Place{Country: "DE"}
	for _, c := range []struct {
		name    string
		opts    mmdbwriter.Options
		entries []entry
		want    map[string]geo.Place
	}{
		{"IPv4 only", mmdbwriter.Options{IPVersion: 4}, []entry{{"192.0.2.0/24", country}},
			map[string]geo.Place{"192.0.2.0/24": de, "192.0.3.0/24": {}, "::/0": {}}},
		{"IPv4 of one record", mmdbwriter.Options{IPVersion: 4}, []entry{{"0.0.0.0/0", country}},
			map[string]geo.Place{"0.0.0.0/0": de, "::/0": {}}},
		{"IPv6 only", mmdbwriter.Options{IPVersion: 6}, []entry{{"2001:db8::/32", country}},
			map[string]geo.Place{"2001:db8::/32": de, "0.0.0.0/0": {}}},
		{"all of IPv4 in IPv6", mmdbwriter.Options{IPVersion: 6}, []entry{{"0.0.0.0/0", country}},
			map[string]geo.Place{"0.0.0.0/0": de, "::/0": {}}},
		{"a network above IPv4", mmdbwriter.Options{IPVersion: 6, DisableIPv4Aliasing: true}, []entry{{"::/8", country}},
			map[string]geo.Place{"0.0.0.0/0": de, "::/8": de, "100::/8": {}}},
		{"4-in-6 without aliases", mmdbwriter.Options{IPVersion: 6, DisableIPv4Aliasing: true},
			[]entry{{"::ffff:c000:200/120", country}, {"192.0.2.0/25", country}}, map[string]geo.Place{"192.0.2.0/25": de, "::/0": {}}},
		{"28-bit records", mmdbwriter.Options{RecordSize: 28}, []entry{{"192.0.2.0/24", country}}, map[string]geo.Place{"192.0.2.0/24": de}},
		{"32-bit records", mmdbwriter.Options{RecordSize: 32}, []entry{{"192.0.2.1/32", country}}, map[string]geo.Place{"192.0.2.1/32": de}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, _, err := Load(Files{City: file(t, database(t, c.opts, c.entries...))})
			if err != nil {
				t.Fatal(err)
			}
			check(t, w, c.want)
		})
	}
}

func TestNoFiles(t *testing.T) {
	w, info, err := Load(Files{})
	if err != nil || w.Len() != 2 || len(info.Databases) != 0 {
		t.Fatalf("%d networks, %d databases, error %v: want one network for each family", w.Len(), len(info.Databases), err)
	}
}

// Every file that cannot be used is named with its reason, in one error.
func TestFaults(t *testing.T) {
	city := database(t, mmdbwriter.Options{DatabaseType: "GeoLite2-City"}, entry{"192.0.2.0/24", newYork})
	asn := database(t, mmdbwriter.Options{DatabaseType: "GeoLite2-ASN"}, entry{"192.0.2.0/24", asnRecord(64500)})
	domain := database(t, mmdbwriter.Options{DatabaseType: "GeoIP2-Domain"},
		entry{"192.0.2.0/24", mmdbtype.Map{"domain": mmdbtype.String("example.com")}})
	impossible := database(t, mmdbwriter.Options{DatabaseType: "GeoLite2-City"},
		entry{"192.0.2.0/24", cityRecord("EU", "DE", "BE", "Berlin", 152, 13)})
	missing := filepath.Join(t.TempDir(), "missing.mmdb")
	dir := t.TempDir()
	for _, c := range []struct {
		name  string
		files Files
		want  []string // one for each line of the error
	}{
		{"missing", Files{City: missing}, []string{"city " + missing + ": no such file or directory"}},
		{"directory", Files{ASN: dir}, []string{"asn " + dir + ": is a directory"}},
		{"text", Files{City: file(t, []byte("not a database"))}, []string{"invalid MaxMind DB file"}},
		{"empty", Files{City: file(t, nil)}, []string{"city "}},
		{"truncated", Files{City: file(t, city[:len(city)/2])}, []string{"invalid MaxMind DB file"}},
		{"roles mixed up", Files{City: file(t, asn), ASN: file(t, city)}, []string{
			`database type "GeoLite2-ASN", 1 records tried: want a City, Country or flat database with places`,
			`database type "GeoLite2-City", 1 records tried: want an ASN, ISP or flat database with autonomous system numbers`,
		}},
		{"other kind", Files{Country: file(t, domain)}, []string{`database type "GeoIP2-Domain", 1 records tried: want`}},
		{"impossible place", Files{City: file(t, impossible)}, []string{
			"network 192.0.2.0/24: coord 152, 13: want latitude -90..90, longitude -180..180"}},
		{"every file", Files{City: missing, ASN: missing, CIDRMap: file(t, []byte("x\n\ny label=1"))}, []string{
			"city " + missing, "asn " + missing, ":1: \"x\": want", ":1: x: no key", ":3: \"y\": want"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, info, err := Load(c.files)
			if err == nil || w != nil || info.Databases != nil {
				t.Fatalf("world %v, info %+v, error %v: want an error alone", w, info, err)
			}
			lines := strings.Split(err.Error(), "\n")
			if len(lines) != len(c.want) {
				t.Fatalf("%d lines: want %d:\n%v", len(lines), len(c.want), err)
			}
			for i, want := range c.want {
				if !strings.Contains(lines[i], want) {
					t.Errorf("line %d is %q: want %q in it", i+1, lines[i], want)
				}
			}
		})
	}
}

// Load never panics and never hangs, whatever the bytes are.
func FuzzLoad(f *testing.F) {
	city := database(f, mmdbwriter.Options{DatabaseType: "c", RecordSize: 24},
		entry{"192.0.2.0/24", newYork}, entry{"2001:db8::/32", berlin})
	f.Add(city)
	f.Add(city[:len(city)-20])
	f.Add(database(f, mmdbwriter.Options{DatabaseType: "a", IPVersion: 4}, entry{"192.0.2.0/24", asnRecord(64500)}))
	f.Add(database(f, mmdbwriter.Options{DatabaseType: "f"}, entry{"192.0.2.0/24", mmdbtype.Map{
		"country_code": mmdbtype.String("DE"), "lat": mmdbtype.Float64(1), "lon": mmdbtype.String("2"), "asn": mmdbtype.Uint32(64500)}}))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, content []byte) {
		name := filepath.Join(dir, "file")
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, files := range []Files{{City: name}, {Country: name}, {ASN: name}} {
			w, _, err := Load(files)
			if (w == nil) == (err == nil) {
				t.Fatalf("world %v, error %v: want one of them", w, err)
			}
		}
	})
}
