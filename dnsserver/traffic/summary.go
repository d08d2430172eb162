package traffic

import (
	"cmp"
	"math/bits"
	"slices"
)

// Summary counts keys, of which it holds a limited number: the Unbiased Space Saving of Ting (2018). When all places are
// taken, a new key adds to the least count, and takes its place with the probability that makes the estimate of every
// sum unbiased. The counts always add up to the number of keys counted.
type Summary[K comparable] struct {
	limit int
	seed  uint64
	index map[K]*place[K]
	heap  []*place[K] // least count first
	total uint64
}

type place[K comparable] struct {
	key   K
	count uint64
	at    int // in the heap
}

// Count is a key and how often it was counted.
type Count[K comparable] struct {
	Key   K
	Count uint64
}

// NewSummary returns an empty summary of at most limit keys, 1 or more. Equal seeds give equal summaries of equal streams.
func NewSummary[K comparable](limit int, seed uint64) *Summary[K] {
	return &Summary[K]{limit: limit, seed: seed, index: map[K]*place[K]{}}
}

// Add counts a key.
func (s *Summary[K]) Add(key K) {
	s.total++
	if p := s.index[key]; p != nil {
		p.count++
		s.sink(p)
		return
	}
	if len(s.heap) < s.limit {
		p := &place[K]{key: key, count: 1, at: len(s.heap)}
		s.heap = append(s.heap, p)
		s.index[key] = p
		s.rise(p)
		return
	}
	least := s.heap[0]
	least.count++
	if s.below(least.count) == 0 {
		delete(s.index, least.key)
		least.key = key
		s.index[key] = least
	}
	s.sink(least)
}

// below draws a number from 0 to n-1 (SplitMix64).
func (s *Summary[K]) below(n uint64) uint64 {
	s.seed += 0x9e3779b97f4a7c15
	x := s.seed
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	hi, _ := bits.Mul64(x^x>>31, n)
	return hi
}

func (s *Summary[K]) sink(p *place[K]) {
	for {
		child := 2*p.at + 1
		if child >= len(s.heap) {
			return
		}
		if right := child + 1; right < len(s.heap) && s.heap[right].count < s.heap[child].count {
			child = right
		}
		if s.heap[child].count >= p.count {
			return
		}
		s.swap(p, s.heap[child])
	}
}

func (s *Summary[K]) rise(p *place[K]) {
	for p.at > 0 {
		parent := s.heap[(p.at-1)/2]
		if parent.count <= p.count {
			return
		}
		s.swap(p, parent)
	}
}

func (s *Summary[K]) swap(a, b *place[K]) {
	a.at, b.at = b.at, a.at
	s.heap[a.at], s.heap[b.at] = a, b
}

// Total returns how many keys were counted.
func (s *Summary[K]) Total() uint64 { return s.total }

// Full reports whether there were more keys than there is room for, so that counts are estimates.
func (s *Summary[K]) Full() bool { return len(s.heap) == s.limit && s.total > uint64(s.limit) }

// merge returns the counts of two summaries together, the largest first, and equal ones in the order of compare.
func merge[K comparable](a, b *Summary[K], compare func(K, K) int) []Count[K] {
	sums := make(map[K]uint64, max(len(a.index), len(b.index)))
	for _, s := range []*Summary[K]{a, b} {
		for key, p := range s.index {
			sums[key] += p.count
		}
	}
	all := make([]Count[K], 0, len(sums))
	for key, n := range sums {
		all = append(all, Count[K]{key, n})
	}
	slices.SortFunc(all, func(x, y Count[K]) int {
		if x.Count != y.Count {
			return cmp.Compare(y.Count, x.Count)
		}
		return compare(x.Key, y.Key)
	})
	return all
}
