package health

import "slices"

// badness orders levels for combining: a site is as good as its worst check.
func (l Level) badness() int {
	switch l {
	case Up:
		return 0
	case Partial:
		return 1
	case Down:
		return 3
	default:
		return 2
	}
}

// Combine makes one verdict of those of all the checks that a service needs of one site: the worst level (up,
// partial, unknown, down) with its youngest age, votes and reason, the least weight and TTL, and every region to
// avoid. Of no verdicts it makes one that is up and settled.
func Combine(verdicts ...Verdict) Verdict {
	if len(verdicts) == 0 {
		return Verdict{Level: Up, Weight: FullWeight, TTL: DefaultPolicy.SettledTTL, Age: never, Reason: "no checks"}
	}
	worst := verdicts[0]
	for _, v := range verdicts[1:] {
		if b, w := v.Level.badness(), worst.Level.badness(); b > w || b == w && v.Age < worst.Age {
			worst = v
		}
	}
	worst.AvoidRegions = nil
	for _, v := range verdicts {
		worst.Weight = min(worst.Weight, v.Weight)
		worst.TTL = min(worst.TTL, v.TTL)
		worst.AvoidRegions = append(worst.AvoidRegions, v.AvoidRegions...)
		worst.Held = worst.Held || v.Held
	}
	slices.Sort(worst.AvoidRegions)
	worst.AvoidRegions = slices.Compact(worst.AvoidRegions)
	return worst
}
