package geo

import (
	"fmt"
	"iter"
	"net/netip"
	"slices"
)

// Network is one prefix of a layer and what the layer says about it.
type Network struct {
	Prefix netip.Prefix
	Place  Place
}

// Layer returns the networks in the order that [Builder.Add] wants, whatever order they are given in. It is for
// small layers: a database is walked in order anyway.
func Layer(networks ...Network) iter.Seq2[netip.Prefix, Place] {
	sorted := slices.SortedStableFunc(slices.Values(networks), func(a, b Network) int {
		return a.Prefix.Compare(b.Prefix)
	})
	return func(yield func(netip.Prefix, Place) bool) {
		for _, n := range sorted {
			if !yield(n.Prefix, n.Place) {
				return
			}
		}
	}
}

// Builder lays layers of networks over each other and makes a [World]. Its zero value is ready; it is not safe for
// concurrent use.
type Builder struct {
	v4, v6 trie
	places []record // distinct, numbered in address order, IPv4 first; 0 is the zero Place
	parts  *interner
	failed error
}

// Add lays the next layer over what is there. Networks come in the order of [netip.Prefix.Compare]: IPv4 first, by
// address, the shorter prefix before those nested in it; a prefix comes once. Within the layer the longest prefix
// around an address speaks alone. Over the earlier layers it wins field by field: its empty fields leave what is
// there, and an unlocated place leaves the coordinates.
//
// Add stops at the first network that is out of order, has host bits set or an impossible place, and the builder
// can then only be dropped: every later call returns the same error.
//
// The layer is read once, as it comes, and nothing of it is kept but distinct places: the cost is the world so far
// plus the world to be.
func (b *Builder) Add(layer iter.Seq2[netip.Prefix, Place]) error {
	if b.failed != nil {
		return b.failed
	}
	if b.parts == nil {
		b.parts = newInterner()
		b.places = []record{{}}
	}
	next, stop := iter.Pull2(layer)
	defer stop()
	o := overlay{
		parts: b.parts, next: next,
		below: b.places, above: []record{{}}, aboveAt: map[record]uint32{{}: 0},
		out: []record{{}}, outAt: map[record]uint32{{}: 0},
	}
	o.advance()
	v4 := o.lay(&b.v4, true)
	v6 := o.lay(&b.v6, false)
	if o.err != nil {
		*b = Builder{failed: o.err}
		return o.err
	}
	b.v4, b.v6, b.places = v4, v6, slices.Clip(o.out)
	return nil
}

// World returns the world as the layers so far make it. The builder may be used further.
func (b *Builder) World() *World {
	w := &World{v4: b.v4, v6: b.v6, places: b.places}
	if b.parts != nil {
		w.atlas = b.parts.atlas
	}
	w.digest = w.sum()
	return w
}

// overlay is one run of Add: it walks the tries so far and the sorted layer side by side and writes new tries.
type overlay struct {
	parts *interner
	next  func() (netip.Prefix, Place, bool)

	// The network of the layer that the walk has not reached yet.
	more   bool
	prefix netip.Prefix
	v4     bool
	key    key
	bits   int
	place  uint32 // position in above
	last   Place  // its place: runs of equal ones are common
	err    error

	below   []record // places so far
	above   []record // places of the layer
	aboveAt map[record]uint32
	out     []record // places to be
	outAt   map[record]uint32

	// The last combination: networks are split more often than places change.
	lastBelow, lastAbove, lastOut uint32

	trie trie // being written
}

// lay returns old under the layer's networks of one family.
func (o *overlay) lay(old *trie, v4 bool) trie {
	o.trie = trie{nodes: make([][2]ref, 0, len(old.nodes))}
	o.trie.root = o.visit(old, v4, old.root, key{}, 0, 0)
	o.trie.nodes = slices.Clip(o.trie.nodes)
	return o.trie
}

// visit writes the subtree at k/bits. Above is the place of the longest network seen around it.
func (o *overlay) visit(old *trie, v4 bool, below ref, k key, bits int, above uint32) ref {
	if o.more && o.v4 == v4 && o.bits == bits && o.key == k {
		above = o.place
		o.advance()
	}
	left, right := below, below
	switch {
	case below.isNode():
		children := old.at(below)
		left, right = children[0], children[1]
	case !o.more || o.v4 != v4 || !o.key.within(k, bits):
		return ref(o.combine(below.index(), above))
	}
	l := o.visit(old, v4, left, k, bits+1, above)
	r := o.visit(old, v4, right, k.set(bits), bits+1, above)
	return o.trie.join(l, r)
}

// advance reads the next network of the layer, or ends it.
func (o *overlay) advance() {
	prefix, place, ok := o.next()
	if o.more = ok && o.err == nil; !o.more {
		return
	}
	switch {
	case !prefix.IsValid() || prefix != prefix.Masked() || prefix.Addr().Is4In6():
		o.err = fmt.Errorf("network %s: want an IPv4 or IPv6 prefix without host bits, not 4-in-6", prefix)
	case o.prefix.IsValid() && prefix.Compare(o.prefix) <= 0:
		o.err = fmt.Errorf("network %s after %s: want ascending order, each once", prefix, o.prefix)
	case !place.valid():
		o.err = fmt.Errorf("network %s: coord %v, %v: want latitude -90..90, longitude -180..180",
			prefix, place.Coord.Lat, place.Coord.Lon)
	}
	if o.err != nil {
		o.more = false
		return
	}
	o.prefix, o.key, o.bits, o.v4 = prefix, keyOf(prefix.Addr()), prefix.Bits(), prefix.Addr().Is4()
	if place != o.last {
		o.last, o.place = place, number(&o.above, o.aboveAt, o.parts.record(place))
	}
}

// combine returns the number of an old place under a place of the layer. Numbers are given in the order in which
// the walk meets places, so that equal worlds have equal numbers.
func (o *overlay) combine(below, above uint32) uint32 {
	if below != o.lastBelow || above != o.lastAbove {
		o.lastBelow, o.lastAbove = below, above
		o.lastOut = number(&o.out, o.outAt, o.parts.over(o.below[below], o.above[above]))
	}
	return o.lastOut
}
