package sim

import (
	"slices"
	"time"

	"github.com/meridian-gtm/meridian/health"
	"github.com/meridian-gtm/meridian/replication"
)

// checker knows the truth, which no node does, and holds what nodes do against it.
type checker struct {
	violations []Violation
	fates      []fate        // by site
	nodes      []chart       // by node
	notes      []notes       // by node that speaks for a replica
	calmSince  time.Duration // no fault but sites' has been active; -1 = one is
	stillSince time.Duration // nothing at all has changed; -1 = something is active
	poisoned   bool          // some node has been
	onlyPoison bool          // nothing else befalls the fleet
	decisions  uint64
}

// fate is what has befallen a site.
type fate struct {
	clean bool            // nobody has ever had trouble to reach it
	sick  []time.Duration // by datacenter: since when every probe fails; -1 = not so
	ill   []time.Duration // by datacenter: until when some probe may have failed
	dead  time.Duration   // since when every probe of everybody fails; -1 = not so
	well  time.Duration   // since when everybody reaches it; -1 = not so
}

// chart is what has befallen a node.
type chart struct {
	disturbed time.Duration // when it last was paused, slow, without files, down or poisoned
	troubled  bool          // it is now
	poisoned  bool          // it has been
	epoch     uint64        // of its latest boot
	undurable bool          // its epoch was not stored
	setBack   bool          // its clock has been
	clocked   time.Duration // when its clock was last set
	seq       uint64
}

// notes are what a checker remembers of a replica.
type notes struct {
	of       *replica
	started  time.Duration
	lost     time.Duration // quorum; -1 = held
	newest   map[string]replication.Version
	override replication.Version // latest merged or stamped
	ramps    []time.Duration     // by target: since when it returns; -1 = it does not
}

func (c *checker) begin(w *world) {
	c.fates = make([]fate, len(w.sites))
	for i := range c.fates {
		f := &c.fates[i]
		f.clean, f.dead = true, -1
		f.sick = slices.Repeat([]time.Duration{-1}, w.sc.Datacenters)
		f.ill = slices.Repeat([]time.Duration{-1}, w.sc.Datacenters)
	}
	c.onlyPoison = !slices.ContainsFunc(w.sc.Faults, func(f Fault) bool { return f.Kind != "poison" })
	c.nodes = make([]chart, len(w.nodes))
	c.notes = make([]notes, len(w.nodes))
	for i := range c.nodes {
		c.nodes[i].disturbed = 0
	}
}

// note returns what is remembered of a replica, which begins anew with every boot.
func (c *checker) note(w *world, r *replica) *notes {
	x := &c.notes[r.members[0].id]
	if x.of != r || x.started != r.started {
		*x = notes{of: r, started: r.started, lost: -1, newest: map[string]replication.Version{},
			ramps: slices.Repeat([]time.Duration{-1}, len(w.fleet.Targets))}
	}
	return x
}

// fault learns what has changed in the world.
func (c *checker) fault(w *world, f Fault, begins bool) {
	for i := range c.fates {
		x := &c.fates[i]
		allSick, allWell := true, true
		for dc := range x.sick {
			n := &node{dc: dc}
			ill := w.reaches(n, i)
			if ill != "" {
				x.clean, allWell, x.ill[dc] = false, false, w.now
			}
			if ill == "blackhole" || ill == "refuse" || ill == "error" {
				if x.sick[dc] < 0 {
					x.sick[dc] = w.now
				}
			} else {
				x.sick[dc] = -1
			}
			allSick = allSick && x.sick[dc] >= 0
		}
		x.dead = since(x.dead, allSick, w.now)
		x.well = since(x.well, allWell, w.now)
	}
	disturbs := f.Kind == "crash" || f.Kind == "pause" || f.Kind == "slow" || f.Kind == "files" || f.Kind == "poison"
	if disturbs {
		x := &c.nodes[w.sc.nodeNumber(f.Args[0])]
		x.disturbed = w.now
		x.poisoned = x.poisoned || f.Kind == "poison"
		c.poisoned = c.poisoned || f.Kind == "poison"
	}
	if f.Kind == "clock" || f.Kind == "drift" {
		c.nodes[w.sc.nodeNumber(f.Args[0])].clocked = w.now
	}
	if f.Kind == "clock" && (offset(f) < 0) == begins || f.Kind == "drift" {
		c.nodes[w.sc.nodeNumber(f.Args[0])].setBack = true
	}
	calm, still := true, true
	for i := range c.nodes {
		c.nodes[i].troubled = false
	}
	for i, g := range w.sc.Faults {
		if !w.active[i] || faultKinds[g.Kind].instant {
			continue
		}
		still = still && g.Kind == "override"
		calm = calm && (g.Kind == "site")
		switch g.Kind {
		case "crash", "pause", "slow", "files", "poison":
			c.nodes[w.sc.nodeNumber(g.Args[0])].troubled = true
		}
	}
	if f.Kind == "site" {
		c.calmSince = since(c.calmSince, calm, w.now)
	} else {
		c.calmSince = since(-1, calm, w.now)
	}
	c.stillSince = since(-1, still, w.now)
}

