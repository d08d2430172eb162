package geo

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
)

// oracle is the slow truth: every layer as a list, scanned from end to end.
type oracle [][]Network

func (o oracle) lookup(a netip.Addr) Place {
	var p Place
	for _, layer := range o {
		best := Network{}
		for _, n := range layer {
			if n.Prefix.Contains(a) && (!best.Prefix.IsValid() || n.Prefix.Bits() > best.Prefix.Bits()) {
				best = n
			}
		}
		p = lay(p, best.Place)
	}
	return p
}

// lay puts the known fields of b over a.
func lay(a, b Place) Place {
	set := func(dst *string, src string) {
		if src != "" {
			*dst = src
		}
	}
	set(&a.Continent, b.Continent)
	set(&a.Country, b.Country)
	set(&a.Subdivision, b.Subdivision)
	set(&a.City, b.City)
	set(&a.Label, b.Label)
	set(&a.Sites, b.Sites)
	if b.ASN != 0 {
		a.ASN = b.ASN
	}
	if b.Located {
		a.Located, a.Coord = true, b.Coord
	}
	return a
}

func build(t testing.TB, layers ...[]Network) *World {
	t.Helper()
	var b Builder
	for _, layer := range layers {
		if err := b.Add(Layer(layer...)); err != nil {
			t.Fatal(err)
		}
	}
	return b.World()
}

// randomLayers crowds networks into a few blocks of both families so that they nest, touch and cover each other.
func randomLayers(rnd *rand.Rand) oracle {
	blocks := []netip.Prefix{
		netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("198.51.100.0/22"),
		netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("::/0"),
		netip.MustParsePrefix("2001:db8:0:0:8000::/65"), netip.MustParsePrefix("2001:db8::/120"),
	}
	layers := make(oracle, 1+rnd.IntN(3))
	for i := range layers {
		seen := map[netip.Prefix]bool{}
		for range rnd.IntN(40) {
			p := randomPrefix(rnd, blocks[rnd.IntN(len(blocks))])
			if !seen[p] {
				seen[p] = true
				layers[i] = append(layers[i], Network{p, randomPlace(rnd)})
			}
		}
	}
	return layers
}

func randomPlace(rnd *rand.Rand) Place {
	pick := func(values ...string) string { return values[rnd.IntN(len(values))] }
	p := Place{
		Continent: pick("", "EU", "NA"), Country: pick("", "", "DE", "US"), Subdivision: pick("", "", "", "NY"),
		City: pick("", "", "", "Berlin"), Label: pick("", "", "", "office"), Sites: pick("", "", "", "fra,nyc"),
	}
	if rnd.IntN(3) == 0 {
		p.ASN = 64500 + rnd.Uint32N(3)
	}
	if rnd.IntN(3) == 0 {
		p.Located, p.Coord = true, Coord{Lat: float64(rnd.IntN(3)) * 10.5, Lon: float64(1+rnd.IntN(3)) * -7.25}
	}
	return p
}

// randomPrefix returns a prefix inside block.
func randomPrefix(rnd *rand.Rand, block netip.Prefix) netip.Prefix {
	more := min(rnd.IntN(12), block.Addr().BitLen()-block.Bits())
	p, _ := randomAddr(rnd, block).Prefix(block.Bits() + more)
	return p
}

func randomAddr(rnd *rand.Rand, block netip.Prefix) netip.Addr {
	b := block.Addr().AsSlice()
	for i := block.Bits(); i < len(b)*8; i++ {
		// Mostly zeros and ones at the end, so that the edges of prefixes are met.
		b[i/8] |= byte(rnd.IntN(2)) << (7 - i%8)
	}
	a, _ := netip.AddrFromSlice(b)
	if a.Is4In6() {
		return netip.MustParseAddr("2001:db8::1")
	}
	return a
}

// edges returns the addresses where answers may change: both ends of every network and their neighbours.
func (o oracle) edges() []netip.Addr {
	var out []netip.Addr
	for _, layer := range o {
		for _, n := range layer {
			first, last := n.Prefix.Addr(), lastAddr(n.Prefix)
			out = append(out, first, first.Prev(), last, last.Next())
		}
	}
	return slices.DeleteFunc(out, func(a netip.Addr) bool { return !a.IsValid() || a.Is4In6() })
}

