package health

import "time"

// penaltyPerFall is what one way from up to down adds to the flap penalty.
const penaltyPerFall = 1000

// flap is the memory of recent falls. It only ever delays a return, never a fall.
type flap struct {
	penalty int64
	at      time.Duration // of the latest fall
	hold    time.Duration // re-entry hold after the latest fall; 0 before the first
}

func (f *flap) fall(now time.Duration, p ObserverPolicy) {
	f.penalty = decay(f.penalty, now-f.at, p.HalfLife) + penaltyPerFall
	f.at = now
	f.hold = reentryHold(f.penalty, p.Hold, p.MaxHold)
}

// decay halves the penalty every halfLife, in a straight line between the halves.
func decay(penalty int64, elapsed, halfLife time.Duration) int64 {
	if halfLife <= 0 || elapsed/halfLife >= 62 {
		return 0
	}
	penalty >>= uint(elapsed / halfLife)
	rest := elapsed % halfLife
	// In thousandths, so that no product overflows.
	return penalty - penalty*int64(rest/(halfLife/1000+1))/2000
}

// reentryHold is hold * 2^(penalty/1000 - 1), a straight line between the powers of two, from hold to longest.
func reentryHold(penalty int64, hold, longest time.Duration) time.Duration {
	over := max(0, penalty-penaltyPerFall)
	h := hold
	for ; over >= penaltyPerFall && h < longest; over -= penaltyPerFall {
		h *= 2
	}
	if h >= longest {
		return longest
	}
	return min(h+h/penaltyPerFall*time.Duration(min(over, penaltyPerFall)), longest)
}
