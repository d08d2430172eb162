package steer

import (
	"encoding/binary"

	"github.com/meridian-gtm/meridian/health"
)

// fullShare is the share, in permille, that turns no client away.
const fullShare = health.FullWeight

// out is the weight of a member that does not take part.
const out = -1

// resolver turns policy nodes into choices for one class of places and one set of sites that take part. It decides
// whatever needs no client: what cannot be reached is cut, a node with one child left is that child.
type resolver struct {
	def     *definition
	program program
	known   map[string]uint32 // choices by content
	class   outcome
	weights []int32 // permille by member, or out
	sites   []int32 // choice of a member under weights, -1 = not made yet
	stack   []branch
	key     []byte
}

func newResolver(d *definition) *resolver {
	return &resolver{
		def: d, known: map[string]uint32{}, weights: make([]int32, len(d.members)), sites: make([]int32, len(d.members)),
	}
}

// take sets who takes part. Weight returns permille, or out.
func (r *resolver) take(weight func(member int) int32) {
	for i := range r.weights {
		r.weights[i] = weight(i)
		r.sites[i] = -1
	}
}

// appendTaking appends a bit for each member: it takes part.
func (r *resolver) appendTaking(b []byte) []byte {
	for i, w := range r.weights {
		if i%8 == 0 {
			b = append(b, 0)
		}
		if w != out {
			b[len(b)-1] |= 1 << (i % 8)
		}
	}
	return b
}

// resolve returns the choice of a node; false when no site below it takes part.
func (r *resolver) resolve(n *node) (choice uint32, ok bool) {
	base := len(r.stack)
	defer func() { r.stack = r.stack[:base] }()
	switch n.kind {
	case KindSite:
		return r.site(n.member)
	case KindRoundRobin:
		r.push(n.children...)
		return r.all(base)
	case KindFailover:
		r.push(n.children...)
		return r.tiers(base, 1)
	case KindGeo:
		for _, c := range r.geo(n) {
			r.push(n.children[c])
		}
		return r.tiers(base, 1)
	case KindNearest:
		for group := range groups(r.class[n.slot]) {
			if c, ok := r.group(n, group); ok {
				r.stack = append(r.stack, branch{choice: c})
			}
		}
		return r.tiers(base, n.need)
	case KindWeighted:
		for i, c := range n.children {
			if id, ok := r.resolve(c); ok {
				weight := uint64(n.weights[i]) * uint64(r.program.choices[id].share)
				r.stack = append(r.stack, branch{choice: id, weight: weight})
			}
		}
		return r.one(base, opDraw, n.salt, n.salt)
	default:
		for _, c := range n.children {
			if id, ok := r.resolve(c); ok {
				weight, key := uint64(nodeWeight), c.salt
				if c.kind == KindSite {
					weight, key = uint64(r.def.members[c.member].Weight), r.def.members[c.member].key
				}
				weight *= uint64(r.program.choices[id].share)
				r.stack = append(r.stack, branch{choice: id, weight: weight, key: key})
			}
		}
		return r.one(base, opSticky, n.salt, n.salt)
	}
}

// nodeWeight is the weight of a sticky node's child that is not a site: that of a site which states none.
const nodeWeight = 100

// geo returns the children that a geo node sends the class to, in order.
func (r *resolver) geo(n *node) []int {
	fallback := len(n.children) - 1
	if c := int(r.class[n.slot][0]); c != fallback {
		return []int{c, fallback}
	}
	return []int{fallback}
}

// push resolves children onto the stack, those that have nothing left out.
func (r *resolver) push(children ...*node) {
	for _, c := range children {
		if id, ok := r.resolve(c); ok {
			r.stack = append(r.stack, branch{choice: id})
		}
	}
}

func (r *resolver) site(member int) (uint32, bool) {
	if r.weights[member] == out {
		return 0, false
	}
	if r.sites[member] < 0 {
		c := choice{
			op: opSite, share: uint16(r.weights[member]), site: uint32(member), gate: r.def.members[member].key,
		}
		r.sites[member] = int32(r.add(c, nil))
	}
	return uint32(r.sites[member]), true
}

// group makes the choice of sites at one distance.
func (r *resolver) group(n *node, order []uint16) (uint32, bool) {
	base := len(r.stack)
	defer func() { r.stack = r.stack[:base] }()
	for _, i := range order {
		member := n.children[i&^tied].member
		if id, ok := r.site(member); ok {
			m := &r.def.members[member]
			weight := uint64(m.Weight) * uint64(r.program.choices[id].share)
			r.stack = append(r.stack, branch{choice: id, weight: weight, key: m.key})
		}
	}
	// The groups of a node need gates of their own, or whom the first turns away the second would too. The first
	// of a group as configured names it: health must not change the name.
	first := r.def.members[n.children[order[0]&^tied].member].key
	return r.one(base, opGroup, n.salt, mix(n.salt^first))
}

