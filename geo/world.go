package geo

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"iter"
	"math"
	"net/netip"
)

// World is a total partition of both address families into prefixes with places. The zero World knows nothing.
// Make one with a [Builder].
type World struct {
	v4, v6 trie
	places []record // distinct, numbered in address order, IPv4 first; 0 is the zero Place
	atlas  atlas
	digest string
}

// Places returns the distinct places; index 0 is the zero Place. Every call makes a new slice, 130 bytes a place.
func (w *World) Places() []Place {
	out := make([]Place, w.PlaceCount())
	for n := range out {
		out[n] = w.place(uint32(n))
	}
	return out
}

// Lookup returns the place of addr and the widest prefix around addr that has that one place. A 4-in-6 address
// must be unmapped by the caller. It takes one step per bit: it is for explanations, a [Table] is for answers.
func (w *World) Lookup(addr netip.Addr) (Place, netip.Prefix) {
	n, bits := w.family(addr).find(keyOf(addr))
	prefix, _ := addr.WithZone("").Prefix(bits) // fails for the zero Addr, whose prefix is the zero Prefix
	return w.place(n), prefix
}

// Networks walks the partition in the order of [netip.Prefix.Compare], networks without a known field included. It
// is a valid layer for a [Builder].
func (w *World) Networks() iter.Seq2[netip.Prefix, Place] {
	return func(yield func(netip.Prefix, Place) bool) {
		more := w.v4.walk(w.v4.root, key{}, 0, func(k key, bits int, n uint32) bool {
			return yield(netip.PrefixFrom(k.addr(true), bits), w.place(n))
		})
		if !more {
			return
		}
		w.v6.walk(w.v6.root, key{}, 0, func(k key, bits int, n uint32) bool {
			return yield(netip.PrefixFrom(k.addr(false), bits), w.place(n))
		})
	}
}

// PlaceCount returns the number of distinct places, the zero Place included: len(w.Places()) without making them.
func (w *World) PlaceCount() int { return max(1, len(w.places)) }

// Len returns the number of networks of the partition.
func (w *World) Len() int { return w.v4.leaves() + w.v6.leaves() }

// Digest identifies the contents, 32 hex digits: worlds that give every address the same place have equal digests
// on every machine, whatever layers they were made from.
func (w *World) Digest() string {
	if w.digest == "" { // the zero World
		return w.sum()
	}
	return w.digest
}

// unlocated stands for missing coordinates in a digest: not-a-number, which coordinates never are.
const unlocated = math.MaxUint64

// sum hashes places and tries, both of which have one form per content.
func (w *World) sum() string {
	h := sha256.New()
	out := bufio.NewWriterSize(h, 1<<16) // a hash never fails
	var word [8]byte
	number := func(n uint64) {
		binary.BigEndian.PutUint64(word[:], n)
		out.Write(word[:])
	}
	number(uint64(w.PlaceCount()))
	for n := range uint32(w.PlaceCount()) {
		p := w.place(n)
		for _, s := range [...]string{p.Continent, p.Country, p.Subdivision, p.City, p.Label, p.Sites} {
			number(uint64(len(s)))
			out.WriteString(s)
		}
		number(uint64(p.ASN))
		if p.Located {
			number(math.Float64bits(p.Coord.Lat))
			number(math.Float64bits(p.Coord.Lon))
		} else {
			number(unlocated)
		}
	}
	for _, t := range [...]*trie{&w.v4, &w.v6} {
		number(uint64(len(t.nodes)))
		number(uint64(t.root))
		for _, children := range t.nodes {
			number(uint64(children[0])<<32 | uint64(children[1]))
		}
	}
	out.Flush()
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// place returns place n. The zero World has place 0 alone.
func (w *World) place(n uint32) Place {
	if n == 0 {
		return Place{}
	}
	return w.atlas.place(w.places[n])
}

func (w *World) family(addr netip.Addr) *trie {
	if addr.Is4() {
		return &w.v4
	}
	return &w.v6
}
