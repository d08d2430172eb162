package sim

import (
	"fmt"
	"time"

	"github.com/meridian-gtm/meridian/replication"
)

// ack is an override, or the clearing of one, that a node has told its operator is made.
type ack struct {
	record   replication.Record
	override replication.Override
	node     *node
	at       time.Duration
}

// operate has an operator act through a node, as package node's change.go does: complete, stamp, store, and only then
// put in force and told.
func (w *world) operate(f Fault) {
	n := w.nodes[w.sc.nodeNumber(f.Args[0])]
	if !n.up || n.paused || n.replica.plan == nil {
		return // nobody answers the operator
	}
	action, site := replication.Action(f.Args[1]), f.Args[2]
	wall := n.wall(w.now)
	o := replication.Override{
		Site: site, Action: action, Who: "ana", Why: fmt.Sprintf("at %v", w.now), Created: wall.UnixMilli(),
	}
	if f.Kind == "clear" {
		found := false
		for _, have := range n.replica.state.Overrides(wall) {
			if have.Key() == o.Key() {
				o.Percent, o.FrozenLevel, o.FrozenWeight, o.Expires = have.Percent, have.FrozenLevel, have.FrozenWeight, have.Expires
				o.Cleared, found = true, true
			}
		}
		if !found {
			return // nothing to clear
		}
	} else {
		if f.For > 0 {
			o.Expires = o.Created + f.For.Milliseconds()
		}
		switch action {
		case replication.Weight:
			o.Percent = 25
		case replication.Freeze:
			for _, t := range w.fleet.Targets {
				if t.Site == site {
					v := n.replica.decision.Verdicts[t]
					o.FrozenLevel, o.FrozenWeight = v.Level.String(), int(v.Weight)
				}
			}
		}
	}
	version, err := w.seams.version(w, n, wall)
	if err != nil {
		return // refused: the clock was set back
	}
	record, err := replication.NewOverride(o, n.name, version)
	if err != nil {
		return // nothing to freeze
	}
	w.checker.stamped(w, n, record)
	enforce := func(ok bool) {
		if !ok {
			return // refused: nothing was changed
		}
		w.merge(n.replica, n, []replication.Record{record})
		have, held := n.replica.state.Get(record.Key)
		if !held || have.Version != record.Version || have.Writer != record.Writer {
			return // changed through another node meanwhile, and later
		}
		w.tell("ack   %s: %s %s cleared %v, version %d.%d", n.name, action, site, o.Cleared, version.Major, version.Minor)
		w.stats.Acks++
		w.acks = append(w.acks, ack{record, o, n, w.now})
		n.replica.enqueue(w, record)
		w.compile(n.replica, n)
		if w.sc.Nodes <= cohortsFrom {
			w.publishApplied(n)
		}
	}
	if !w.seams.storeFirst {
		enforce(true)
		w.save(n, func(bool) {})
		return
	}
	w.save(n, enforce, record)
}
