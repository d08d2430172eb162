package geo

import (
	"iter"
	"math/bits"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"strconv"
	"testing"
	"time"
)

// full is as large as the largest public databases: 4 million City networks with 150,000 places, 700,000 ASN
// networks.
var full = madeUp{seed: 1, v4: 3_000_000, v6: 1_000_000, places: 150_000, asns: 75_000}

// madeUp is a made-up pair of databases: sorted disjoint networks that fill 1.0.0.0-223.255.255.255 and 2400::/12.
// As in real ones, an autonomous system has a few cities, and the same city recurs nearby.
type madeUp struct {
	seed         uint64
	v4, v6       int
	places, asns int
}

func (m madeUp) city(yield func(netip.Prefix, Place) bool) {
	rnd := rand.New(rand.NewPCG(m.seed, 0))
	n := 0
	for p, block := range m.networks(m.v4, m.v6) {
		if rnd.IntN(3) > 0 {
			n = (m.asn(block)*13 + int(rnd.ExpFloat64()*10)) % m.places
		}
		place := Place{
			Continent: "EU", Country: string([]byte{'A' + byte(n%26), 'A' + byte(n/26%26)}),
			Subdivision: strconv.Itoa(n % 50), City: strconv.Itoa(n % 100_000), Located: true,
			Coord: Coord{Lat: float64(n%18_000)/100 - 90, Lon: float64(n*7%36_000)/100 - 180},
		}
		if !yield(p, place) {
			return
		}
	}
}

func (m madeUp) asnDatabase(yield func(netip.Prefix, Place) bool) {
	for p, block := range m.networks(m.v4/6, m.v6/5) {
		if !yield(p, Place{ASN: 1 + uint32(m.asn(block))}) {
			return
		}
	}
}

// asn gives a block of addresses to an autonomous system; some have many.
func (m madeUp) asn(block uint64) int {
	rnd := rand.New(rand.NewPCG(m.seed, block))
	return min(int(rnd.ExpFloat64()*rnd.ExpFloat64()*float64(m.asns)/4), m.asns)
}

// networks yields about so many networks with the number of the block they are in: a /16 or a /32.
func (m madeUp) networks(v4, v6 int) iter.Seq2[netip.Prefix, uint64] {
	return func(yield func(netip.Prefix, uint64) bool) {
		rnd := rand.New(rand.NewPCG(m.seed, 1))
		fill := func(first, last uint64, count int, width int, prefix func(start uint64, bits int) netip.Prefix) bool {
			mean := (last - first) / uint64(count) * 5 / 2
			for at := first; at < last; {
				size := at & -at // the largest block that is aligned here
				for size > mean || size > 1 && rnd.IntN(3) == 0 {
					size >>= 1
				}
				if !yield(prefix(at, width-bits.Len64(size)+1), at>>16) {
					return false
				}
				at += size
			}
			return true
		}
		_ = fill(1<<24, 224<<24, v4, 32, func(start uint64, bits int) netip.Prefix {
			return netip.PrefixFrom(key{hi: start << 32}.addr(true), bits)
		}) && fill(0x2400<<32, 0x2410<<32, v6, 48, func(start uint64, bits int) netip.Prefix {
			return netip.PrefixFrom(key{hi: start << 16}.addr(false), bits)
		})
	}
}

func megabytes(n uint64) float64 { return float64(n) / 1e6 }

// BenchmarkFullDatabase builds a world as large as the largest public databases and classifies it by the nearest of
// 20 datacenters, in order. It reports what stays in memory.
func BenchmarkFullDatabase(b *testing.B) {
	if testing.Short() {
		b.Skip("4 million networks")
	}
	live := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	for b.Loop() {
		before := live()
		start := time.Now()
		var builder Builder
		if err := builder.Add(full.city); err != nil {
			b.Fatal(err)
		}
		city := time.Since(start)
		if err := builder.Add(full.asnDatabase); err != nil {
			b.Fatal(err)
		}
		w := builder.World()
		b.ReportMetric(city.Seconds(), "s/city")
		b.ReportMetric(time.Since(start).Seconds(), "s/world")
		world := live()
		b.ReportMetric(megabytes(world-before), "MB/world")
		b.ReportMetric(float64(w.Len()), "networks")
		b.ReportMetric(float64(w.PlaceCount()), "places")

		start = time.Now()
		table := w.Classify(nearestOf(20))
		b.ReportMetric(time.Since(start).Seconds(), "s/table")
		b.ReportMetric(megabytes(live()-world), "MB/table")
		runtime.KeepAlive(w)
		runtime.KeepAlive(table)
	}
}

// nearestOf numbers places by the nearest of n datacenters.
func nearestOf(n int) func(Place) uint32 {
	rnd := rand.New(rand.NewPCG(9, 9))
	sites := make([]Coord, n)
	for i := range sites {
		sites[i] = Coord{rnd.Float64()*120 - 60, rnd.Float64()*360 - 180}
	}
	return func(p Place) uint32 {
		best, least := 0, 1e9
		for i, s := range sites {
			if d := Distance(p.Coord, s); d < least {
				best, least = i, d
			}
		}
		return uint32(best)
	}
}

func BenchmarkTableLookup(b *testing.B) {
	var builder Builder
	if err := builder.Add(madeUp{3, 300_000, 100_000, 20_000, 10_000}.city); err != nil {
		b.Fatal(err)
	}
	table := builder.World().Classify(nearestOf(20))
	rnd := rand.New(rand.NewPCG(4, 4))
	var v4, v6 [1 << 12]netip.Addr
	for i := range v4 {
		v4[i] = netip.AddrFrom4([4]byte{byte(1 + rnd.IntN(222)), byte(rnd.Uint32()), byte(rnd.Uint32()), 1})
		v6[i] = netip.AddrFrom16([16]byte{0x24, byte(rnd.IntN(16)), byte(rnd.Uint32()), byte(rnd.Uint32()), byte(rnd.Uint32())})
	}
	for name, addrs := range map[string]*[1 << 12]netip.Addr{"v4": &v4, "v6": &v6} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				table.Lookup(addrs[i&(len(addrs)-1)])
				i++
			}
		})
	}
}

func BenchmarkDistance(b *testing.B) {
	for b.Loop() {
		Distance(Coord{40.7128, -74.0060}, Coord{50.1109, 8.6821})
	}
}
