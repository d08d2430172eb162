package geo

import (
	"encoding/binary"
	"net/netip"
)

// trie is a total partition of one family's address space: a binary tree in which every node has two children and
// every leaf is a place. It is reduced (no node has two equal leaves) and its nodes are in post-order (children
// before parents, left before right), so equal partitions are equal arrays. The zero trie is one leaf with place 0.
//
// Nodes hold no pointers: the garbage collector never looks at the tens of megabytes of a full database.
type trie struct {
	nodes [][2]ref
	root  ref
}

// ref points to a node of a trie, or is a leaf with the number of its place.
type ref uint32

const nodeFlag ref = 1 << 31

func (r ref) isNode() bool      { return r&nodeFlag != 0 }
func (r ref) index() uint32     { return uint32(r &^ nodeFlag) }
func (t *trie) node() ref       { return nodeFlag | ref(len(t.nodes)-1) }
func (t *trie) leaves() int     { return len(t.nodes) + 1 }
func (t *trie) at(r ref) [2]ref { return t.nodes[r.index()] }

// join returns the parent of two subtrees of t, which must be the newest: a leaf when both are the same leaf.
func (t *trie) join(left, right ref) ref {
	if left == right && !left.isNode() {
		return left
	}
	t.nodes = append(t.nodes, [2]ref{left, right})
	return t.node()
}

// find returns the place at k and the length of its prefix in bits.
func (t *trie) find(k key) (place uint32, bits int) {
	r := t.root
	for r.isNode() {
		r = t.at(r)[k.bit(bits)]
		bits++
	}
	return r.index(), bits
}

// walk calls yield for every leaf in ascending order until it returns false.
func (t *trie) walk(r ref, k key, bits int, yield func(k key, bits int, place uint32) bool) bool {
	if !r.isNode() {
		return yield(k, bits, r.index())
	}
	children := t.at(r)
	return t.walk(children[0], k, bits+1, yield) && t.walk(children[1], k.set(bits), bits+1, yield)
}

// key is an address, or the first address of a prefix, with its first bit on top: IPv4 uses the top 32 bits.
type key struct{ hi, lo uint64 }

func keyOf(a netip.Addr) key {
	if a.Is4() {
		b := a.As4()
		return key{hi: uint64(binary.BigEndian.Uint32(b[:])) << 32}
	}
	b := a.As16()
	return key{hi: binary.BigEndian.Uint64(b[:8]), lo: binary.BigEndian.Uint64(b[8:])}
}

// addr is the reverse of keyOf.
func (k key) addr(v4 bool) netip.Addr {
	if v4 {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], uint32(k.hi>>32))
		return netip.AddrFrom4(b)
	}
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], k.hi)
	binary.BigEndian.PutUint64(b[8:], k.lo)
	return netip.AddrFrom16(b)
}

// bit returns the bit at depth i, 0..127.
func (k key) bit(i int) uint64 {
	if i < 64 {
		return k.hi >> (63 - i) & 1
	}
	return k.lo >> (127 - i) & 1
}

// set returns k with the bit at depth i set.
func (k key) set(i int) key {
	if i < 64 {
		k.hi |= 1 << (63 - i)
	} else {
		k.lo |= 1 << (127 - i)
	}
	return k
}

// within reports whether k is inside the prefix p/bits.
func (k key) within(p key, bits int) bool {
	if bits <= 64 {
		return (k.hi^p.hi)>>(64-bits) == 0
	}
	return k.hi == p.hi && (k.lo^p.lo)>>(128-bits) == 0
}
