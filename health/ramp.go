package health

import "time"

// rampSteps are the percentages of its weight that a returning site is given, in equal parts of the ramp but for
// the last, which is its end.
var rampSteps = [...]int{10, 25, 50, 75, 100}

// rampPercent is the step that a return of the given age has reached.
func rampPercent(age, ramp time.Duration) int {
	last := len(rampSteps) - 1
	if age >= ramp {
		return rampSteps[last]
	}
	return rampSteps[min(int(age/max(1, ramp/time.Duration(last))), last-1)]
}

// returning is the age of the site's return: the upper median over the datacenters that reach it, wholly or in part,
// so that one datacenter that alone had lost it starts no ramp. The site's own is asked only when no other reaches it,
// or when local evidence is all there is. It is never where there was no return.
func (t *tally) returning(local bool, ramp time.Duration) time.Duration {
	var returns, always []time.Duration
	contested := false
	ask := func(own bool) {
		for i := range t.ballots {
			switch b := &t.ballots[i]; {
			case !b.Counted || b.Own != own:
			case b.U == 0:
				contested = true
			case !b.reached:
			case b.returning == never:
				always = append(always, b.upFor)
			default:
				returns = append(returns, b.returning)
			}
		}
	}
	if ask(false); local || len(returns)+len(always) == 0 {
		ask(true)
	}
	return returnAge(returns, always, contested, ramp)
}

// ramp lowers the weight of what is returning, but for what its pool is short without.
func (d *decision) ramp(local bool) {
	full := map[Target]uint16{} // of what is returning
	for _, t := range d.fleet.Targets {
		v := d.verdicts[t]
		if v.Held || v.Level != Up && v.Level != Partial {
			continue
		}
		if percent := rampPercent(d.view.tallies[t].returning(local, d.fleet.Policy.Ramp), d.fleet.Policy.Ramp); percent < 100 {
			full[t] = v.Weight
			v.Weight = uint16(int(v.Weight) * percent / 100)
			d.verdicts[t] = v
		}
	}
	// Shortage is judged while all that return are still small, whatever their order.
	d.needed = shortage(d.pools, d.verdicts, d.fleet.Policy.Headroom)
	for t, weight := range full {
		if d.needed[t] {
			v := d.verdicts[t]
			v.Weight = weight
			d.verdicts[t] = v
		}
	}
}
