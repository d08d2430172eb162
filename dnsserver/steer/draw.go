package steer

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
)

// Draws hash the client's prefix, not its address, so that the hosts behind one resolver or network keep their site
// and a resolver's cache may hold the answer for all of them. The lengths are those that RFC 7871 section 11.1
// recommends for the most that a resolver reveals, a /56 rounded to the /48 that a site is assigned.
const (
	drawBitsV4 = 24
	drawBitsV6 = 48
)

// Every hash below is part of the product's behaviour: another one would move every client of every draw, and nodes
// of two versions would answer apart.

// mix is the finalizer of SplitMix64 (Steele, Lea, Flood, 2014): a bijection in which each bit depends on all.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// nameKey hashes a name (FNV-1a, then mixed because its low bits are weak).
func nameKey(s string) uint64 {
	h := uint64(0xcbf29ce484222325)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 0x100000001b3
	}
	return mix(h)
}

// clientKey names the prefix that draws hash, and returns its length. The zero Addr has a key of its own.
func clientKey(a netip.Addr) (key uint64, bits uint8) {
	switch {
	case a.Is4():
		b := a.As4()
		return 4<<56 | uint64(binary.BigEndian.Uint32(b[:])>>(32-drawBitsV4)), drawBitsV4
	case a.Is6():
		b := a.As16()
		return 6<<56 | binary.BigEndian.Uint64(b[:8])>>(64-drawBitsV6), drawBitsV6
	default:
		return 0, 0
	}
}

// below maps a hash to 0..n-1 with equal shares.
func below(h, n uint64) uint64 {
	hi, _ := bits.Mul64(h, n)
	return hi
}

// logBits is the number of fractional bits of logarithm: two children whose scores agree in all of them are told
// apart by their hashes, which costs the lighter one less than one client prefix in a million.
const logBits = 24

// logarithm returns -log2((h+1) / 2^64) in units of 2^-24, rounded down to at most 64 << 24. It is integer-only so
// that every machine agrees, and never grows with h.
func logarithm(h uint64) uint64 {
	if h == 1<<64-1 {
		return 0
	}
	h++
	zeros := bits.LeadingZeros64(h)
	// m / 2^63 is in [1, 2); squaring it doubles its logarithm, whose integer bit falls out.
	m := h << zeros
	var fraction uint64
	for range logBits {
		hi, _ := bits.Mul64(m, m) // m*m / 2^64, in [2^62, 2^64)
		fraction <<= 1
		if hi >= 1<<63 {
			fraction |= 1
			m = hi
		} else {
			m = hi << 1
		}
	}
	return uint64(zeros+1)<<logBits - fraction
}

// ahead reports whether a comes before b in weighted rendezvous order (Schindelhauer, Schomaker, 2005): the least
// -log(hash) / weight first, so that each is first for a share of clients in proportion to its weight, and taking
// one away moves no client of another. Weights are above 0 and at most 10^6, a site's, times 10,000 permille: less
// than 2^34, so that the products below, with logarithms of at most 2^30, do not overflow.
func ahead(a, b contender) bool {
	if a.weight != b.weight {
		x, y := logarithm(a.hash)*b.weight, logarithm(b.hash)*a.weight
		if x != y {
			return x < y
		}
	}
	if a.hash != b.hash {
		return a.hash > b.hash
	}
	return a.place < b.place
}

// contender is a child in a rendezvous.
type contender struct {
	hash, weight uint64
	place        int // position among the children: the last tie-break
}
