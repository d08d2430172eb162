package geo

import "math"

// EarthRadius is the mean radius of the earth in kilometres (IUGG).
const EarthRadius = 6371.0088

// Distance returns the great-circle distance in kilometres, rounded to whole metres, halves away from zero. It is
// the haversine formula on a sphere of [EarthRadius], within 0.6 % of the real earth.
//
// The result is the same on every machine, so that every node orders sites alike: it is made of additions,
// products, quotients and square roots only, which IEEE 754 rounds in one way, where math.Sin and math.Asin differ
// between architectures. For the same reason each product is converted to float64 before it is added to something,
// which forbids the compiler to fuse the two. Equal coordinates are 0 apart, and Distance(a, b) == Distance(b, a).
func Distance(a, b Coord) float64 {
	lat := sinDegrees((a.Lat - b.Lat) / 2)
	lon := sinDegrees((a.Lon - b.Lon) / 2)
	across := cosDegrees(a.Lat) * cosDegrees(b.Lat)
	h := float64(lat*lat) + float64(across*float64(lon*lon))
	arc := 2 * arcsine(math.Sqrt(min(h, 1)))
	return math.Round(float64(EarthRadius*1000*arc)) / 1000
}

// sinDegrees returns the sine of x degrees, -180..180, within 1e-13.
func sinDegrees(x float64) float64 {
	sign := 1.0
	if x < 0 {
		x, sign = -x, -1
	}
	if x > 90 {
		x = 180 - x
	}
	if x > 45 {
		return sign * cosSeries(float64((90-x)*(math.Pi/180)))
	}
	return sign * sinSeries(float64(x*(math.Pi/180)))
}

// cosDegrees returns the cosine of x degrees, -90..90.
func cosDegrees(x float64) float64 { return sinDegrees(90 - math.Abs(x)) }

// sinSeries and cosSeries are the Taylor series for 0..pi/4.
func sinSeries(x float64) float64 {
	xx, sum := float64(x*x), 1.0
	for _, c := range [...]float64{
		1.0 / (14 * 15), 1.0 / (12 * 13), 1.0 / (10 * 11), 1.0 / (8 * 9), 1.0 / (6 * 7), 1.0 / (4 * 5), 1.0 / (2 * 3),
	} {
		sum = 1 - float64(float64(xx*c)*sum)
	}
	return x * sum
}

func cosSeries(x float64) float64 {
	xx, sum := float64(x*x), 1.0
	for _, c := range [...]float64{
		1.0 / (15 * 16), 1.0 / (13 * 14), 1.0 / (11 * 12), 1.0 / (9 * 10), 1.0 / (7 * 8), 1.0 / (5 * 6), 1.0 / (3 * 4),
		1.0 / (1 * 2),
	} {
		sum = 1 - float64(float64(xx*c)*sum)
	}
	return sum
}

// arcsine returns the angle, 0..pi/2, whose sine is s. The tangent of the angle is halved three times, until the
// series of the arctangent converges fast.
func arcsine(s float64) float64 {
	t := s / (1 + math.Sqrt(max(0, 1-float64(s*s))))
	for range 2 {
		t = t / (1 + math.Sqrt(1+float64(t*t)))
	}
	tt, sum := float64(t*t), 0.0
	for _, c := range [...]float64{
		1.0 / 17, 1.0 / 15, 1.0 / 13, 1.0 / 11, 1.0 / 9, 1.0 / 7, 1.0 / 5, 1.0 / 3, 1,
	} {
		sum = c - float64(tt*sum)
	}
	return 8 * float64(t*sum)
}
