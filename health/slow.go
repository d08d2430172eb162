package health

import (
	"fmt"
	"slices"
	"time"
)

const (
	slowProbes = 5
	slowFactor = 3
	slowMargin = 300 * time.Millisecond
)

// latency follows the round trips of one target: a smoothed one for people and timers, and the median of the last
// five against a base that is learnt only while the target is plainly up. Were the base learnt from slow answers
// too, a site that decays slowly would never be slow.
type latency struct {
	smoothed time.Duration
	base     time.Duration // 0 = not learnt yet
	recent   [slowProbes]time.Duration
	n        int // samples seen
}

func (l *latency) add(rtt time.Duration, up bool) {
	if rtt <= 0 {
		return
	}
	if l.smoothed == 0 {
		l.smoothed = rtt
	}
	l.smoothed += (rtt - l.smoothed) / 8
	l.recent[l.n%slowProbes] = rtt
	l.n++
	switch {
	case l.n < slowProbes:
	case l.base == 0:
		l.base = l.median()
	case up && rtt <= l.limit():
		l.base += (rtt - l.base) / 32
	}
}

// slow returns the reason when the target is slow, else "".
func (l *latency) slow() string {
	if l.base == 0 {
		return ""
	}
	if m := l.median(); m > l.limit() {
		return fmt.Sprintf("slow: median %v, usually %v", m.Round(time.Millisecond), l.base.Round(time.Millisecond))
	}
	return ""
}

func (l *latency) limit() time.Duration { return max(slowFactor*l.base, l.base+slowMargin) }

func (l *latency) median() time.Duration {
	sorted := l.recent
	slices.Sort(sorted[:])
	return sorted[slowProbes/2]
}
