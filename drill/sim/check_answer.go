package sim

import (
	"slices"
	"time"

	"github.com/meridian-gtm/meridian/dnsserver/steer"
	"github.com/meridian-gtm/meridian/health"
	"github.com/meridian-gtm/meridian/replication"
)

// planned looks at every answer of a new plan.
func (c *checker) planned(w *world, r *replica, n *node) {
	pools := map[string]steer.Pool{}
	for _, p := range r.plan.Pools() {
		pools[p.Service] = p
	}
	inForce := r.state.Overrides(n.wall(w.now))
	for service := range w.inputs.Services {
		name := w.inputs.Services[service].Name
		for dc := range w.sc.Datacenters {
			a, ok := w.answer(r, service, dc)
			c.answer(w, n, a, ok)
			for _, s := range w.sites {
				if !slices.Contains(a.Addrs, s.addr) {
					continue
				}
				x, decides := replication.Deciding(inForce, name, s.name)
				if !decides {
					continue
				}
				if x.Action == replication.Isolate {
					c.fail(w, n, "isolated-never-answered", "%s answers %v", name, s.addr)
				}
				if x.Action == replication.Drain && len(pools[name].Available) > 0 {
					c.fail(w, n, "drained-answers-last", "%s answers %s while %v are available", name, s.name, pools[name].Available)
				}
			}
		}
	}
	c.overrides(w, r, n, 0)
}

// answer looks at one answer.
func (c *checker) answer(w *world, n *node, a steer.Answer, ok bool) {
	if !ok {
		c.fail(w, n, "answers-flow", "no plan")
		return
	}
	if len(a.Addrs) == 0 {
		c.fail(w, n, "answer-never-empty", "cause %d", a.Cause)
	}
	if a.TTL < serviceTTLMin || a.TTL > serviceTTLMax {
		c.fail(w, n, "ttl-in-range", "TTL %d", a.TTL)
	}
}

// answered looks at what a client was given.
func (c *checker) answered(w *world, n *node, _ *client, a steer.Answer, ok bool) {
	c.answer(w, n, a, ok)
}

// overrides looks for what acts though it is over; a plan may lag by so much.
func (c *checker) overrides(w *world, r *replica, n *node, lag time.Duration) {
	wall := n.wall(w.now - lag).UnixMilli()
	for _, o := range r.inputs.overrides {
		if o.Cleared || o.Expires != 0 && wall >= o.Expires {
			c.fail(w, n, "expired-never-acts", "%s of %s acts at %d, expires %d, cleared %v", o.Action, o.Site, wall, o.Expires, o.Cleared)
		}
	}
}

// survey looks at the whole world, once a second.
func (c *checker) survey(w *world) {
	lag := 2*w.pace.pass + time.Second
	for _, n := range w.nodes {
		if !n.up || n.paused {
			continue
		}
		if n.slow == 0 {
			c.detects(w, n)
		}
		r := n.replica
		if r.voice() != n {
			continue
		}
		if n.slow == 0 && max(c.nodes[n.id].disturbed, c.nodes[n.id].clocked, n.busy) < w.now-lag {
			c.overrides(w, r, n, lag)
		}
		keys := 2*len(w.nodes) + 5*len(w.sites)
		if r.state.Len() > keys || len(r.waits) > keys || len(r.state.Parked()) > 1024 || len(n.deferred) > inboxLimit+1024 {
			c.fail(w, n, "queues-are-bounded", "%d records, %d queued, %d parked", r.state.Len(), len(r.waits), len(r.state.Parked()))
		}
	}
	c.deaths(w)
	if c.stillSince < 0 || w.now < 45*time.Second {
		return
	}
	last := c.stillSince
	for _, a := range w.acks {
		last = max(last, a.at)
	}
	if w.now-last > 30*time.Second {
		c.converged(w)
	}
}

// jumped says that a node's clock is not right.
func (w *world) jumped(n *node) bool { return n.skew != 0 || n.rate != 0 }

// detects wants an observer to have seen what has long been dead for it.
func (c *checker) detects(w *world, n *node) {
	tm := w.probeOf.Timing
	bound := tm.Interval*11/10 + time.Duration(tm.Fall-1)*tm.Recheck + tm.Timeout + tm.Timeout/4
	x := &c.nodes[n.id]
	for i := range n.observers {
		sick := c.fates[i].sick[n.dc]
		if sick < 0 || w.now-sick <= bound || x.troubled || x.disturbed > sick-30*time.Second && x.disturbed > 0 {
			continue
		}
		if s := n.observers[i].state.State; s == health.StateUp || s == health.StateSuspect {
			c.fail(w, n, "damping-delays-no-pull", "%s has been dead for %v and is %v", w.fleet.Targets[i], w.now-sick, s)
		}
	}
}

// deaths wants sites that are dead for everybody to leave the answers, and those that come back alone to return.
func (c *checker) deaths(w *world) {
	if c.calmSince < 0 || w.sc.Datacenters < 3 {
		return
	}
	limit, start := 12*time.Second, 40*time.Second
	if w.sc.Fast {
		limit = 5 * time.Second
	}
	dead, well := 0, 0
	var latest time.Duration
	for i := range c.fates {
		f := &c.fates[i]
		switch {
		case f.dead >= 0:
			dead++
			latest = max(latest, f.dead)
		case f.clean:
			well++
		}
	}
	brake := time.Duration(0)
	if 2*(len(w.sites)-well) > len(w.sites) {
		brake = w.fleet.Policy.BrakeHold + 2*time.Second
	}
	for i := range c.fates {
		f := &c.fates[i]
		if f.dead >= 0 && well > 0 && c.calmSince <= max(0, f.dead-5*time.Second) && f.dead >= start &&
			w.now-f.dead > limit+brake && c.undisturbed(w, f.dead-start) && !c.overridden(w, w.sites[i].name, f.dead) {
			c.gone(w, i, limit+brake)
		}
		if dead == len(w.sites)-1 && f.well >= 0 && f.dead < 0 {
			c.back(w, i, latest)
		}
	}
}

