package sim

import (
	"time"

	"github.com/meridian-gtm/meridian/health"
)

// observer is the observer of one target on one node, and its place in the schedule of health/probe: ticks when the
// core asks for them, results when probes end, and an alert when another node begins to doubt.
type observer struct {
	state  health.ObserverState
	policy health.ObserverPolicy
	wake   time.Duration
	probed bool
}

// probe is one probe under way.
type probe struct {
	started    time.Duration
	result     health.Result
	definition uint32 // of the check: what an earlier one shows is dropped
}

func (w *world) tickObserver(n *node, t int, due time.Duration) {
	if o := &n.observers[t]; o.wake == due || o.wake == 0 {
		w.stepObserver(n, t, health.Event{Kind: health.EventTick})
	}
}

func (w *world) finishProbe(n *node, t int, p probe) {
	o := &n.observers[t]
	if p.definition != w.definition(n) {
		return
	}
	if p.result.Outcome != health.LocalFault && w.now-p.started > w.probeOf.Timing.Timeout {
		// The answer may be in a buffer, but the time-out of a process that stood still fires first.
		p.result.Outcome, p.result.Detail = health.HardFail, "connect: no answer"
	}
	if !o.probed {
		o.probed = true
		n.probed++
	}
	w.stepObserver(n, t, health.Event{Kind: health.EventResult, Result: p.result, Started: p.started})
	if !n.round && n.probed == len(n.observers) {
		n.round = true
		w.changed(n)
	}
}

// stepObserver folds an event into an observer and does what it asks for.
func (w *world) stepObserver(n *node, t int, e health.Event) {
	o := &n.observers[t]
	w.stats.Steps++
	o.policy.Hash = w.definition(n)
	before := o.state
	var do health.Actions
	o.state, do = w.seams.step(w, o, e)
	w.checker.stepped(w, n, t, before, e)
	if wake := max(do.Wake, w.now+1); wake != o.wake {
		o.wake = wake
		w.push(event{at: wake, kind: evProbe, boot: n.boot, node: int32(n.id), a: int32(t)})
	}
	if do.Probe {
		r, took := w.probe(n, t)
		w.stats.Probes++
		w.later(n, took, evResult, int32(t), probe{w.now, r, w.definition(n)})
	}
	if do.Publish {
		w.changed(n)
	}
}

// changed publishes at once, because an opinion is different.
func (w *world) changed(n *node) {
	w.publishEvidence(n)
	if r := n.replica; r.voice() == n && w.now-r.foldAt >= w.pace.fold {
		w.decide(r)
	}
}

// reaches says what stands between a node and a site: "" = nothing.
func (w *world) reaches(n *node, site int) string {
	switch s := w.sites[site]; {
	case n.dc != s.dc && (w.isolated[n.dc] || w.isolated[s.dc]):
		return "blackhole"
	case w.lostPath[n.dc][site]:
		return "blackhole"
	default:
		return w.ill[site]
	}
}

// probe makes one probe of a target: what it will show, and when.
func (w *world) probe(n *node, t int) (health.Result, time.Duration) {
	r := health.Result{Target: w.fleet.Targets[t]}
	timing := w.probeOf.Timing
	rtt := w.distance(n.dc, w.sites[t].dc)*2 + time.Duration(w.chance.Int64N(int64(2*time.Millisecond)))
	rtt = min(rtt, timing.Timeout/4)
	switch ill := w.reaches(n, t); {
	case n.noFiles:
		r.Outcome, r.Detail = health.LocalFault, "too many open files"
		return r, time.Microsecond
	case n.poisoned:
		r.Outcome, r.Detail = health.HardFail, "status 404: want 200..299"
		return r, rtt
	case ill == "blackhole", ill == "lossy" && w.chance.IntN(100) < 60:
		r.Outcome, r.Detail = health.HardFail, "connect: no answer"
		return r, timing.Timeout
	case ill == "refuse":
		r.Outcome, r.Detail = health.HardFail, "connect refused"
	case ill == "error":
		r.Outcome, r.Detail = health.HardFail, "status 503: want 200..299"
	case ill == "unready":
		r.Outcome, r.Detail = health.SoftFail, "not ready"
	case ill == "slow":
		rtt += timing.Timeout * 2 / 3
	}
	r.RTT = rtt
	return r, rtt
}

// askWitness begins a round of asking the witnesses.
func (w *world) askWitness(n *node) {
	w.later(n, w.pace.witness, evWitness, 0, nil)
	if w.isolated[n.dc] {
		w.later(n, w.pace.witness, evWitnessed, 0, nil)
	} else {
		w.later(n, 20*time.Millisecond, evWitnessed, 1, nil)
	}
}

func (w *world) hearWitness(n *node, answer bool) {
	news := !n.witness.asked || n.witness.answer != answer
	n.witness = witness{true, answer, w.now}
	if news {
		w.changed(n)
	}
}

func (n *node) witnessed(now time.Duration) bool {
	return n.witness.answer && now-n.witness.at <= 6*time.Second
}

// definition is the hash of the check that the node probes with.
func (w *world) definition(n *node) uint32 {
	if n.poisoned {
		return w.poison
	}
	return w.sound
}

// redefine begins the observers of a node anew, as a prober does when a check's definition changes.
func (w *world) redefine(n *node) {
	if !n.up {
		return
	}
	for t := range n.observers {
		n.observers[t] = observer{policy: n.observers[t].policy, probed: n.observers[t].probed}
		w.later(n, 0, evProbe, int32(t), nil)
	}
}
