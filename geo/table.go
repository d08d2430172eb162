package geo

import (
	"encoding/binary"
	"math"
	"math/bits"
	"net/netip"
)

// Table maps every address to a class. The zero Table has class 0 everywhere.
type Table struct{ v4, v6 index }

// Lookup returns addr's class and the length in bits of the widest prefix around addr that is all of that class.
// It does not allocate. A 4-in-6 address must be unmapped by the caller.
func (t *Table) Lookup(addr netip.Addr) (class uint32, bits uint8) {
	if addr.Is4() {
		b := addr.As4()
		return t.v4.find(uint64(binary.BigEndian.Uint32(b[:]))<<32, 0).split()
	}
	b := addr.As16()
	return t.v6.find(binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])).split()
}

// index is one family's table, after Asai and Ohara, "Poptrie" (SIGCOMM 2015): the first 18 bits index an array, then each
// step takes 6 bits. A step's 64 slots are two bit sets, so that its children lie side by side and equal neighbouring
// leaves are stored once: a bit count finds either. An IPv4 /24 is one step away, an IPv6 /48 is 5. Most of a lookup is
// waiting for memory, so a step is half a cache line, with its leaves in it if they are few.
type index struct {
	root   []uint32 // 1 << rootBits leaves, or toNode and the position of a node; nil when everything is only
	only   entry
	nodes  []stride
	leaves []uint32 // by their kinds
	kinds  []entry  // of leaves, each once
}

const (
	rootBits   = 18
	strideBits = 6
)

// toNode marks what is in the root and no leaf.
const toNode = 1 << 31

// stride is one step: slot i leads to a node when children has bit i, else to a leaf; runs has the bits of those
// slots at which another leaf begins.
type stride struct {
	children uint64
	runs     uint64
	at       [ownLeaves]uint32 // its leaves; or the positions of its first node and its first leaf, and last apart
}

// ownLeaves is how many leaves a step without children may have in itself.
const ownLeaves = 4

// apart is no leaf.
const apart = math.MaxUint32

// entry is a kind of leaf: class << 8 | bits.
type entry uint64

func leafEntry(class uint32, bits int) entry { return entry(class)<<8 | entry(bits) }

func (e entry) split() (class uint32, bits uint8) { return uint32(e >> 8), uint8(e) }

func (x *index) find(hi, lo uint64) entry {
	if x.root == nil {
		return x.only
	}
	e := x.root[hi>>(64-rootBits)]
	if e&toNode == 0 {
		return x.kinds[e]
	}
	n := e &^ toNode
	hi, lo = hi<<rootBits|lo>>(64-rootBits), lo<<rootBits
	for {
		s := &x.nodes[n]
		slot := uint64(1) << (hi >> (64 - strideBits))
		before := slot - 1
		if s.children&slot == 0 {
			leaf := uint32(bits.OnesCount64(s.runs&(slot|before))) - 1
			if s.at[ownLeaves-1] != apart {
				return x.kinds[s.at[leaf%ownLeaves]]
			}
			return x.kinds[x.leaves[s.at[1]+leaf]]
		}
		n = s.at[0] + uint32(bits.OnesCount64(s.children&before))
		hi, lo = hi<<strideBits|lo>>(64-strideBits), lo<<strideBits
	}
}

// Classify calls class once per distinct place and returns the table from address to class, with equal neighbours
// merged: no prefix that the table reports could be one bit shorter. A full city database takes about a tenth of
// a second plus the calls.
func (w *World) Classify(class func(Place) uint32) *Table {
	// Classes are numbered from 0 so that one number is left to say "mixed".
	classes := make([]uint32, 0, 16)
	numbers := map[uint32]uint32{}
	ofPlace := make([]uint32, w.PlaceCount())
	for n := range ofPlace {
		c := class(w.place(uint32(n)))
		number, ok := numbers[c]
		if !ok {
			number = uint32(len(classes))
			numbers[c] = number
			classes = append(classes, c)
		}
		ofPlace[n] = number
	}
	compile := func(t *trie) index {
		c := compiler{trie: t, ofPlace: ofPlace, classes: classes, ofKind: map[entry]uint32{}}
		return c.compile()
	}
	return &Table{v4: compile(&w.v4), v6: compile(&w.v6)}
}

