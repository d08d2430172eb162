package sim

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/meridian-gtm/meridian/health"
)

// sampleEvery is how many decisions pass between two that are made again with their inputs turned around. Those that
// change a level always are.
const sampleEvery = 64

// decided looks at a decision and what it was made of.
func (c *checker) decided(w *world, r *replica, n *node, observed []health.Observed, prior health.Prior, before health.Decision) {
	d := &r.decision
	x := c.note(w, r)
	c.quorum(w, r, n, x)
	changed := false
	for i, t := range w.fleet.Targets {
		old, v := before.Verdicts[t], d.Verdicts[t]
		was := old.Level
		if before.Mode == "" {
			was = prior.Verdicts[t].Level
		}
		changed = changed || was != v.Level
		if v.Level == health.Down && was != health.Down {
			c.pulled(w, r, n, i, v, observed, prior)
		}
		if v.Level == health.Down && c.fates[i].clean && c.sound(w) {
			c.fail(w, n, "nothing-wrong-nothing-pulled", "%s: %s", t, v.Reason)
		}
		if c.onlyPoison && c.poisoned && c.hit(w) >= 0 && w.sc.Datacenters >= 3 && w.now-n.booted > time.Minute/2 &&
			(v.Level == health.Partial || len(v.AvoidRegions) > 0) {
			c.fail(w, n, "poison-moves-nothing", "%s: %s", t, v.Reason)
		}
		c.ttl(w, r, n, t, v, observed)
		c.ramp(w, r, n, x, i, old, v)
		if r.view.Quorate && !v.Held {
			c.replay(w, n, t, v)
		}
	}
	if r.view.Quorate {
		c.brake(w, r, n, prior)
	}
	c.decisions++
	if changed || c.decisions%sampleEvery == 0 {
		c.again(w, r, n, observed, prior)
	}
}

// sound says that enough nodes run the right check for a bad one to be set aside: all of all datacenters but one.
func (c *checker) sound(w *world) bool {
	return !c.poisoned || c.hit(w) >= 0 && w.sc.Datacenters >= 4
}

// hit is the datacenter whose nodes alone have run a bad check, or -1.
func (c *checker) hit(w *world) int {
	hit := -1
	for i := range c.nodes {
		if dc := i % w.sc.Datacenters; c.nodes[i].poisoned {
			if hit >= 0 && dc != hit {
				return -1
			}
			hit = dc
		}
	}
	return hit
}

// quorum holds freshness, quorum and mode against what was heard.
func (c *checker) quorum(w *world, r *replica, n *node, x *notes) {
	p := w.fleet.Policy
	present := make([]bool, w.sc.Datacenters)
	for _, o := range r.view.Observers {
		i := w.sc.nodeNumber(o.Node)
		h := r.heard[i]
		silent := w.now - h.at
		if silent < p.Stale && !h.Isolated {
			present[w.nodes[i].dc] = true
		}
		if o.Why == "stale" && silent < p.Stale {
			c.fail(w, n, "heard-is-fresh", "%s was heard %v ago", o.Node, silent)
		}
		if o.Counted && silent >= p.Stale {
			c.fail(w, n, "silence-does-not-count", "%s was heard %v ago", o.Node, silent)
		}
	}
	fresh := 0
	for _, p := range present {
		if p {
			fresh++
		}
	}
	quorate := 2*fresh > w.sc.Datacenters
	if quorate != r.view.Quorate {
		c.fail(w, n, "quorum-of-the-configured", "%d of %d datacenters are heard, quorate %v", fresh, w.sc.Datacenters, r.view.Quorate)
	}
	x.lost = since(x.lost, !quorate, w.now)
	want := health.ModeNormal
	switch {
	case r.warm && (quorate || w.now-x.lost < p.MinorityHold):
		want = health.ModeWarm
	case quorate:
	case w.now-x.lost < p.MinorityHold:
		want = health.ModeMinorityHold
	case n.witnessed(w.now):
		want = health.ModeMinorityLocal
	default:
		want = health.ModeMinorityBlind
	}
	if got := r.decision.Mode; got != want {
		c.fail(w, n, "mode-follows-quorum", "%s: want %s, %d of %d datacenters heard", got, want, fresh, w.sc.Datacenters)
	}
}

