package probe

import (
	"cmp"
	"slices"

	"github.com/meridian-gtm/meridian/health"
)

// countKey is what finished probes are counted by.
type countKey struct {
	kind    health.CheckKind
	outcome health.Outcome
	reason  reason
}

// Count is how many probes ended one way since New.
type Count struct {
	Kind    health.CheckKind
	Outcome health.Outcome
	Reason  string // one of some dozen words: "ok", "refused", "timeout", "status", ...
	N       uint64
}

// Stats are the counters of a prober.
type Stats struct {
	Counts  []Count // sorted by kind, outcome, reason
	Running int     // probes under way
	Waiting int     // probes that wait for others to end
	Stalls  uint64  // times that this machine stood still for a second or more
}

// Stats returns the counters.
func (p *Prober) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := Stats{Running: p.running, Waiting: len(p.ready), Stalls: p.stalls}
	for k, n := range p.counts {
		s.Counts = append(s.Counts, Count{k.kind, k.outcome, string(k.reason), n})
	}
	slices.SortFunc(s.Counts, func(a, b Count) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Outcome, b.Outcome), cmp.Compare(a.Reason, b.Reason))
	})
	return s
}
