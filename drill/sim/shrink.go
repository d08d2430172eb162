package sim

import (
	"slices"
	"time"
)

// Shrink makes a scenario that violates an invariant as small as it can with at most runs further runs, and returns
// it: faults are dropped, nodes and datacenters taken away, the end brought forward, times rounded. What is left
// still violates the same invariant.
func Shrink(s Scenario, invariant string, runs int) Scenario {
	return shrink(s, invariant, runs, sound())
}

func shrink(s Scenario, invariant string, runs int, x seams) Scenario {
	h := shrinker{best: s, invariant: invariant, runs: runs, seams: x}
	for changed := true; changed && h.runs > 0; {
		changed = h.dropFaults()
		changed = h.smaller() || changed
		changed = h.rounder() || changed
	}
	return h.best
}

type shrinker struct {
	best      Scenario
	invariant string
	runs      int
	seams     seams
}

// try keeps a candidate that still fails alike.
func (h *shrinker) try(s Scenario) bool {
	if h.runs <= 0 || s.Validate() != nil {
		return false
	}
	h.runs--
	for _, v := range run(s, Options{}, h.seams).Violations {
		if v.Invariant == h.invariant {
			h.best = s
			return true
		}
	}
	return false
}

// dropFaults takes faults away, many at once first.
func (h *shrinker) dropFaults() (changed bool) {
	for size := max(1, len(h.best.Faults)/2); size >= 1; size /= 2 {
		for at := 0; at < len(h.best.Faults); {
			s := h.best
			s.Faults = slices.Delete(slices.Clone(s.Faults), at, min(at+size, len(s.Faults)))
			if h.try(s) {
				changed = true
			} else {
				at += size
			}
		}
	}
	return changed
}

func (h *shrinker) smaller() (changed bool) {
	for _, f := range []func(*Scenario){
		func(s *Scenario) { s.Nodes /= 2 },
		func(s *Scenario) { s.Nodes -= s.Datacenters },
		func(s *Scenario) { s.Nodes-- },
		func(s *Scenario) { s.Datacenters--; s.Sites = min(s.Sites, s.Datacenters) },
		func(s *Scenario) { s.Sites-- },
		func(s *Scenario) { s.Demand = 0 },
		func(s *Scenario) { s.For -= s.For / 4; s.Quiet = min(s.Quiet, s.For) },
		func(s *Scenario) { s.For -= 10 * time.Second; s.Quiet = min(s.Quiet, s.For) },
		func(s *Scenario) { s.Seed = 1 },
	} {
		s := h.best
		if f(&s); s.Nodes != h.best.Nodes || s.Datacenters != h.best.Datacenters || s.Sites != h.best.Sites ||
			s.Demand != h.best.Demand || s.For != h.best.For || s.Seed != h.best.Seed {
			changed = h.try(s) || changed
		}
	}
	return changed
}

func (h *shrinker) rounder() (changed bool) {
	for _, unit := range []time.Duration{10 * time.Second, time.Second, 100 * time.Millisecond} {
		for i := range h.best.Faults {
			f := h.best.Faults[i]
			for _, g := range []Fault{
				{At: f.At.Round(unit), For: f.For.Round(unit), Kind: f.Kind, Args: f.Args},
				{At: f.At.Round(unit), For: f.For, Kind: f.Kind, Args: f.Args},
				{At: f.At, For: f.For.Round(unit), Kind: f.Kind, Args: f.Args},
			} {
				if g.At == h.best.Faults[i].At && g.For == h.best.Faults[i].For || f.For > 0 && g.For == 0 {
					continue
				}
				s := h.best
				s.Faults = slices.Clone(s.Faults)
				s.Faults[i] = g
				if h.try(s) {
					changed = true
					break
				}
			}
		}
	}
	return changed
}
