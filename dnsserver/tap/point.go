package tap

import (
	"math"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/meridian-gtm/meridian/dnsserver/wire"
)

// Point is where one goroutine of a server offers its queries.
type Point struct {
	feed   *Feed
	server netip.AddrPort
	random rand.PCG

	left int             // queries up to the next that is wanted
	due  [maxOutputs]int // for each sink, counted from the last that was wanted
	now  int64           // Unix, nanoseconds; 0 = the clock was not read for this batch
}

// NewPoint returns a point for queries to one address, which may be the zero AddrPort. A nil feed has a nil point.
func (f *Feed) NewPoint(server netip.AddrPort) *Point {
	if f == nil {
		return nil
	}
	p := &Point{feed: f, server: server}
	p.random.Seed(rand.Uint64(), rand.Uint64())
	for i := range f.tap.outputs {
		p.due[i] = p.gap(i)
	}
	p.wait()
	return p
}

// gap draws the number of queries from one that a sink wants to the next, from 1 to twice the mean: clients that ask in
// a rhythm, A and AAAA in turn, must not be sampled in the same.
func (p *Point) gap(output int) int {
	n := p.feed.tap.outputs[output].Sample
	return 1 + int(p.random.Uint64()%uint64(2*n-1))
}

// wait counts up to the next query that any sink wants.
func (p *Point) wait() {
	p.left = math.MaxInt
	for i := range p.feed.tap.outputs {
		p.left = min(p.left, p.due[i])
	}
	for i := range p.feed.tap.outputs {
		p.due[i] -= p.left
	}
}

// SetServer changes the address that queries come to.
func (p *Point) SetServer(server netip.AddrPort) { p.server = server }

// Begin says that the queries to come were read together, now.
func (p *Point) Begin() { p.now = 0 }

// Next reports whether a sink wants the next query, which then goes to Take.
func (p *Point) Next() bool {
	p.left--
	return p.left == 0
}

// Take copies the query that Next spoke of and its answer, which is nil when none is sent. It does not keep them, does
// not allocate and never waits.
func (p *Point) Take(query, answer []byte, client netip.AddrPort, subnet netip.Prefix, tr wire.Transport, m *wire.Meta) {
	var wanted uint8
	for i := range p.feed.tap.outputs {
		if p.due[i] == 0 {
			wanted |= 1 << i
			p.due[i] = p.gap(i)
		}
	}
	p.wait()
	s, number := p.feed.ring.claim()
	if s == nil {
		p.feed.tap.lost.Add(1)
		return
	}
	if p.now == 0 {
		p.now = time.Now().UnixNano()
	}
	s.wanted, s.time, s.client, s.server, s.subnet = wanted, p.now, client, p.server, subnet
	s.transport, s.meta, s.sent = tr, *m, answer != nil
	s.query, s.answer = 0, 0
	if len(s.room) < wholeSize {
		s.query = copy(s.room, query)
	} else {
		if len(query) <= len(s.room) {
			s.query = copy(s.room, query)
		}
		if s.query+len(answer) <= len(s.room) {
			s.answer = copy(s.room[s.query:], answer)
		}
	}
	s.fill(number)
	if number%(ringSize/2) == 0 {
		select {
		case p.feed.tap.wake <- struct{}{}:
		default:
		}
	}
}
