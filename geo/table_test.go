package geo

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"testing"
)

func lookup(t *testing.T, table *Table, addr string, class uint32, bits uint8) {
	t.Helper()
	if c, b := table.Lookup(netip.MustParseAddr(addr)); c != class || b != bits {
		t.Errorf("%s is class %d in /%d: want class %d in /%d", addr, c, b, class, bits)
	}
}

func TestOneClass(t *testing.T) {
	w := build(t, []Network{network("192.0.2.0/24", Place{Country: "DE"}), network("2001:db8::/32", Place{Country: "US"})})
	table := w.Classify(func(Place) uint32 { return 7 })
	for _, addr := range []string{"192.0.2.1", "198.51.100.1", "2001:db8::1", "::1"} {
		lookup(t, table, addr, 7, 0)
	}
	// A family of one class has scope 0 whatever the other has.
	table = w.Classify(func(p Place) uint32 {
		if p.Country == "DE" {
			return 1
		}
		return 0
	})
	lookup(t, table, "192.0.2.1", 1, 24)
	lookup(t, table, "192.0.3.1", 0, 24)
	lookup(t, table, "128.0.0.1", 0, 2)
	lookup(t, table, "2001:db8::1", 0, 0)
}

func TestZeroWorldAndTable(t *testing.T) {
	var w World
	if got, want := w.Digest(), new(Builder).World().Digest(); got != want {
		t.Errorf("digest %s of the zero world: want %s, that of an empty builder", got, want)
	}
	if places := w.Places(); len(places) != 1 || places[0] != (Place{}) {
		t.Errorf("places %+v: want the zero place", places)
	}
	for _, addr := range []string{"192.0.2.1", "2001:db8::1", "fe80::1%eth0"} {
		p, prefix := w.Lookup(netip.MustParseAddr(addr))
		if p != (Place{}) || prefix.Bits() != 0 || !prefix.IsValid() {
			t.Errorf("%s is %+v in %s: want nothing known everywhere", addr, p, prefix)
		}
		lookup(t, w.Classify(func(Place) uint32 { return 3 }), addr, 3, 0)
		lookup(t, new(Table), addr, 0, 0)
	}
	// The zero Addr has no place, and no prefix either.
	if p, prefix := w.Lookup(netip.Addr{}); p != (Place{}) || prefix.IsValid() {
		t.Errorf("the zero Addr is %+v in %s", p, prefix)
	}
	new(Table).Lookup(netip.Addr{})
}

// Classes are any numbers, and leaves lie at any depth.
func TestEveryDepth(t *testing.T) {
	for _, host := range []string{"192.0.2.77", "2001:db8:1234:5678:9abc:def0:1234:5679"} {
		a := netip.MustParseAddr(host)
		var layer []Network
		for bits := 1; bits <= a.BitLen(); bits++ {
			p, _ := a.Prefix(bits)
			layer = append(layer, Network{p, Place{ASN: uint32(bits)}})
		}
		w := build(t, layer)
		class := func(p Place) uint32 { return math.MaxUint32 - p.ASN }
		table := w.Classify(class)
		lookup(t, table, host, math.MaxUint32-uint32(a.BitLen()), uint8(a.BitLen()))
		for bits := range a.BitLen() {
			// An address that leaves the path after so many bits is in the network of that length.
			b := a.AsSlice()
			b[bits/8] ^= 0x80 >> (bits % 8)
			other, _ := netip.AddrFromSlice(b)
			lookup(t, table, other.String(), math.MaxUint32-uint32(bits), uint8(bits+1))
			if p, prefix := w.Lookup(other); p.ASN != uint32(bits) || prefix.Bits() != bits+1 {
				t.Errorf("%s is AS%d in %s: want AS%d in a /%d", other, p.ASN, prefix, bits, bits+1)
			}
		}
	}
}

func TestClassifyCallsOnce(t *testing.T) {
	w := build(t, []Network{network("192.0.2.0/25", Place{ASN: 1}), network("192.0.2.128/26", Place{ASN: 2}),
		network("198.51.100.0/24", Place{ASN: 1}), network("2001:db8::/32", Place{ASN: 2})})
	calls := map[Place]int{}
	w.Classify(func(p Place) uint32 { calls[p]++; return p.ASN })
	want := map[Place]int{{}: 1, {ASN: 1}: 1, {ASN: 2}: 1}
	if fmt.Sprint(calls) != fmt.Sprint(want) {
		t.Errorf("calls %v: want %v", calls, want)
	}
}

func TestLookupDoesNotAllocate(t *testing.T) {
	w := build(t, randomLayers(rand.New(rand.NewPCG(7, 7)))...)
	table := w.Classify(func(p Place) uint32 { return p.ASN })
	v4, v6 := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	if n := testing.AllocsPerRun(100, func() {
		table.Lookup(v4)
		table.Lookup(v6)
	}); n != 0 {
		t.Errorf("%v allocations for two look-ups: want 0", n)
	}
}