// compiler turns one trie of places into an index of classes.
type compiler struct {
	trie    *trie
	ofPlace []uint32 // place to number of its class
	classes []uint32 // number to class
	ofNode  []uint32 // node to the number of the one class below it, or mixed
	ofKind  map[entry]uint32
	out     index
}

const mixed = math.MaxUint32

func (c *compiler) compile() index {
	// Children come before parents, so one pass settles which nodes are of one class: those become leaves.
	c.ofNode = make([]uint32, len(c.trie.nodes))
	for n, children := range c.trie.nodes {
		left, right := c.class(children[0]), c.class(children[1])
		if left != right {
			left = mixed
		}
		c.ofNode[n] = left
	}
	root := slot{r: c.trie.root}
	if !c.mixed(root.r) {
		return index{only: c.entry(root)}
	}
	slots := make([]slot, 1<<rootBits)
	c.spread(root, rootBits, slots)
	c.out.root = make([]uint32, len(slots))
	for i, s := range slots {
		if !c.mixed(s.r) {
			c.out.root[i] = c.leaf(s)
			continue
		}
		n := len(c.out.nodes)
		c.out.nodes = append(c.out.nodes, stride{})
		c.out.root[i] = toNode | uint32(n)
		c.fill(n, s)
	}
	return c.out
}

// slot is a subtree and the length of its prefix.
type slot struct {
	r    ref
	bits int
}

// fill writes node n for the subtree s and, side by side, the nodes below it.
func (c *compiler) fill(n int, s slot) {
	var slots [1 << strideBits]slot
	c.spread(s, strideBits, slots[:])
	var node stride
	firstNode, firstLeaf := len(c.out.nodes), len(c.out.leaves)
	for i, s := range slots {
		if c.mixed(s.r) {
			node.children |= 1 << i
			c.out.nodes = append(c.out.nodes, stride{})
			continue
		}
		leaf := c.leaf(s)
		if node.runs == 0 || leaf != c.out.leaves[len(c.out.leaves)-1] {
			node.runs |= 1 << i
			c.out.leaves = append(c.out.leaves, leaf)
		}
	}
	if own := c.out.leaves[firstLeaf:]; node.children == 0 && len(own) <= ownLeaves {
		copy(node.at[:], own)
		c.out.leaves = c.out.leaves[:firstLeaf]
	} else {
		node.at = [ownLeaves]uint32{uint32(firstNode), uint32(firstLeaf), ownLeaves - 1: apart}
	}
	c.out.nodes[n] = node
	child := firstNode
	for _, s := range slots {
		if c.mixed(s.r) {
			c.fill(child, s)
			child++
		}
	}
}

// spread fills 1 << width slots with the subtrees that many bits below s, or with the leaves above them.
func (c *compiler) spread(s slot, width int, slots []slot) {
	if width == 0 || !c.mixed(s.r) {
		for i := range slots {
			slots[i] = s
		}
		return
	}
	children, half := c.trie.at(s.r), len(slots)/2
	c.spread(slot{children[0], s.bits + 1}, width-1, slots[:half])
	c.spread(slot{children[1], s.bits + 1}, width-1, slots[half:])
}

func (c *compiler) class(r ref) uint32 {
	if r.isNode() {
		return c.ofNode[r.index()]
	}
	return c.ofPlace[r.index()]
}

func (c *compiler) mixed(r ref) bool { return c.class(r) == mixed }

func (c *compiler) entry(s slot) entry { return leafEntry(c.classes[c.class(s.r)], s.bits) }

// leaf returns the position of a subtree's kind.
func (c *compiler) leaf(s slot) uint32 {
	e := c.entry(s)
	at, ok := c.ofKind[e]
	if !ok {
		at = uint32(len(c.out.kinds))
		c.out.kinds = append(c.out.kinds, e)
		c.ofKind[e] = at
	}
	return at
}
