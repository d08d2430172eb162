package world

import "time"

// RoundTrips are the modelled round trips between pairs of places, in either order.
type RoundTrips map[[2]string]time.Duration

// WAN returns the round trips of the demo's three regions.
func WAN() RoundTrips {
	return RoundTrips{
		{"us-east", "eu-west"}:  80 * time.Millisecond,
		{"eu-west", "ap-south"}: 120 * time.Millisecond,
		{"us-east", "ap-south"}: 200 * time.Millisecond,
	}
}

// Between returns the round trip of two places; within a place and between unknown ones it is 0.
func (r RoundTrips) Between(a, b string) time.Duration {
	if d, ok := r[[2]string{a, b}]; ok {
		return d
	}
	return r[[2]string{b, a}]
}
