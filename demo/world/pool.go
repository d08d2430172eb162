package world

import "slices"

// Checks in a row that change a director's mind about a replica. The first check of all decides alone.
const (
	poolFall = 2
	poolRise = 2
)

// pool is a director's view of its replicas. It is pure and not safe for concurrent use.
type pool struct {
	backends []backend
	turn     int
}

type backend struct {
	addr   string
	name   string
	known  bool // has been checked at least once
	up     bool
	streak int // checks in a row against up
	active int // connections being forwarded to it
}

// pick chooses the live backend with the fewest connections, in turn among equals, and counts a connection on it.
// Those in skip have been tried.
func (p *pool) pick(skip []int) (index int, ok bool) {
	index = -1
	for i := range p.backends {
		i := (p.turn + i) % len(p.backends)
		b := &p.backends[i]
		if b.up && !slices.Contains(skip, i) && (index < 0 || b.active < p.backends[index].active) {
			index = i
		}
	}
	if index < 0 {
		return 0, false
	}
	p.turn = index + 1
	p.backends[index].active++
	return index, true
}

// done ends a connection that pick counted.
func (p *pool) done(i int) { p.backends[i].active-- }

// observe takes one check's outcome and reports whether the backend came or went.
func (p *pool) observe(i int, ok bool) (changed bool) {
	b := &p.backends[i]
	if !b.known {
		b.known, b.up = true, ok
		return ok
	}
	if ok == b.up {
		b.streak = 0
		return false
	}
	b.streak++
	if b.up && b.streak < poolFall || !b.up && b.streak < poolRise {
		return false
	}
	b.up, b.streak = ok, 0
	return true
}

// live counts the backends that connections are sent to.
func (p *pool) live() (n int) {
	for _, b := range p.backends {
		if b.up {
			n++
		}
	}
	return n
}