// since keeps the time from which something has held.
func since(before time.Duration, holds bool, now time.Duration) time.Duration {
	switch {
	case !holds:
		return -1
	case before < 0:
		return now
	}
	return before
}

func (c *checker) crashed(n *node) {}

// booted looks at a node that has just begun.
func (c *checker) booted(w *world, n *node, found saved) {
	x, r := &c.nodes[n.id], n.replica
	x.disturbed = w.now
	if n.epoch <= x.epoch && !x.undurable && !x.setBack {
		c.fail(w, n, "epoch-grows", "boot epoch %d after %d", n.epoch, x.epoch)
	}
	x.epoch, x.undurable, x.seq = n.epoch, x.undurable || n.disk.failing, 0
	for _, a := range w.acks {
		if a.node != n || a.override.Expires != 0 && n.wall(w.now).UnixMilli() >= a.override.Expires {
			continue
		}
		have, _ := r.state.Get(a.record.Key)
		if have.Version.Compare(a.record.Version) < 0 && !parks(r, a.record) {
			c.fail(w, n, "acknowledged-survives", "%s version %v was acknowledged at %v; after the restart it holds %v",
				a.record.Key, a.record.Version, a.at, have.Version)
		}
	}
	if len(found.good) == 0 {
		return
	}
	good, err := health.DecodeVerdicts(found.good)
	if err != nil {
		c.fail(w, n, "restart-remembers", "stored verdicts: %v", err)
		return
	}
	for t, v := range good {
		if got := r.decision.Verdicts[t].Level; got != v.Level {
			c.fail(w, n, "restart-remembers", "%s was stored %v and begins %v", t, v.Level, got)
		}
	}
}

func parks(r *replica, record replication.Record) bool {
	return slices.ContainsFunc(r.state.Parked(), func(p replication.Record) bool {
		return p.Key == record.Key && p.Version.Compare(record.Version) >= 0
	})
}

// merged looks at one merge that changed the state, and at what is held now, if anything is.
func (c *checker) merged(w *world, r *replica, n *node, have replication.Record, held bool, record replication.Record) {
	x := c.note(w, r)
	newest := x.newest[record.Key]
	if held && have.Version.Compare(newest) < 0 {
		c.fail(w, n, "versions-never-go-down", "%s: %v after %v", record.Key, have.Version, newest)
	}
	if held && have.Version.Compare(record.Version) > 0 {
		newest = have.Version
	} else if record.Version.Compare(newest) > 0 {
		newest = record.Version
	}
	x.newest[record.Key] = newest
	if record.Kind != replication.KindOverride {
		return
	}
	if have.Version.Compare(x.override) > 0 {
		x.override = have.Version
	}
	if ahead := int64(record.Version.Major) - n.wall(w.now).UnixMilli(); ahead > replication.MaxFuture.Milliseconds() {
		c.fail(w, n, "future-is-parked", "%s is %d ms ahead", record.Key, ahead)
	}
}

// stamped looks at the version of a new override.
func (c *checker) stamped(w *world, n *node, record replication.Record) {
	x := c.note(w, n.replica)
	if record.Version.Compare(x.override) <= 0 {
		c.fail(w, n, "clock-goes-forward", "%s gets version %v after %v", record.Key, record.Version, x.override)
	}
	x.override = record.Version
}

// outranked looks at a record that its own writer could not publish.
func (c *checker) outranked(w *world, n *node, record, have replication.Record) {
	if x := &c.nodes[n.id]; !x.undurable && !x.setBack {
		c.fail(w, n, "own-word-is-newest", "%s version %v: %v by %s is held", record.Key, record.Version, have.Version, have.Writer)
	}
}

// published looks at evidence before it is encoded.
func (c *checker) published(w *world, n *node, e *health.Evidence) {
	x := &c.nodes[n.id]
	if e.Seq <= x.seq {
		c.fail(w, n, "own-word-is-newest", "evidence %d after %d", e.Seq, x.seq)
	}
	x.seq = e.Seq
	if !e.Warm && n.probed < len(n.observers) {
		c.fail(w, n, "warm-abstains", "%d of %d targets probed", n.probed, len(n.observers))
	}
	for i := range e.Targets {
		t := &e.Targets[i]
		if (t.State == health.StateDown || t.State == health.StateRecovering) && c.reachable(n, i) {
			c.fail(w, n, "no-false-observation", "says %s is %v: %s", t.Target, t.State, t.Reason)
		}
	}
}

// reachable says that a node could always reach a target.
func (c *checker) reachable(n *node, target int) bool {
	f := &c.fates[target]
	return !c.nodes[n.id].poisoned && f.ill[n.dc] < 0
}

// stepped looks at an observer.
func (c *checker) stepped(w *world, n *node, t int, _ health.ObserverState, _ health.Event) {
	s := n.observers[t].state.State
	if (s == health.StateDown || s == health.StateRecovering) && c.reachable(n, t) {
		c.fail(w, n, "no-false-observation", "holds %s for %v: %s", w.fleet.Targets[t], s, n.observers[t].state.Reason)
	}
}

func (c *checker) packet(w *world, n *node, size, limit int) {
	if size > limit || limit > 1200 && len(n.replica.members) == 1 {
		c.fail(w, n, "packets-fit", "%d bytes", size)
	}
}
