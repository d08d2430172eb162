package demodb_test

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/meridian-gtm/meridian/geo"
	"github.com/meridian-gtm/meridian/geo/mmdb"
	"github.com/meridian-gtm/meridian/geo/mmdb/demodb"
)

func TestEveryCityIsFound(t *testing.T) {
	city, asn, err := demodb.WriteFiles(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	w, info, err := mmdb.Load(mmdb.Files{City: city, ASN: asn})
	if err != nil {
		t.Fatal(err)
	}
	cities := demodb.Cities()
	if got, want := info.Databases[0].Networks, 3*len(cities); got != want {
		t.Errorf("%d networks: want %d", got, want)
	}
	for _, c := range cities {
		want := geo.Place{
			Continent: c.Continent, Country: c.Country, Subdivision: c.Subdivision, City: c.Name,
			Coord: c.Coord, Located: true, ASN: c.ASN,
		}
		for _, p := range []netip.Prefix{c.V4, c.V6, c.Loopback} {
			if p == c.Loopback {
				want.ASN = 0
			}
			if got, prefix := w.Lookup(p.Addr()); got != want || prefix != p {
				t.Errorf("%s is %+v in %s: want %+v in %s", p.Addr(), got, prefix, want, p)
			}
		}
	}
	for _, unknown := range []string{"127.0.0.1", "127.0.13.1", "2001:db8::1", "2001:db8:d::1", "198.51.99.1", "::1"} {
		if got, _ := w.Lookup(netip.MustParseAddr(unknown)); got != (geo.Place{}) {
			t.Errorf("%s is %+v: want nothing known", unknown, got)
		}
	}
}

func TestSameBytes(t *testing.T) {
	var city, asn [2]bytes.Buffer
	for i := range city {
		if err := demodb.WriteCity(&city[i]); err != nil {
			t.Fatal(err)
		}
		if err := demodb.WriteASN(&asn[i]); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(city[0].Bytes(), city[1].Bytes()) || !bytes.Equal(asn[0].Bytes(), asn[1].Bytes()) {
		t.Error("two runs wrote different bytes")
	}
}
