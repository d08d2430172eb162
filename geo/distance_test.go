package geo

import (
	"math"
	"math/rand/v2"
	"testing"
)

var (
	newYork   = Coord{40.7128, -74.0060}
	frankfurt = Coord{50.1109, 8.6821}
	mumbai    = Coord{19.0760, 72.8777}
	sydney    = Coord{-33.8688, 151.2093}
)

func TestDistance(t *testing.T) {
	half := math.Round(math.Pi*EarthRadius*1000) / 1000 // half around the earth
	for _, c := range []struct {
		name string
		a, b Coord
		want float64
	}{
		{"New York - Frankfurt", newYork, frankfurt, 6202.685},
		{"Frankfurt - Mumbai", frankfurt, mumbai, 6563.793},
		{"Mumbai - Sydney", mumbai, sydney, 10156.833},
		{"nothing", mumbai, mumbai, 0},
		{"across the date line", Coord{0, 179.5}, Coord{0, -179.5}, 111.195},
		{"one meridian at both ends", Coord{10, 180}, Coord{10, -180}, 0},
		{"pole to pole", Coord{90, 0}, Coord{-90, 77}, half},
		{"one pole", Coord{90, 0}, Coord{90, 120}, 0},
		{"opposite on the equator", Coord{0, -90}, Coord{0, 90}, half},
		{"a metre", Coord{50, 8}, Coord{50.000009, 8}, 0.001},
	} {
		if got := Distance(c.a, c.b); got != c.want {
			t.Errorf("%s: %.6f km: want %.6f", c.name, got, c.want)
		}
	}
}

// The series agree with the library's haversine to the metre that the result is rounded to.
func TestDistanceAgainstLibrary(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 50_000 {
		a, b := randomCoord(rnd), randomCoord(rnd)
		if rnd.IntN(4) == 0 { // near each other
			b = Coord{max(-90, min(90, a.Lat+rnd.Float64()-0.5)), max(-180, min(180, a.Lon+rnd.Float64()-0.5))}
		}
		rad := math.Pi / 180
		sinLat, sinLon := math.Sin((a.Lat-b.Lat)/2*rad), math.Sin((a.Lon-b.Lon)/2*rad)
		h := sinLat*sinLat + math.Cos(a.Lat*rad)*math.Cos(b.Lat*rad)*sinLon*sinLon
		want := 2 * EarthRadius * math.Asin(math.Sqrt(min(1, h)))
		got := Distance(a, b)
		if math.Abs(got-want) > 0.00051 {
			t.Fatalf("%v - %v: %.6f km: want %.6f", a, b, got, want)
		}
		if back := Distance(b, a); back != got {
			t.Fatalf("%v - %v: %v km there, %v km back", a, b, got, back)
		}
		if got != math.Round(got*1000)/1000 {
			t.Fatalf("%v - %v: %v km is not whole metres", a, b, got)
		}
	}
}

// The sum of many distances is the same on every machine: compilers for arm64, ppc64le, riscv64, s390x and amd64 v3
// would fuse products and sums if they were allowed to, and this is what shows it.
func TestDistanceIsPortable(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	var metres uint64
	for range 100_000 {
		metres += uint64(math.Round(Distance(randomCoord(rnd), randomCoord(rnd)) * 1000))
	}
	if want := uint64(1001138518943); metres != want {
		t.Errorf("%d m in all: want %d", metres, want)
	}
	// Before it is rounded, too.
	var bits uint64
	for range 100_000 {
		c := randomCoord(rnd)
		bits = bits*31 + math.Float64bits(sinDegrees(c.Lon)) + math.Float64bits(arcsine(math.Abs(c.Lat)/90))
	}
	if want := uint64(0x2abeb46fa99b4139); bits != want {
		t.Errorf("bits %#x: want %#x", bits, want)
	}
}

// randomCoord avoids multiplications that a compiler could fuse.
func randomCoord(rnd *rand.Rand) Coord {
	return Coord{float64(rnd.IntN(180_000_001)-90_000_000) / 1e6, float64(rnd.IntN(360_000_001)-180_000_000) / 1e6}
}