// pulled looks at a site that goes down.
func (c *checker) pulled(w *world, r *replica, n *node, i int, v health.Verdict, observed []health.Observed, prior health.Prior) {
	t, p := w.fleet.Targets[i], w.fleet.Policy
	if !r.view.Quorate {
		lost := c.notes[r.members[0].id].lost
		if lost >= 0 && w.now-lost < p.MinorityHold || !n.witnessed(w.now) {
			if prior.Verdicts[t].Level != health.Down {
				c.fail(w, n, "minority-waits", "%s pulled %v after quorum was lost, witnesses answer %v: %s",
					t, w.now-lost, n.witnessed(w.now), v.Reason)
			}
		}
		for _, o := range r.view.Observers {
			h := r.heard[w.sc.nodeNumber(o.Node)]
			if s := h.Targets[i].State; o.Counted && !v.Held && (s == health.StateUp || s == health.StateSuspect) {
				c.fail(w, n, "minority-is-unanimous", "%s pulled: %s reaches it", t, o.Node)
			}
		}
		all, any := true, false
		for _, u := range w.fleet.Targets {
			all = all && r.decision.Verdicts[u].Level == health.Down
			any = any || prior.Verdicts[u].Level != health.Down
		}
		if all && any && !v.Held {
			c.fail(w, n, "minority-leaves-one", "%s was the last", t)
		}
		return
	}
	if v.Held {
		return
	}
	if strings.HasPrefix(v.Reason, "soft") {
		left, capacity := 0, 0
		for j, u := range w.fleet.Targets {
			if j != i && r.decision.Verdicts[u].Level != health.Down {
				left++
				capacity += siteCapacity
			}
		}
		if left == 0 || capacity*100 < w.sc.Demand*p.Headroom {
			c.fail(w, n, "soft-pulls-keep-capacity", "%s: %d sites are left for a demand of %d", t, left, w.sc.Demand)
		}
		return
	}
	var foreign, reach, down int
	var own *health.Vote
	for j := range v.Votes {
		switch x := &v.Votes[j]; {
		case x.Own:
			own = x
		case x.Counted:
			foreign++
			if x.U == 2 {
				reach++
			}
			if x.U == 0 {
				down++
			}
		}
	}
	if w.sc.Datacenters == 1 {
		return // the only one decides
	}
	if 2*reach >= foreign {
		c.fail(w, n, "half-reach-keeps", "%s: %d of %d foreign datacenters reach it", t, reach, foreign)
	}
	ownThere := own != nil && (own.Counted && own.U == 0 || w.heardFrom(r, own.Datacenter) < v.Age)
	if down < 2 && !ownThere && v.Age < p.CorroborationHold {
		c.fail(w, n, "pull-is-corroborated", "%s: %d of %d foreign datacenters hold it down for %v, nobody else says so",
			t, down, foreign, v.Age)
	}
}

// heardFrom is how long ago a replica last heard a datacenter.
func (w *world) heardFrom(r *replica, dc string) time.Duration {
	least := time.Duration(1<<63 - 1)
	for i, h := range r.heard {
		if h.Evidence != nil && datacenterName(w.nodes[i].dc) == dc && !h.Isolated {
			least = min(least, w.now-h.at)
		}
	}
	return least
}

// replay comes to the level by the votes in a verdict.
func (c *checker) replay(w *world, n *node, t health.Target, v health.Verdict) {
	if strings.HasPrefix(v.Reason, "soft") || w.sc.Datacenters == 1 {
		return
	}
	got, of, foreign := 0, 0, 0
	for _, x := range v.Votes {
		switch {
		case !x.Counted:
		case x.Own:
			got, of = got+x.U, of+2
		default:
			got, of, foreign = got+2*x.U, of+4, foreign+1
		}
	}
	if foreign == 0 {
		return
	}
	ok := true
	switch v.Level {
	case health.Up:
		ok = 3*got >= 2*of
	case health.Down:
		ok = 3*got <= of
	case health.Partial:
		ok = 3*got < 2*of
	case health.Unknown:
		ok = false
	}
	if !ok {
		c.fail(w, n, "reasons-replay", "%s is %v with votes %d of %d", t, v.Level, got, of)
	}
}

