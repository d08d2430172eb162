package steer

import "net/netip"

// program is what is left of a policy tree when the client's class and the sites' standing are known: mostly a
// single site, else the draws, ramps and rotations that only a query can decide. Its choices refer to each other
// by position, so that equal ones are shared between classes.
type program struct {
	choices  []choice
	branches []branch
}

// choice is one node of a program.
type choice struct {
	op    op
	share uint16 // permille of clients that it takes where there is something after it: the most of its sites
	need  uint16 // tiers: sites wanted together; 1 = one child, whatever that answers
	site  uint32 // site: position among the members
	best  uint32 // tiers: who takes the clients that every tier turned away
	first uint32 // branches
	count uint32
	salt  uint64 // of draws between the branches
	gate  uint64 // of the draw whether it takes the client at all
}

// branch is a child of a choice.
type branch struct {
	choice uint32
	weight uint64 // draw: upper bound of its part of 0..total-1; group, sticky: weight
	key    uint64 // group, sticky: what the rendezvous knows it by
}

type op uint8

const (
	opSite   op = iota
	opTiers     // children in order, until need is met: failover, geo, nearest
	opAll       // every child, rotated: round-robin
	opGroup     // sites at one distance: all when as many are wanted, else by rendezvous
	opDraw      // one child, by cumulative weight: weighted
	opSticky    // one child, by weighted rendezvous
)

// decision is one run of a program for one client. It lives on the stack of [Plan.Answer].
type decision struct {
	program *program
	addrs   []netip.Addr // by member
	out     []netip.Addr
	base    int    // what out held before
	seed    uint64 // of the client's prefix and the service
	turn    uint32
	hashed  bool // the prefix made a difference
	sites   uint64
}

// take answers from a choice and returns how many sites it gave. A strict choice may turn the client away, by its
// share, and then gives 0; any other gives at least one. Want is how many sites a group should give.
func (d *decision) take(n uint32, strict bool, want int) int {
	c := &d.program.choices[n]
	switch c.op {
	case opSite:
		if strict && !d.admits(c) {
			return 0
		}
		d.append(d.addrs[c.site])
		d.sites |= 1 << min(c.site, MaxSites-1)
		return 1
	case opTiers:
		return d.tiers(c, strict)
	case opAll:
		start := len(d.out)
		got := d.all(c, strict)
		d.rotate(start)
		return got
	case opGroup:
		if want >= int(c.count) {
			return d.all(c, strict)
		}
		if strict && !d.admits(c) {
			return 0
		}
		return d.rendezvous(c, want)
	case opSticky:
		if strict && !d.admits(c) {
			return 0
		}
		return d.rendezvous(c, 1)
	default:
		if strict && !d.admits(c) {
			return 0
		}
		return d.take(d.drawn(c), false, 1)
	}
}

func (d *decision) tiers(c *choice, strict bool) int {
	start, got, need := len(d.out), 0, int(c.need)
	for _, b := range d.branches(c) {
		if got += d.take(b.choice, true, need-got); got >= need {
			break
		}
	}
	if got == 0 && !strict {
		got = d.take(c.best, false, need)
	}
	if need > 1 {
		d.rotate(start)
	}
	return got
}

// all takes every child that admits the client; when none does and somebody must, those with the largest share.
func (d *decision) all(c *choice, strict bool) int {
	got := 0
	for _, b := range d.branches(c) {
		got += d.take(b.choice, true, 1)
	}
	if got > 0 || strict {
		return got
	}
	for _, b := range d.branches(c) {
		if d.program.choices[b.choice].share == c.share {
			got += d.take(b.choice, false, 1)
		}
	}
	return got
}

// rendezvous takes the first k children in rendezvous order. Children are few, so it looks for each in turn, the
// best of those that come after the last.
func (d *decision) rendezvous(c *choice, k int) int {
	d.hashed = true
	branches, got := d.branches(c), 0
	var last contender
	for range k {
		last = d.next(c, last)
		got += d.take(branches[last.place].choice, false, 1)
	}
	return got
}

// next returns the child that comes after last in rendezvous order; the zero contender comes before all.
func (d *decision) next(c *choice, last contender) contender {
	best := contender{place: -1}
	for i, b := range d.branches(c) {
		x := contender{hash: d.hash(c.salt ^ b.key), weight: b.weight, place: i}
		if (last.weight == 0 || ahead(last, x)) && (best.place < 0 || ahead(x, best)) {
			best = x
		}
	}
	return best
}

// drawn returns the child whose part of the weight the client's hash falls in.
func (d *decision) drawn(c *choice) uint32 {
	d.hashed = true
	branches := d.branches(c)
	point := below(d.hash(c.salt), branches[len(branches)-1].weight)
	for _, b := range branches {
		if point < b.weight {
			return b.choice
		}
	}
	return branches[len(branches)-1].choice // not reached: point is below the last bound
}

// admits decides by the client's prefix whether it is among the share that c takes.
func (d *decision) admits(c *choice) bool {
	if c.share >= fullShare || c.share == 0 {
		return c.share > 0
	}
	d.hashed = true
	return below(d.hash(^c.gate), fullShare) < uint64(c.share)
}

func (d *decision) hash(salt uint64) uint64 { return mix(d.seed ^ salt) }

func (d *decision) branches(c *choice) []branch {
	return d.program.branches[c.first : c.first+c.count]
}

// append adds an address once: two branches may lead to one site.
func (d *decision) append(a netip.Addr) {
	for _, have := range d.out[d.base:] {
		if have == a {
			return
		}
	}
	d.out = append(d.out, a)
}

// rotate turns the addresses from start on by the caller's turn.
func (d *decision) rotate(start int) { rotate(d.out[start:], d.turn) }

func rotate(a []netip.Addr, turn uint32) {
	if len(a) < 2 {
		return
	}
	k := int(turn % uint32(len(a)))
	reverse(a[:k])
	reverse(a[k:])
	reverse(a)
}

func reverse(a []netip.Addr) {
	for i, j := 0, len(a)-1; i < j; i, j = i+1, j-1 {
		a[i], a[j] = a[j], a[i]
	}
}
