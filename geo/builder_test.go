package geo

import (
	"math"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func network(prefix string, place Place) Network {
	return Network{netip.MustParsePrefix(prefix), place}
}

// in order, without the sorting of Layer.
func raw(networks ...Network) func(func(netip.Prefix, Place) bool) {
	return func(yield func(netip.Prefix, Place) bool) {
		for _, n := range networks {
			if !yield(n.Prefix, n.Place) {
				return
			}
		}
	}
}

func TestBuilderRefuses(t *testing.T) {
	located := func(lat, lon float64) Place { return Place{Located: true, Coord: Coord{lat, lon}} }
	for _, c := range []struct {
		name     string
		networks []Network
		want     string
	}{
		{"descending", []Network{network("198.51.100.0/24", Place{}), network("192.0.2.0/24", Place{})},
			"network 192.0.2.0/24 after 198.51.100.0/24: want ascending order, each once"},
		{"twice", []Network{network("192.0.2.0/24", Place{}), network("192.0.2.0/24", Place{})},
			"network 192.0.2.0/24 after 192.0.2.0/24: want ascending order, each once"},
		{"nested first", []Network{network("192.0.2.0/25", Place{}), network("192.0.2.0/24", Place{})},
			"network 192.0.2.0/24 after 192.0.2.0/25: want ascending order, each once"},
		{"IPv4 last", []Network{network("2001:db8::/32", Place{}), network("192.0.2.0/24", Place{})},
			"network 192.0.2.0/24 after 2001:db8::/32: want ascending order, each once"},
		{"host bits", []Network{network("192.0.2.1/24", Place{})},
			"network 192.0.2.1/24: want an IPv4 or IPv6 prefix without host bits, not 4-in-6"},
		{"4-in-6", []Network{network("::ffff:192.0.2.0/120", Place{})},
			"network ::ffff:192.0.2.0/120: want an IPv4 or IPv6 prefix without host bits, not 4-in-6"},
		{"zero prefix", []Network{{}}, "network invalid Prefix: want an IPv4 or IPv6 prefix without host bits, not 4-in-6"},
		{"latitude", []Network{network("192.0.2.0/24", located(90.1, 0))},
			"network 192.0.2.0/24: coord 90.1, 0: want latitude -90..90, longitude -180..180"},
		{"longitude", []Network{network("192.0.2.0/24", located(0, -181))},
			"network 192.0.2.0/24: coord 0, -181: want latitude -90..90, longitude -180..180"},
		{"not a number", []Network{network("192.0.2.0/24", located(math.NaN(), 0))},
			"network 192.0.2.0/24: coord NaN, 0: want latitude -90..90, longitude -180..180"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b Builder
			err := b.Add(raw(c.networks...))
			if err == nil || err.Error() != c.want {
				t.Fatalf("error %v: want %s", err, c.want)
			}
			if again := b.Add(raw()); again != err {
				t.Errorf("then error %v: want the same again", again)
			}
		})
	}
}

// An unlocated place may carry any coordinates: they are not kept.
func TestUnlocatedCoord(t *testing.T) {
	w := build(t, []Network{network("192.0.2.0/24", Place{Country: "DE", Coord: Coord{999, math.Inf(1)}})})
	if got, _ := w.Lookup(netip.MustParseAddr("192.0.2.1")); got != (Place{Country: "DE"}) {
		t.Errorf("got %+v: want the country alone", got)
	}
}

// What a builder does after World leaves that world as it was.
func TestBuilderGoesOn(t *testing.T) {
	var b Builder
	worlds := []*World{b.World()}
	digests := []string{worlds[0].Digest()}
	for i, city := range []string{"Berlin", "Potsdam", "Cottbus"} {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i << 4)}), 28)
		if err := b.Add(raw(Network{p, Place{City: city, Label: city}})); err != nil {
			t.Fatal(err)
		}
		worlds = append(worlds, b.World())
		digests = append(digests, worlds[i+1].Digest())
	}
	for i, w := range worlds {
		if got := w.sum(); got != digests[i] {
			t.Errorf("world %d has become another", i)
		}
		if got := w.PlaceCount(); got != i+1 {
			t.Errorf("world %d has %d places: want %d", i, got, i+1)
		}
	}
}

// Places that a later layer hides everywhere are gone.
func TestHiddenPlaces(t *testing.T) {
	w := build(t,
		[]Network{network("192.0.2.0/25", Place{City: "Berlin"}), network("192.0.2.128/25", Place{City: "Potsdam"})},
		[]Network{network("192.0.0.0/16", Place{City: "Cottbus"})})
	if got, want := w.Places(), []Place{{}, {City: "Cottbus"}}; !slices.Equal(got, want) {
		t.Errorf("places %+v: want %+v", got, want)
	}
	if _, prefix := w.Lookup(netip.MustParseAddr("192.0.2.1")); prefix != netip.MustParsePrefix("192.0.0.0/16") {
		t.Errorf("192.0.2.1 is in %s: want 192.0.0.0/16", prefix)
	}
}

// Strings are copied: the text that they were cut from may go.
func TestTextIsCopied(t *testing.T) {
	big := []byte(strings.Repeat("x", 100) + "Berlin")
	w := build(t, []Network{network("192.0.2.0/24", Place{City: string(big[100:])})})
	clear(big)
	if got, _ := w.Lookup(netip.MustParseAddr("192.0.2.1")); got.City != "Berlin" {
		t.Errorf("city %q: want Berlin", got.City)
	}
}
