package whatif

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"

	"github.com/meridian-gtm/meridian/dnsserver/steer"
)

// Options of a replay. The zero value takes counts for load.
type Options struct {
	// Total is the load of all queries together, in the unit of the sites' capacity; 0 = counts are in that unit.
	Total float64
	// Farther is the distance in km by which a client may be moved away before it is listed; 0 = any that is farther.
	Farther float64
	// Uncapped says that counts without a Total are no load that capacities can be compared with.
	Uncapped bool
}

// Result is what a change does to clients.
type Result struct {
	Load  float64 `json:"load"`  // of all queries
	Moved float64 `json:"moved"` // of those that are answered otherwise
	Far   float64 `json:"far"`   // of those that are moved farther than allowed
	Dead  float64 `json:"dead"`  // of those that are answered with a site that is down, or with nothing
	Sites []Shift `json:"sites"` // by name
	Moves []Move  `json:"moves"` // largest load first, at most MaxMoves
	More  int     `json:"more"`  // moves that are not listed

	Uncapped bool `json:"uncapped"` // loads were not compared with capacities
}

// MaxMoves is how many moves a result lists.
const MaxMoves = 50

// Shift is one site before and after.
type Shift struct {
	Site     string  `json:"site"`
	Before   float64 `json:"before"` // load
	After    float64 `json:"after"`
	Capacity float64 `json:"capacity"` // after; 0 = not stated
	Over     bool    `json:"over"`     // After is above Capacity
	Down     bool    `json:"down"`     // after
}

// Move is one client network that is answered otherwise.
type Move struct {
	Client  netip.Prefix `json:"client"`
	Service string       `json:"service"`
	Load    float64      `json:"load"`
	From    []string     `json:"from"`
	To      []string     `json:"to"`
	FromKM  float64      `json:"from_km"` // mean distance; 0 = not known
	ToKM    float64      `json:"to_km"`
	Far     bool         `json:"far"`
}

// answer is where one client is sent.
type answer struct {
	sites []string
	km    float64 // mean; NaN = not known
	dead  float64 // part of it that leads nowhere
}

// Replay sends every client through the situation as it is and as it would be.
func Replay(now, then Situation, demand []Demand, o Options) (*Result, error) {
	before, err := now.plan()
	if err != nil {
		return nil, err
	}
	after, err := then.plan()
	if err != nil {
		return nil, err
	}
	total := 0.0
	var faults []error
	unknown := map[string]bool{}
	for _, d := range demand {
		total += d.Count
		if _, ok := before.Service(d.Service); !ok && !unknown[d.Service] {
			unknown[d.Service] = true
			faults = append(faults, fmt.Errorf("service %q: the configuration has none of that name", d.Service))
		}
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	unit := 1.0
	if o.Total > 0 && total > 0 {
		unit = o.Total / total
	}
	r := &Result{Sites: []Shift{}, Moves: []Move{}, Uncapped: o.Uncapped && o.Total == 0}
	shifts := map[string]*Shift{}
	for _, d := range demand {
		load := d.Count * unit
		a, b := now.ask(before, d), then.ask(after, d)
		r.Load += load
		r.Dead += load * b.dead
		spread(shifts, a, func(s *Shift, part float64) { s.Before += load * part })
		spread(shifts, b, func(s *Shift, part float64) { s.After += load * part })
		if slices.Equal(a.sites, b.sites) {
			continue
		}
		r.Moved += load
		m := Move{
			Client: d.Client, Service: d.Service, Load: load, From: a.sites, To: b.sites, FromKM: known(a.km), ToKM: known(b.km), Far: b.km-a.km > o.Farther,
		}
		if m.Far {
			r.Far += load
		}
		r.Moves = append(r.Moves, m)
	}
	slices.SortStableFunc(r.Moves, func(a, b Move) int { return cmp.Compare(b.Load, a.Load) })
	if len(r.Moves) > MaxMoves {
		r.More = len(r.Moves) - MaxMoves
		r.Moves = r.Moves[:MaxMoves]
	}
	for _, situation := range []Situation{now, then} {
		for _, site := range situation.Config.Sites {
			if shifts[site.Name] == nil {
				shifts[site.Name] = &Shift{Site: site.Name}
			}
		}
	}
	for _, site := range then.Config.Sites {
		s := shifts[site.Name]
		s.Capacity, s.Down = float64(site.Capacity), slices.Contains(then.Down, site.Name)
		s.Over = s.Capacity > 0 && s.After > s.Capacity && !r.Uncapped
	}
	for _, s := range shifts {
		r.Sites = append(r.Sites, *s)
	}
	slices.SortFunc(r.Sites, func(a, b Shift) int { return cmp.Compare(a.Site, b.Site) })
	return r, nil
}

func known(km float64) float64 {
	if math.IsNaN(km) {
		return 0
	}
	return km
}

func spread(shifts map[string]*Shift, a answer, add func(*Shift, float64)) {
	for _, site := range a.sites {
		if shifts[site] == nil {
			shifts[site] = &Shift{Site: site}
		}
		add(shifts[site], 1/float64(len(a.sites)))
	}
}

// typeA and typeAAAA are the DNS types that have addresses (RFC 1035 section 3.2.2, RFC 3596 section 2.1).
const (
	typeA    = 1
	typeAAAA = 28
)

// ask returns where a client is sent. A service that has no IPv4 address is asked for IPv6.
func (s Situation) ask(p *steer.Plan, d Demand) answer {
	service, ok := p.Service(d.Service)
	if !ok {
		return answer{km: math.NaN(), dead: 1}
	}
	client := steer.Client{Addr: d.Client.Addr(), ECS: true}
	t := p.Explain(service, typeA, client)
	if len(t.Answer) == 0 {
		t = p.Explain(service, typeAAAA, client)
	}
	if len(t.Sites) == 0 {
		return answer{km: math.NaN(), dead: 1}
	}
	a := answer{km: math.NaN()}
	sum, located := 0.0, 0
	for _, c := range t.Candidates {
		if c.Chosen && t.Place.Located {
			sum += c.DistanceKM
			located++
		}
	}
	if located > 0 {
		a.km = sum / float64(located)
	}
	for _, site := range t.Sites {
		if slices.Contains(s.Down, site) {
			a.dead += 1 / float64(len(t.Sites))
		}
		a.sites = append(a.sites, site)
	}
	slices.Sort(a.sites)
	return a
}
