package geo

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseCIDRMap(t *testing.T) {
	const text = `
# offices
2001:db8:7::/48	label=lab
198.51.100.0/25 continent=NA country=US subdivision=NY city="New York" lat=40.7128 lon=-74.0060 # moved in May
192.0.2.0/24 label="a # in quotes" sites=fra,lon asn=64500
192.0.2.128/25 label=c#
0.0.0.0/0 country=DE` + "\r\n"
	got, err := ParseCIDRMap("map", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	want := []Network{
		{netip.MustParsePrefix("0.0.0.0/0"), Place{Country: "DE"}},
		{netip.MustParsePrefix("192.0.2.0/24"), Place{Label: "a # in quotes", Sites: "fra,lon", ASN: 64500}},
		{netip.MustParsePrefix("192.0.2.128/25"), Place{Label: "c#"}},
		{netip.MustParsePrefix("198.51.100.0/25"), Place{
			Continent: "NA", Country: "US", Subdivision: "NY", City: "New York",
			Coord: Coord{Lat: 40.7128, Lon: -74.0060}, Located: true,
		}},
		{netip.MustParsePrefix("2001:db8:7::/48"), Place{Label: "lab"}},
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
}

// Every fault of the file is in one error.
func TestParseCIDRMapFaults(t *testing.T) {
	const text = `192.0.2.0/24 label=office
192.0.2.1/24 label=x
192.0.2.0/24 label=again
192.0.2.9 label=x
::ffff:192.0.2.0/120 label=x
198.51.100.0/24
198.51.100.0/25 continent=XX country=de subdivision=New asn=0 sites=fra,,lon
198.51.100.0/26 asn=AS64500 asn=1 label= colour=red plain
198.51.100.0/27 lat=91 lon=nan
198.51.100.0/28 lat=1
198.51.100.0/29 label="open
198.51.100.0/30 sites="fra, lon"
nonsense country=D
` + "203.0.113.0/24 label=\xff\n"
	want := `map:2: 192.0.2.1/24: host bits set: want 192.0.2.0/24
map:3: 192.0.2.0/24: already on line 1: want each prefix once
map:4: "192.0.2.9": want an IPv4 or IPv6 prefix, ADDRESS/BITS
map:5: ::ffff:192.0.2.0/120: want the IPv4 prefix, not its 4-in-6 form
map:6: 198.51.100.0/24: no key: want at least one key=value
map:7: 198.51.100.0/25: continent: "XX": want AF, AN, AS, EU, NA, OC or SA
map:7: 198.51.100.0/25: country: "de": want two capital letters (ISO 3166-1)
map:7: 198.51.100.0/25: subdivision: "New": want 1 to 3 capital letters or digits (ISO 3166-2 without the country)
map:7: 198.51.100.0/25: asn: "0": want 1..4294967295
map:7: 198.51.100.0/25: sites: "fra,,lon": want site names, each once, with commas and no blanks between
map:8: 198.51.100.0/26: asn: "AS64500": want 1..4294967295
map:8: 198.51.100.0/26: asn: given twice: want each key once
map:8: 198.51.100.0/26: label: "": want 1..100 bytes of text
map:8: 198.51.100.0/26: "colour": unknown key: want continent, country, subdivision, city, asn, label, sites, lat or lon
map:8: 198.51.100.0/26: "plain": want key=value
map:9: 198.51.100.0/27: lat: "91": want degrees, -90..90
map:9: 198.51.100.0/27: lon: "nan": want degrees, -180..180
map:10: 198.51.100.0/28: lat, lon: one without the other: want both or neither
map:11: open quote: want a closing " on the same line
map:12: 198.51.100.0/30: sites: "fra, lon": want site names, each once, with commas and no blanks between
map:13: "nonsense": want an IPv4 or IPv6 prefix, ADDRESS/BITS
map:13: nonsense: country: "D": want two capital letters (ISO 3166-1)
map:14: "203.0.113.0/24 label=\xff": want UTF-8 text`
	networks, err := ParseCIDRMap("map", []byte(text))
	if err == nil || networks != nil {
		t.Fatalf("got %d networks, error %v: want none and an error", len(networks), err)
	}
	if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(err.Error(), "\n")); diff != "" {
		t.Error(diff)
	}
}

// What the parser accepts the builder accepts, and finds again.
func FuzzParseCIDRMap(f *testing.F) {
	f.Add("192.0.2.0/24 label=office sites=fra,lon asn=64500\n")
	f.Add("2001:db8::/32 city=\"New York\" lat=40.7 lon=-74 # there\n\n# nothing\n")
	f.Add("0.0.0.0/0 country=DE\n::/0 country=US\n192.0.2.1/32 continent=EU")
	f.Add("192.0.2.0/24 label=\"open\n198.51.100.1/24 lat=nan")
	f.Fuzz(func(t *testing.T, text string) {
		networks, err := ParseCIDRMap("map", []byte(text))
		if err != nil {
			if networks != nil {
				t.Fatal("networks beside an error")
			}
			for line := range strings.SplitSeq(err.Error(), "\n") {
				if !strings.HasPrefix(line, "map:") || !strings.Contains(line, "want ") {
					t.Fatalf("fault without a place or a wish: %q", line)
				}
			}
			return
		}
		var b Builder
		if err := b.Add(Layer(networks...)); err != nil {
			t.Fatal(err)
		}
		w := b.World()
		for _, n := range networks {
			inner := slices.ContainsFunc(networks, func(m Network) bool {
				return m.Prefix.Bits() > n.Prefix.Bits() && m.Prefix.Contains(n.Prefix.Addr())
			})
			if got, _ := w.Lookup(n.Prefix.Addr()); !inner && got.Label != n.Place.Label {
				t.Fatalf("%s has label %q: want %q", n.Prefix, got.Label, n.Place.Label)
			}
		}
	})
}
