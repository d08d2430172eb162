package steer

import "github.com/meridian-gtm/meridian/health"

// Pool is what a service has left in one family: what a preview of an override shows, and what its refusal rests
// on. Compile the inputs with the override added or removed and compare.
type Pool struct {
	Service       string        `json:"service"`
	Family        health.Family `json:"family"`
	Available     []string      `json:"available"` // sites that the policy may answer, in order of the policy
	Total         int           `json:"total"`     // sites with an address of the family
	Capacity      uint64        `json:"capacity"`  // of the available sites, in the unit of Site.Capacity
	CapacityTotal uint64        `json:"capacity_total"`
	AllDown       bool          `json:"all_down"` // none is available: the all-down policy answers
	TTL           uint32        `json:"ttl"`      // seconds; the longest that any answer may live
}

// Pools returns the pools of every service, by name and family, those without any site left out.
func (p *Plan) Pools() []Pool {
	var pools []Pool
	for i := range p.services {
		s := &p.services[i]
		for _, b := range s.benches {
			if b.served() {
				pools = append(pools, b.pool(s.name))
			}
		}
	}
	return pools
}

func (b *bench) pool(service string) Pool {
	p := Pool{Service: service, Family: b.family, TTL: b.ttl()}
	available := b.available()
	for i := range b.standings {
		if b.standings[i].absent {
			continue
		}
		m := &b.def.members[i]
		p.Total++
		p.CapacityTotal += uint64(m.Capacity)
		if available(i) {
			p.Available = append(p.Available, m.Name)
			p.Capacity += uint64(m.Capacity)
		}
	}
	p.AllDown = len(p.Available) == 0
	return p
}

// available returns whether a member may be answered in the normal course: it stands, or no member does and it is
// unproven.
func (b *bench) available() func(member int) bool {
	for i := range b.standings {
		if b.standings[i].stands() {
			return func(i int) bool { return b.standings[i].stands() }
		}
	}
	return func(i int) bool { return b.standings[i].unproven() }
}