// tiers makes the ordered choice of the children on the stack. A child without any share counts only when it is
// alone; nothing is kept behind children that surely meet the need.
func (r *resolver) tiers(base, need int) (uint32, bool) {
	live := r.shared(base)
	if len(live) == 0 {
		return 0, false
	}
	c := choice{op: opTiers, need: uint16(need)}
	if r.program.choices[live[0].choice].share == 0 {
		live = live[:1]
	}
	sure := 0
	for i, b := range live {
		x := &r.program.choices[b.choice]
		if i == 0 || x.share > c.share {
			c.share, c.best = x.share, b.choice
		}
		if sure += r.sure(x); sure >= need {
			live = live[:i+1]
			break
		}
	}
	if len(live) == 1 && (need == 1 || r.program.choices[live[0].choice].op == opSite) {
		return live[0].choice, true
	}
	return r.add(c, live), true
}

// sure returns how many sites a choice gives every client at least.
func (r *resolver) sure(c *choice) int {
	n := 0
	switch {
	case c.op == opGroup:
		for _, b := range r.program.branches[c.first : c.first+c.count] {
			if r.program.choices[b.choice].share >= fullShare {
				n++
			}
		}
	case c.share >= fullShare:
		n = 1
	}
	return n
}

// all makes the choice of every child on the stack.
func (r *resolver) all(base int) (uint32, bool) {
	live := r.shared(base)
	switch len(live) {
	case 0:
		return 0, false
	case 1:
		return live[0].choice, true
	}
	return r.add(choice{op: opAll, share: r.largest(live)}, live), true
}

// one makes the choice of one child on the stack by weight. Children without weight count only when no child has
// any, and then equally.
func (r *resolver) one(base int, o op, salt, gate uint64) (uint32, bool) {
	live := keep(r.stack[base:], func(b branch) bool { return b.weight > 0 })
	if len(live) == 0 {
		live = r.stack[base:]
		for i := range live {
			live[i].weight = 1
		}
	}
	switch len(live) {
	case 0:
		return 0, false
	case 1:
		return live[0].choice, true
	}
	share := r.largest(live)
	if o != opGroup && share >= fullShare && alike(live) {
		return live[0].choice, true
	}
	if o == opDraw {
		for i := 1; i < len(live); i++ {
			live[i].weight += live[i-1].weight
		}
	}
	return r.add(choice{op: o, share: share, salt: salt, gate: gate}, live), true
}

// shared returns the children on the stack that have a share, or all of them when none has.
func (r *resolver) shared(base int) []branch {
	live := keep(r.stack[base:], func(b branch) bool { return r.program.choices[b.choice].share > 0 })
	if len(live) == 0 {
		return r.stack[base:]
	}
	return live
}

// keep moves the wanted branches to the front and returns them; when there are none it changes nothing.
func keep(all []branch, want func(branch) bool) []branch {
	n := 0
	for _, b := range all {
		if want(b) {
			all[n] = b
			n++
		}
	}
	return all[:n]
}

func alike(live []branch) bool {
	for _, b := range live[1:] {
		if b.choice != live[0].choice {
			return false
		}
	}
	return true
}

func (r *resolver) largest(live []branch) uint16 {
	var share uint16
	for _, b := range live {
		share = max(share, r.program.choices[b.choice].share)
	}
	return share
}

// add returns the position of a choice, which it appends when there is no equal one.
func (r *resolver) add(c choice, branches []branch) uint32 {
	k := append(r.key[:0], byte(c.op))
	k = binary.BigEndian.AppendUint16(k, c.share)
	k = binary.BigEndian.AppendUint16(k, c.need)
	k = binary.BigEndian.AppendUint32(k, c.site)
	k = binary.BigEndian.AppendUint64(k, c.salt)
	k = binary.BigEndian.AppendUint64(k, c.gate)
	for _, b := range branches {
		k = binary.BigEndian.AppendUint32(k, b.choice)
		k = binary.BigEndian.AppendUint64(k, b.weight)
		k = binary.BigEndian.AppendUint64(k, b.key)
	}
	r.key = k
	id, ok := r.known[string(k)]
	if !ok {
		id = uint32(len(r.program.choices))
		r.known[string(k)] = id
		c.first, c.count = uint32(len(r.program.branches)), uint32(len(branches))
		r.program.branches = append(r.program.branches, branches...)
		r.program.choices = append(r.program.choices, c)
	}
	return id
}
