package dnsserver

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// latencyBuckets are powers of two from 1 us to 0.5 s, and what is longer.
const latencyBuckets = 21

// Latency is a histogram of the time from taking queries from the kernel to handing all of their answers to it.
type Latency struct {
	Buckets [latencyBuckets]uint64 // queries that took up to 2^i us and longer than the one before; the last has no end
	Sum     time.Duration          // of all queries measured
}

// Count returns the number of queries measured.
func (l *Latency) Count() (n uint64) {
	for _, b := range l.Buckets {
		n += b
	}
	return n
}

// latency counts what a [Latency] reports.
type latency struct {
	buckets [latencyBuckets]atomic.Uint64
	sum     atomic.Int64
}

// add notes that n queries took d.
func (l *latency) add(n int, d time.Duration) {
	microseconds := uint64((max(d, 1) - 1) / time.Microsecond) // up to 1 us is the first
	l.buckets[min(bits.Len64(microseconds), latencyBuckets-1)].Add(uint64(n))
	l.sum.Add(int64(d) * int64(n))
}

func (l *latency) addTo(to *Latency) {
	for i := range l.buckets {
		to.Buckets[i] += l.buckets[i].Load()
	}
	to.Sum += time.Duration(l.sum.Load())
}

// sampler chooses one of so many batches.
type sampler struct {
	every, left int
}

func newSampler(every int) sampler { return sampler{every: every, left: every} }

func (s *sampler) next() bool {
	if s.every == 0 {
		return false
	}
	s.left--
	if s.left > 0 {
		return false
	}
	s.left = s.every
	return true
}
