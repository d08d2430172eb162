package tap

import (
	"net/netip"
	"sync/atomic"

	"github.com/meridian-gtm/meridian/dnsserver/wire"
)

// ringSize is the number of exchanges that wait in a ring, a power of two.
const ringSize = 512

// wholeSize is the room for a query and its answer, in octets: more than a UDP answer of the default size and any usual
// query take.
const wholeSize = 2048

// questionSize is the room for a query up to its question (RFC 1035 section 4.1).
const questionSize = 12 + 255 + 4

// ring is a bounded queue of many writers and one reader (after Vyukov). A slot's turn says whose it is: that of the
// writer who gets the number turn, or, with a turn of the number plus one, the reader's.
type ring struct {
	head atomic.Uint64 // the next writer's number
	_    [56]byte      // the reader's number is on a line of the cache of its own
	tail uint64

	slots [ringSize]slot
}

type slot struct {
	turn atomic.Uint64

	wanted    uint8 // by which sinks
	time      int64 // Unix, nanoseconds
	client    netip.AddrPort
	server    netip.AddrPort
	subnet    netip.Prefix
	transport wire.Transport
	meta      wire.Meta
	sent      bool
	query     int // octets in room; the answer follows
	answer    int
	room      []byte
}

func newRing(room int) *ring {
	r := &ring{}
	rooms := make([]byte, ringSize*room)
	for i := range r.slots {
		r.slots[i].turn.Store(uint64(i))
		r.slots[i].room = rooms[i*room : (i+1)*room]
	}
	return r
}

// claim returns a slot to fill and its number, or nil when the ring is full.
func (r *ring) claim() (s *slot, number uint64) {
	for {
		number = r.head.Load()
		s = &r.slots[number%ringSize]
		switch turn := s.turn.Load(); {
		case turn == number:
			if r.head.CompareAndSwap(number, number+1) {
				return s, number
			}
		case turn < number: // still the reader's, since one round
			return nil, 0
		}
	}
}

// fill hands a claimed slot to the reader.
func (s *slot) fill(number uint64) { s.turn.Store(number + 1) }

// next returns the oldest filled slot, or nil. The reader gives it back with free.
func (r *ring) next() *slot {
	if s := &r.slots[r.tail%ringSize]; s.turn.Load() == r.tail+1 {
		return s
	}
	return nil
}

func (r *ring) free(s *slot) {
	s.turn.Store(r.tail + ringSize)
	r.tail++
}