// ttl wants the short TTL wherever something may change soon.
func (c *checker) ttl(w *world, r *replica, n *node, t health.Target, v health.Verdict, observed []health.Observed) {
	p := w.fleet.Policy
	if v.TTL <= p.UnsettledTTL {
		return
	}
	why := ""
	switch {
	case v.TTL > p.SettledTTL:
		why = "above the settled one"
	case r.decision.Mode != health.ModeNormal:
		why = string(r.decision.Mode)
	case v.Held:
		why = "held"
	case v.Age < p.Settle:
		why = fmt.Sprintf("%v old", v.Age)
	case v.Level == health.Partial || v.Level == health.Unknown || len(v.AvoidRegions) > 0:
		why = "not plain"
	case v.Level == health.Up && v.Weight < health.FullWeight:
		why = "ramping"
	}
	if why != "" {
		c.fail(w, n, "unsettled-is-short", "%s: TTL %d, but it is %s", t, v.TTL, why)
	}
}

// ramp follows a site that returns.
func (c *checker) ramp(w *world, r *replica, n *node, x *notes, i int, old, v health.Verdict) {
	p, t := w.fleet.Policy, w.fleet.Targets[i]
	follow := &x.ramps[i]
	calm := c.calmSince >= 0 && c.undisturbed(w, *follow) && c.calmSince <= max(*follow, 0)
	switch {
	case v.Level == health.Down:
		*follow = -1
		settled := c.calmSince == 0 || c.calmSince > 0 && w.now-c.calmSince > p.Stale // what a heal brought late is over
		if c.lostByAll(v) && v.Age > 2*time.Second && settled && c.undisturbed(w, w.now-5*time.Second) {
			*follow = w.now
		}
	case *follow < 0:
	case v.Level == health.Unknown || r.decision.Mode != health.ModeNormal || v.Held || r.decision.Needed[t] || !calm ||
		setAside(&r.decision):
		*follow = -1
	case v.Weight > health.FullWeight/4 && w.now-*follow < p.Ramp/4:
		c.fail(w, n, "ramp-is-followed", "%s has %d permille %v after it was down", t, v.Weight, w.now-*follow)
	case v.Weight == health.FullWeight:
		if w.now-*follow < p.Ramp*3/4 {
			c.fail(w, n, "ramp-is-followed", "%s has its full weight %v after it was down", t, w.now-*follow)
		}
		*follow = -1
	}
}

// lostByAll says that every foreign observer held it down.
func (c *checker) lostByAll(v health.Verdict) bool {
	return !v.Held && len(v.Votes) > 1 && !slices.ContainsFunc(v.Votes, func(x health.Vote) bool {
		return !x.Own && (!x.Counted || x.NotDown > 0)
	})
}

// undisturbed says that no node has been struck since.
func (c *checker) undisturbed(w *world, at time.Duration) bool {
	for i := range c.nodes {
		if c.nodes[i].troubled || c.nodes[i].disturbed > max(at, 0) {
			return false
		}
	}
	return true
}

