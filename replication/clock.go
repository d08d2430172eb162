package replication

import (
	"fmt"
	"math"
	"time"
)

// Clock is a hybrid logical clock (Kulkarni et al., "Logical Physical Clocks", 2014): it follows the wall clock,
// never goes backward, and is later than everything it has observed, so that an operator's newer decision wins
// even when it is made on a node whose wall clock is behind. The zero Clock is ready for use. It is not safe for
// concurrent use.
type Clock struct{ last Version }

// Now returns a version later than every one returned or observed before. It is refused when the clock is more
// than [MaxFuture] ahead of wall, which means that the wall clock was set back: every other node would park it.
func (c *Clock) Now(wall time.Time) (Version, error) {
	next := c.last
	if ms := uint64(max(wall.UnixMilli(), 1)); ms > next.Major {
		next = Version{Major: ms}
	} else if next.Minor == math.MaxUint64 {
		next = Version{Major: next.Major + 1}
	} else {
		next.Minor++
	}
	if ahead(next, wall) {
		return Version{}, fmt.Errorf("wall clock %s is behind the replicated clock %s: want at most %s",
			wall.UTC().Format(time.RFC3339Nano), formatMS(int64(min(next.Major, math.MaxInt64))), MaxFuture)
	}
	c.last = next
	return next, nil
}

// Observe makes the clock later than v. A version more than [MaxFuture] ahead of wall is ignored, and Observe
// reports false: one broken clock must not drag the fleet's with it.
func (c *Clock) Observe(v Version, wall time.Time) bool {
	if ahead(v, wall) {
		return false
	}
	if v.Compare(c.last) > 0 {
		c.last = v
	}
	return true
}

func ahead(v Version, wall time.Time) bool {
	limit := wall.UnixMilli() + MaxFuture.Milliseconds()
	return limit < 0 || v.Major > uint64(limit)
}

// Compare orders versions by Major, then Minor.
func (v Version) Compare(w Version) int {
	switch {
	case v.Major != w.Major:
		if v.Major < w.Major {
			return -1
		}
		return 1
	case v.Minor != w.Minor:
		if v.Minor < w.Minor {
			return -1
		}
		return 1
	}
	return 0
}
