package node

import (
	"fmt"
	"slices"
	"time"

	"github.com/meridian-gtm/meridian/control"
	"github.com/meridian-gtm/meridian/health"
)

// warmFor is how long a node that has just started may stay in warm mode without a full probe round, or without a word of
// some datacenter.
const warmFor = 20 * time.Second

// decide makes verdicts of all evidence, has the plan follow them, and tells what changed. Only the owner calls it.
func (n *Node) decide(now time.Time) {
	view := n.counter.Aggregate(n.store.observed(now), n.setup.fleet)
	if view.Quorate {
		n.quorumLost = time.Time{}
	} else if n.quorumLost.IsZero() {
		n.quorumLost = now
	}
	if !n.decided.IsZero() && now.Sub(n.decided) >= n.setup.fleet.Policy.Stale {
		// This process stood still until all that it had heard was stale: it knows no more than one that starts.
		n.warm, n.warmSince = true, now
	}
	n.decided = now
	if n.warm && (view.Complete(n.setup.fleet) && n.prober.Round() || now.Sub(n.warmSince) >= warmFor) {
		n.warm = false
	}
	prior := health.Prior{Verdicts: n.good, Witnessed: n.prober.Witnessed(), Warm: n.warm}
	if !view.Quorate {
		prior.QuorumLost = now.Sub(n.quorumLost)
	}
	before := n.decision
	n.view, n.decision = view, health.Decide(view, prior, n.setup.fleet)
	n.good = n.decision.Good
	for _, t := range n.setup.fleet.Targets {
		n.prober.Needed(t, n.decision.Needed[t])
	}
	n.noteVerdicts(before, n.decision, now)
	n.compile(now)
	n.noteAlarms(now)
}

// noteVerdicts makes events of what changed and has the last known good verdicts stored.
func (n *Node) noteVerdicts(before, after health.Decision, now time.Time) {
	if before.Mode != after.Mode {
		text := fmt.Sprintf("mode %s", after.Mode)
		if before.Mode != "" {
			text = fmt.Sprintf("mode %s -> %s", before.Mode, after.Mode)
		}
		n.event(control.Event{Time: now, Kind: "mode", Text: text})
		n.log.Info("mode", "from", string(before.Mode), "to", string(after.Mode))
	}
	for _, t := range n.setup.fleet.Targets {
		old, new := before.Verdicts[t], after.Verdicts[t]
		if old.Level == new.Level && slices.Equal(old.AvoidRegions, new.AvoidRegions) {
			continue
		}
		text := fmt.Sprintf("%s %s -> %s: %s", t, old.Level, new.Level, new.Reason)
		n.event(control.Event{Time: now, Kind: "verdict", Site: t.Site, Text: text})
		n.log.Info("verdict", "target", t.String(), "from", old.Level.String(), "to", new.Level.String(), "reason", new.Reason)
		n.saveSoon()
	}
}

// event keeps e for readers of the API.
func (n *Node) event(e control.Event) { n.journal.Add(e) }
