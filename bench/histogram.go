package main

import "time"

// histogram counts times to the microsecond, up to 65 ms; what is longer counts as that.
type histogram struct {
	bins  [1 << 16]uint32
	total uint64
}

func (h *histogram) add(d time.Duration) {
	h.bins[max(0, min(int(d/time.Microsecond), len(h.bins)-1))]++
	h.total++
}

// quantile returns the time within which a part of them lies, 0..1, or 0 when there is none.
func (h *histogram) quantile(part float64) time.Duration {
	var sum uint64
	for i, n := range h.bins {
		if sum += uint64(n); sum > 0 && float64(sum) >= part*float64(h.total) {
			return time.Duration(i) * time.Microsecond
		}
	}
	return 0
}
