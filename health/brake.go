package health

import "time"

// brake holds back the loss of more than half a pool at once, which is more likely ours than theirs: within
// BrakeWindow such a loss is believed only if every foreign datacenter that votes sees it and it has lasted
// BrakeHold. What was pulled before stays pulled, and what was never up is not protected.
func (d *decision) brake() {
	type mass struct {
		lost []Target
		pool *pool
		n    int
	}
	var masses []mass
	for i := range d.pools {
		p := &d.pools[i]
		m := mass{pool: p}
		for j := range p.sites {
			if lost := p.sites[j].lostWithin(d.fleet.Policy.BrakeWindow, d.verdicts); lost != nil {
				m.lost = append(m.lost, lost...)
				m.n++
			}
		}
		if 2*m.n > len(p.sites) {
			masses = append(masses, m)
		}
	}
	// Applied after all pools were looked at: what one pool holds back must not hide the loss from another.
	for _, m := range masses {
		braked := false
		for _, t := range m.lost {
			before := d.prior.Verdicts[t].Level
			v := d.verdicts[t]
			if before != Up && before != Partial || v.Level != Down ||
				v.Age >= d.fleet.Policy.BrakeHold && d.view.tallies[t].unanimous() {
				continue
			}
			braked = true
			d.verdicts[t] = d.keep(t, "brake: most of "+m.pool.name+" was lost at once")
		}
		if braked {
			d.alarm("brake", m.pool.name, "%d of %d sites lost within %v: waiting for every datacenter to see it for %v",
				m.n, len(m.pool.sites), d.fleet.Policy.BrakeWindow, d.fleet.Policy.BrakeHold)
		}
	}
}

// lostWithin returns the targets that make the site down, if none of them has been down for the window or longer.
func (s *poolSite) lostWithin(window time.Duration, verdicts map[Target]Verdict) []Target {
	var lost []Target
	for _, t := range s.targets {
		if v := verdicts[t]; v.Level == Down && !v.Held {
			if v.Age >= window {
				return nil
			}
			lost = append(lost, t)
		}
	}
	return lost
}

// unanimous says that every foreign datacenter that votes holds the target down, hard or soft.
func (t *tally) unanimous() bool {
	for i := range t.ballots {
		if b := &t.ballots[i]; b.Counted && !b.Own && b.U > 0 && b.softU > 0 {
			return false
		}
	}
	return true
}
