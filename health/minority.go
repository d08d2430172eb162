package health

import "time"

// minority decides without a quorum. At first, and for ever where witnesses are silent too, nothing changes. A
// fragment that has been alone for long but sees the rest of the world acts on what all its own voters agree on,
// and never takes the last site that they reach from a pool.
func (d *decision) minority() {
	local := d.mode == ModeMinorityLocal
	why := map[Mode]string{
		ModeWarm:          "just started, no quorum yet",
		ModeMinorityHold:  "quorum just lost",
		ModeMinorityLocal: "no quorum, local evidence is divided",
		ModeMinorityBlind: "no quorum, witnesses silent",
	}[d.mode]
	reached := map[Target]bool{}
	pulled := map[Target]bool{}
	for _, t := range d.fleet.Targets {
		c := d.view.tallies[t]
		up, down, age := c.agreed()
		before := d.prior.Verdicts[t].Level
		reached[t] = up
		switch {
		case up && (local || before == Unknown):
			d.verdicts[t] = Verdict{Level: Up, Weight: FullWeight, Age: age, Votes: c.votes(),
				Reason: "up: no quorum, all local observers reach it"}
		case down && local:
			pulled[t] = before != Down
			d.verdicts[t] = Verdict{Level: Down, Age: age, Votes: c.votes(),
				Reason: "down: no quorum, no local observer reaches it"}
		default:
			v := d.keep(t, why)
			if v.Level == Up && (local || d.mode == ModeMinorityBlind) {
				v.Weight = FullWeight // a ramp that the partition cut short must not stay so
			}
			d.verdicts[t] = v
		}
	}
	for i := range d.pools {
		if p := &d.pools[i]; !p.anyReached(reached) {
			for _, s := range p.sites {
				for _, t := range s.targets {
					if pulled[t] {
						d.verdicts[t] = d.keep(t, "no quorum, no local observer reaches any site of "+p.name)
					}
				}
			}
		}
	}
}

// anyReached says whether some site of the pool has all its targets reached.
func (p *pool) anyReached(reached map[Target]bool) bool {
	for _, s := range p.sites {
		all := true
		for _, t := range s.targets {
			all = all && reached[t]
		}
		if all {
			return true
		}
	}
	return false
}

// agreed says what all voters that are heard agree on, wherever they are, and for how long.
func (t *tally) agreed() (up, down bool, age time.Duration) {
	voters, notDown := 0, 0
	var upAges, downAges []time.Duration
	for i := range t.ballots {
		b := &t.ballots[i]
		if !b.Counted {
			continue
		}
		voters += b.Voters
		notDown += b.NotDown
		upAges = append(upAges, b.upFor)
		downAges = append(downAges, b.downFor)
	}
	switch {
	case voters == 0:
		return false, false, 0
	case notDown == voters:
		return true, false, lowerMedian(upAges)
	case notDown == 0:
		return false, true, lowerMedian(downAges)
	default:
		return false, false, 0
	}
}
