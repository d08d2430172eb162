package zone

import (
	"encoding/binary"
	"math/bits"
)

// maxLabels is how many labels fit a name, the root's not counted.
const maxLabels = 127

// wordOctets is how many octets of a name are folded and hashed at once.
const wordOctets = 8

// WireName is a name to look up in the packed form of zones. It is scratch space for one goroutine, to be used again
// and again.
type WireName struct {
	size   int
	labels int
	at     [maxLabels + 1]uint8             // where each label begins in folded, the root's included
	folded [maxNameOctets + wordOctets]byte // the name in lower case; at least a word of any octets behind it

	hashed int                   // how many of hashes are known
	hashes [maxLabels + 1]uint64 // of the last n labels
}

// Read reads an uncompressed name of at most 255 octets that begins at an offset, at least 8, and returns where it
// ends. It reports false when there is no such name.
func (w *WireName) Read(msg []byte, at int) (end int, ok bool) {
	start, labels := at, 0
	for {
		if at >= len(msg) || at-start >= maxNameOctets {
			return 0, false
		}
		n := msg[at]
		if n > 63 {
			return 0, false
		}
		w.at[labels&maxLabels] = uint8(at - start)
		at += 1 + int(n)
		if n == 0 {
			break
		}
		labels++
	}
	w.size, w.labels, w.hashed = at-start, labels, 0
	w.fold(msg[start-wordOctets : at])
	return at, true
}

// fold takes a name in lower case, behind the word that is before it in its message.
func (w *WireName) fold(name []byte) {
	to := 0
	for ; len(name) >= 2*wordOctets; name = name[wordOctets:] {
		binary.LittleEndian.PutUint64(w.folded[to:], lower(binary.LittleEndian.Uint64(name[wordOctets:])))
		to += wordOctets
	}
	if n := len(name) - wordOctets; n > 0 {
		// The last word is read from where it ends, for nothing may be behind it.
		word := binary.LittleEndian.Uint64(name[n:]) >> shift(n)
		binary.LittleEndian.PutUint64(w.folded[to:], lower(word))
	}
}

// hash names the part of the name from a label on, whatever its case. It goes from right to left, so that a name costs
// no more than the labels of it that are looked up. Zone data is the operator's, so nobody can make names collide who
// could not do worse.
func (w *WireName) hash(label int) uint64 {
	n := w.labels - label
	if w.hashed < n {
		w.extend(n)
	}
	return w.hashes[n&maxLabels]
}

// extend makes the hashes of the last n labels known.
func (w *WireName) extend(n int) {
	h := w.hashes[w.hashed&maxLabels]
	for first := w.labels - w.hashed - 1; first >= w.labels-n; first-- {
		at, end := int(w.at[first&maxLabels]), int(w.at[(first+1)&maxLabels])
		for ; at+wordOctets <= end; at += wordOctets {
			h = mix(h ^ binary.LittleEndian.Uint64(w.folded[at:]))
		}
		if at < end {
			h = mix(h ^ binary.LittleEndian.Uint64(w.folded[at:])<<shift(end-at))
		}
		w.hashes[(w.labels-first)&maxLabels] = h
	}
	w.hashed = n
}

// is tells whether the part of the name from a label on is one in lower case. The last few octets, same, are known to
// be equal if the lengths are.
func (w *WireName) is(label int, name []byte, same int) bool {
	at := int(w.at[label&maxLabels])
	if w.size-at != len(name) {
		return false
	}
	return string(w.folded[at:w.size-same]) == string(name[:len(name)-same])
}

// shift returns how far to shift a word that begins, or ends, with n octets to have only these. The mask tells the
// compiler that it is no more than there are bits.
func shift(n int) int { return (8*wordOctets - 8*n) & (8*wordOctets - 1) }

// lower folds eight octets of ASCII. Length octets are below 'A', so that it need not know where labels begin.
func lower(word uint64) uint64 {
	const ones = 0x0101010101010101
	seven := word & (0x7f * ones)
	fromA := seven + (0x80-'A')*ones
	overZ := seven + (0x7f-'Z')*ones
	upper := (fromA ^ overZ) & ^word & (0x80 * ones)
	return word | upper>>2
}

// mix is one step of a hash: a product folded, as in wyhash.
func mix(h uint64) uint64 {
	hi, lo := bits.Mul64(h^0xa0761d6478bd642f, 0xe7037ed1a0b428db)
	return hi ^ lo
}

// slots is a hash table of positions: each is the lower half of a hash and, behind it, a position plus one. Collisions
// go to the next slot.
type slots []uint64

// newSlots makes a table for n positions, of which two thirds will be filled.
func newSlots(n int) slots { return make(slots, n+n/2+1) }

func (s slots) first(hash uint64) int {
	hi, _ := bits.Mul64(hash, uint64(len(s)))
	return int(hi)
}

func (s slots) next(i int) int {
	if i++; i == len(s) {
		return 0
	}
	return i
}

func (s slots) insert(hash uint64, position uint32) {
	i := s.first(hash)
	for s[i] != 0 {
		i = s.next(i)
	}
	// The place of a slot says much about the upper half of the hash, so it holds the lower half.
	s[i] = hash<<32 | uint64(position+1)
}

// holds tells whether a slot may be of a name with this hash.
func holds(slot, hash uint64) bool { return slot>>32 == hash&0xffffffff }

// position returns what a slot was inserted with.
func position(slot uint64) uint32 { return uint32(slot) - 1 }
