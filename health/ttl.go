package health

// ttl gives every verdict the longest life that an answer resting on it may have: long when nothing has moved or
// been doubted for a while, short as soon as something might.
func (d *decision) ttl() {
	failOpen := map[Target]bool{}
	for i := range d.pools {
		p := &d.pools[i]
		if p.allDown(d.verdicts) {
			for _, s := range p.sites {
				for _, t := range s.targets {
					failOpen[t] = true
				}
			}
		}
	}
	p := d.fleet.Policy
	for _, t := range d.fleet.Targets {
		v := d.verdicts[t]
		c := d.view.tallies[t]
		plain := v.Level == Up && v.Weight == FullWeight && len(v.AvoidRegions) == 0 || v.Level == Down
		settled := d.mode == ModeNormal && plain && !v.Held && !c.suspect && !failOpen[t] &&
			v.Age >= p.Settle && c.quiet >= p.Settle
		v.TTL = p.UnsettledTTL
		if settled {
			v.TTL = p.SettledTTL
		}
		d.verdicts[t] = v
	}
}

// allDown says that no site of the pool is anything but down.
func (p *pool) allDown(verdicts map[Target]Verdict) bool {
	for i := range p.sites {
		if p.sites[i].level(verdicts) != Down {
			return false
		}
	}
	return true
}