// overridden says that an operator has had a hand in it.
func (c *checker) overridden(w *world, _ string, _ time.Duration) bool { return len(w.acks) > 0 }

// gone wants a site in no answer, and no client that obeys TTLs on it.
func (c *checker) gone(w *world, i int, limit time.Duration) {
	s := w.sites[i]
	for _, n := range w.nodes {
		if !n.up || n.replica.voice() != n || n.replica.decision.Mode == health.ModeWarm {
			continue
		}
		for service := range w.inputs.Services {
			for dc := range w.sc.Datacenters {
				if a, ok := w.answer(n.replica, service, dc); ok && slices.Contains(a.Addrs, s.addr) {
					c.fail(w, n, "dead-sites-leave", "%s has been dead for %v and is answered: %s", s.name,
						w.now-c.fates[i].dead, n.replica.decision.Verdicts[w.fleet.Targets[i]].Reason)
				}
			}
		}
	}
	ttl := time.Duration(w.fleet.Policy.SettledTTL) * time.Second
	for _, cl := range w.clients {
		if cl.addr == s.addr && cl.floor == 0 && !cl.pinned && w.now-c.fates[i].dead > limit+ttl+4*time.Second {
			c.fail(w, cl.from, "clients-leave-the-dead", "a client in %s still uses %s, dead for %v",
				datacenterName(cl.dc), s.name, w.now-c.fates[i].dead)
		}
	}
}

// back wants the only living site answered once it has had time to rise.
func (c *checker) back(w *world, i int, othersDead time.Duration) {
	f, tm := &c.fates[i], w.probeOf.Timing
	from := max(f.well, othersDead, c.calmSince)
	rise := time.Duration(tm.Rise)*tm.Interval*11/10 + tm.Timeout + 5*time.Second
	if w.now-from <= rise+w.fleet.Policy.BrakeHold+w.fleet.Policy.Stale || !c.undisturbed(w, from-40*time.Second) ||
		from < 40*time.Second || c.overridden(w, w.sites[i].name, 0) {
		return
	}
	for _, n := range w.nodes {
		if !n.up || n.replica.voice() != n {
			continue
		}
		if a, ok := w.answer(n.replica, 0, i); ok && !slices.Contains(a.Addrs, w.sites[i].addr) {
			c.fail(w, n, "fail-open-ends", "%s alone has been well for %v and is not answered: %s", w.sites[i].name,
				w.now-from, n.replica.decision.Verdicts[w.fleet.Targets[i]].Reason)
		}
	}
}

// converged wants a fleet that has long been left alone to be of one mind.
func (c *checker) converged(w *world) {
	var first *node
	var want []replication.Entry
	allWell := true
	for i := range c.fates {
		allWell = allWell && c.fates[i].clean
	}
	parked := false
	for _, n := range w.nodes {
		parked = parked || len(n.replica.state.Parked()) > 0
	}
	for _, n := range w.nodes {
		r := n.replica
		if !n.up || n.paused || r.voice() != n || w.now-n.booted < 40*time.Second {
			continue
		}
		for i, m := range w.nodes {
			if silent := w.now - r.heard[i].at; m.up && w.now-m.booted > 40*time.Second && m.replica != r &&
				!w.jumped(m) && !c.nodes[i].setBack && silent >= w.fleet.Policy.Stale {
				c.fail(w, n, "evidence-flows", "%s was heard %v ago", m.name, silent)
			}
		}
		for _, t := range w.fleet.Targets {
			if v := r.decision.Verdicts[t]; allWell && !c.poisoned && v.Level != health.Up {
				c.fail(w, n, "well-means-up", "%s: %v: %s", t, v.Level, v.Reason)
			}
		}
		if parked {
			continue
		}
		have := r.state.Entries(overrideBuckets)
		if first == nil {
			first, want = n, have
			continue
		}
		if !slices.Equal(have, want) {
			c.fail(w, n, "overrides-converge", "holds %v, %s holds %v", have, first.name, want)
		}
	}
}

// overrideBuckets are the parts of a digest that speak of overrides.
var overrideBuckets = func() (out []int) {
	for i := 2 * replication.Buckets / 3; i < replication.Buckets; i++ {
		out = append(out, i)
	}
	return out
}()

// end looks at the world when all is over: everything that was acknowledged is still there.
func (c *checker) end(w *world) {
	if c.stillSince < 0 || w.now-c.stillSince < 30*time.Second {
		return
	}
	for _, a := range w.acks {
		n := a.node
		if !n.up || w.now-a.at < 30*time.Second {
			continue
		}
		have, _ := n.replica.state.Get(a.record.Key)
		over := a.override.Expires != 0 && n.wall(w.now).UnixMilli() >= a.override.Expires
		if have.Version.Compare(a.record.Version) < 0 && !over && !parks(n.replica, a.record) {
			c.fail(w, n, "acknowledged-survives", "%s version %v was acknowledged at %v; it holds %v",
				a.record.Key, a.record.Version, a.at, have.Version)
		}
	}
}
