package health

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Observer is the standing of one node.
type Observer struct {
	Node       string        `json:"node"`
	Datacenter string        `json:"datacenter"`
	Silent     time.Duration `json:"silent"`
	Counted    bool          `json:"counted"`       // its opinions vote
	Why        string        `json:"why,omitempty"` // it does not: "stale", "isolated", "warm", "outlier", ...
}

// observer is one node's evidence on the way to the count.
type observer struct {
	*Observed
	dc  int    // index into the sorted configured datacenters; -1 = not configured
	why string // not counted because

	// Of one that is counted:
	places []int // of its targets among the fleet's, -1 = not configured
	downs  int   // targets that it holds down by hard failures
}

// present says that the node is there, whatever its opinions are worth: it counts for the quorum.
func (o *observer) present(p Policy) bool {
	return o.dc >= 0 && o.Silent < p.Stale && !o.Evidence.Isolated
}

// muster sorts the evidence by node, keeps the newest of each, and sets aside what cannot be trusted on its face.
func muster(observed []Observed, dcs []Datacenter, p Policy) []observer {
	observers := make([]observer, 0, len(observed))
	for i := range observed {
		observers = append(observers, observer{Observed: &observed[i], dc: -1})
	}
	slices.SortFunc(observers, func(a, b observer) int {
		return cmp.Or(
			cmp.Compare(a.Evidence.Node, b.Evidence.Node),
			cmp.Compare(b.Evidence.Epoch, a.Evidence.Epoch),
			cmp.Compare(b.Evidence.Seq, a.Evidence.Seq),
			cmp.Compare(a.Silent, b.Silent),
		)
	})
	observers = slices.CompactFunc(observers, func(a, b observer) bool { return a.Evidence.Node == b.Evidence.Node })
	for i := range observers {
		o := &observers[i]
		e := &o.Evidence
		dc, known := slices.BinarySearchFunc(dcs, e.Datacenter, func(d Datacenter, name string) int {
			return cmp.Compare(d.Name, name)
		})
		if known {
			o.dc = dc
		}
		switch {
		case !known:
			o.why = "unknown datacenter"
		case o.Silent >= p.Stale:
			o.why = "stale"
		case e.Isolated:
			o.why = "isolated"
		case e.Score >= p.MaxScore:
			o.why = fmt.Sprintf("score %d", e.Score)
		case e.Warm:
			o.why = "warm"
		}
	}
	return observers
}

// quorum returns the datacenters that are present, sorted, and whether they hold more than half of the configured
// weight.
func quorum(observers []observer, dcs []Datacenter, p Policy) (fresh []string, quorate bool) {
	present := make([]bool, len(dcs))
	for i := range observers {
		if o := &observers[i]; o.present(p) {
			present[o.dc] = true
		}
	}
	var held, whole uint64
	for i, d := range dcs {
		w := uint64(max(d.Weight, 1))
		whole += w
		if present[i] {
			held += w
			fresh = append(fresh, d.Name)
		}
	}
	return fresh, 2*held > whole
}

// setOutliersAside finds nodes that hold most of what all other datacenters together hold up for down, on two sites
// or more: the fault is theirs. No node is judged by its own datacenter's votes, nor by a site's own.
// It says whether there is one.
func setOutliersAside(observers []observer, tallies []*tally) (found bool) {
	if len(tallies) == 0 || !slices.ContainsFunc(observers, func(o observer) bool { return o.downs > 1 }) {
		return false
	}
	dcs := len(tallies[0].ballots)
	up := make([]bool, dcs*len(tallies)) // without the datacenter, by target and datacenter
	for i := range up {
		up[i] = tallies[i/dcs].upWithout(i % dcs)
	}
	outlier := make([]bool, len(observers))
	for i := range observers {
		o := &observers[i]
		if o.downs < 2 {
			continue
		}
		held, down := 0, 0
		var site string // of the first that it holds for down
		several := false
		for j := range o.Evidence.Targets {
			e := &o.Evidence.Targets[j]
			if o.places[j] < 0 || e.State.opinion() == StateUnknown || !up[o.places[j]*dcs+o.dc] {
				continue
			}
			held++
			if e.State.opinion() == StateDown && !e.Soft {
				several = several || down > 0 && e.Target.Site != site
				site = e.Target.Site
				down++
			}
		}
		outlier[i] = several && 2*down > held
	}
	// Judged all by the same votes, so that the order of nodes is of no account.
	for i := range observers {
		if outlier[i] {
			observers[i].why, found = "outlier", true
		}
	}
	return found
}