func lastAddr(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

func TestAgainstLinearScan(t *testing.T) {
	for seed := range uint64(150) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		layers := randomLayers(rnd)
		w := build(t, layers...)
		places := w.Places()
		if places[0] != (Place{}) {
			t.Fatalf("seed %d: place 0 is %+v: want the zero place", seed, places[0])
		}
		modulus := 1 + rnd.IntN(5)
		class := func(p Place) uint32 { return uint32((len(p.City+p.Country+p.Label)+int(p.ASN))%modulus) * 0x0fffffff }
		table := w.Classify(class)

		known := map[netip.Addr]Place{}
		for _, a := range layers.edges() {
			known[a] = layers.lookup(a)
		}
		for _, layer := range layers {
			for _, n := range layer {
				a := randomAddr(rnd, n.Prefix)
				known[a] = layers.lookup(a)
			}
		}
		for a, want := range known {
			got, prefix := w.Lookup(a)
			if got != want {
				t.Fatalf("seed %d: %s is %+v: want %+v", seed, a, got, want)
			}
			if !prefix.Contains(a) || prefix != prefix.Masked() {
				t.Fatalf("seed %d: %s has prefix %s", seed, a, prefix)
			}
			c, bits := table.Lookup(a)
			if c != class(want) {
				t.Fatalf("seed %d: %s has class %d: want %d", seed, a, c, class(want))
			}
			scope, _ := a.Prefix(int(bits))
			checkWidest(t, seed, known, scope, func(p Place) bool { return class(p) == class(want) })
			checkWidest(t, seed, known, prefix, func(p Place) bool { return p == want })
		}
	}
}

// checkWidest fails unless everything within p is alike and its parent prefix is not. Known holds both sides of
// every edge, and places change nowhere else.
func checkWidest(t *testing.T, seed uint64, known map[netip.Addr]Place, p netip.Prefix, alike func(Place) bool) {
	t.Helper()
	all := func(p netip.Prefix) bool {
		for a, place := range known {
			if p.Contains(a) && !alike(place) {
				return false
			}
		}
		return true
	}
	if !all(p) {
		t.Fatalf("seed %d: %s is not all alike", seed, p)
	}
	if p.Bits() == 0 {
		return
	}
	if parent, _ := p.Addr().Prefix(p.Bits() - 1); all(parent) {
		t.Fatalf("seed %d: %s is too narrow: %s is all alike", seed, p, parent)
	}
}

// A world is the same whatever it was made from: from its own networks, from layers that come to the same, or from
// its networks cut into halves.
func TestDigest(t *testing.T) {
	digests := map[string]uint64{}
	for seed := range uint64(100) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		layers := randomLayers(rnd)
		w := build(t, layers...)

		var again, halved Builder
		if err := again.Add(w.Networks()); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		var halves []Network
		for p, place := range w.Networks() {
			if p.Bits() == p.Addr().BitLen() || p.Contains(netip.MustParseAddr("::ffff:0:0")) {
				halves = append(halves, Network{p, place})
				continue
			}
			low := netip.PrefixFrom(p.Addr(), p.Bits()+1)
			high := netip.PrefixFrom(lastAddr(p), p.Bits()+1).Masked()
			halves = append(halves, Network{low, place}, Network{high, place})
		}
		rnd.Shuffle(len(halves), func(i, j int) { halves[i], halves[j] = halves[j], halves[i] })
		if err := halved.Add(Layer(halves...)); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		for name, other := range map[string]*World{"its networks": again.World(), "halves": halved.World()} {
			if other.Digest() != w.Digest() || other.Len() != w.Len() || !slices.Equal(other.Places(), w.Places()) {
				t.Fatalf("seed %d: another world from %s", seed, name)
			}
		}
		if other, ok := digests[w.Digest()]; ok && w.Len() > 2 {
			t.Errorf("seeds %d and %d have one digest", seed, other)
		}
		digests[w.Digest()] = seed
	}
}

// Every field counts.
func TestDigestSeesFields(t *testing.T) {
	at := func(p Place) string { return build(t, []Network{network("192.0.2.0/24", p)}).Digest() }
	places := []Place{
		{}, {Continent: "EU"}, {Country: "EU"}, {Subdivision: "EU"}, {City: "EU"}, {Label: "EU"}, {Sites: "EU"}, {ASN: 1},
		{ASN: 2}, {Located: true}, {Located: true, Coord: Coord{1, 0}}, {Located: true, Coord: Coord{0, 1}},
		{Continent: "E", Country: "U"}, {Located: true, ASN: 1},
	}
	seen := map[string]Place{build(t, []Network{network("192.0.3.0/24", Place{ASN: 1})}).Digest(): {}}
	for _, p := range places {
		d := at(p)
		if other, ok := seen[d]; ok {
			t.Errorf("%+v and %+v have one digest", p, other)
		}
		seen[d] = p
	}
	if got := at(Place{}); got != new(World).Digest() {
		t.Error("a network that says nothing changed the digest")
	}
}