// brake wants most of a pool lost at once to be seen by all, for long.
func (c *checker) brake(w *world, r *replica, n *node, prior health.Prior) {
	p, d := w.fleet.Policy, &r.decision
	lost := 0
	for _, t := range w.fleet.Targets {
		if v := d.Verdicts[t]; v.Level == health.Down && !v.Held && v.Age < p.BrakeWindow {
			lost++
		}
	}
	if 2*lost <= len(w.fleet.Targets) {
		return
	}
	for i, t := range w.fleet.Targets {
		v, before := d.Verdicts[t], prior.Verdicts[t].Level
		if v.Level != health.Down || v.Held || v.Age >= p.BrakeWindow || before != health.Up && before != health.Partial {
			continue
		}
		soft := slices.ContainsFunc(r.heard, func(h heard) bool { return h.Evidence != nil && h.Targets[i].Soft })
		unanimous := soft || !slices.ContainsFunc(v.Votes, func(x health.Vote) bool {
			return x.Counted && !x.Own && x.U > 0
		})
		if v.Age < p.BrakeHold || !unanimous {
			c.fail(w, n, "brake-holds", "%d of %d sites lost, %s %v ago", lost, len(w.fleet.Targets), t, v.Age)
		}
	}
}

// again makes the decision once more of the same evidence turned around, and of one datacenter's multiplied.
func (c *checker) again(w *world, r *replica, n *node, observed []health.Observed, prior health.Prior) {
	turned := slices.Clone(observed)
	slices.Reverse(turned)
	d := w.seams.decide(w.seams.aggregate(turned, w.fleet), prior, w.fleet)
	a, errA := health.EncodeVerdicts(r.decision.Verdicts)
	b, errB := health.EncodeVerdicts(d.Verdicts)
	if errA != nil || errB != nil || !bytes.Equal(a, b) || !slices.Equal(d.Alarms, r.decision.Alarms) || d.Mode != r.decision.Mode {
		c.fail(w, n, "equal-inputs-equal-verdicts", "%s\nand, in another order, %s", a, b)
	}
	if w.sc.Nodes > cohortsFrom {
		return
	}
	many := slices.Clone(observed)
	for _, o := range observed {
		if o.Evidence.Datacenter != datacenterName(int(c.decisions)%w.sc.Datacenters) {
			continue
		}
		for i := range 2 {
			o.Evidence.Node = fmt.Sprintf("%s-%d", strings.Split(o.Evidence.Node, "-")[0], i)
			many = append(many, o)
		}
	}
	view := w.seams.aggregate(many, w.fleet)
	d = w.seams.decide(view, prior, w.fleet)
	for i, t := range w.fleet.Targets {
		v, u := r.decision.Verdicts[t], d.Verdicts[t]
		if v.Level != u.Level || v.Weight != u.Weight || !slices.Equal(v.AvoidRegions, u.AvoidRegions) {
			c.fail(w, n, "more-observers-change-nothing", "%s: %v %d (%s), with more observers %v %d (%s)",
				t, v.Level, v.Weight, v.Reason, u.Level, u.Weight, u.Reason)
		}
		c.count(w, r, n, i, v)
	}
}

// setAside says that some evidence was set aside as odd.
func setAside(d *health.Decision) bool {
	return slices.ContainsFunc(d.Alarms, func(a health.Alarm) bool { return a.Code == "definition" || a.Code == "outlier" })
}

// count counts the evidence once more, without what the cores set aside as odd.
func (c *checker) count(w *world, r *replica, n *node, i int, v health.Verdict) {
	if setAside(&r.decision) {
		return
	}
	for _, vote := range v.Votes {
		voters, notDown := 0, 0
		for j, h := range r.heard {
			if h.Evidence == nil || datacenterName(w.nodes[j].dc) != vote.Datacenter || h.Isolated || h.Warm ||
				w.now-h.at >= w.fleet.Policy.Stale {
				continue
			}
			t := &h.Targets[i]
			switch t.State {
			case health.StateUp, health.StateSuspect:
				voters, notDown = voters+1, notDown+1
			case health.StateDown, health.StateRecovering:
				voters++
				if t.Soft {
					notDown++
				}
			}
		}
		if vote.Voters != voters || vote.NotDown != notDown || vote.Counted != (voters > 0) {
			c.fail(w, n, "votes-match-evidence", "%s: %s has %d of %d not down; the evidence says %d of %d",
				v.Reason, vote.Datacenter, vote.NotDown, vote.Voters, notDown, voters)
		}
	}
}
