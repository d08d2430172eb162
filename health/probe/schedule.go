package probe

import (
	"container/heap"
	"time"

	"github.com/meridian-gtm/meridian/health"
)

// late is how far behind its time a tick shows that this machine stood still.
const late = time.Second

// next ticks the observers whose time has come, and returns the next probe to start. ok is false when nothing is due
// or as many probes as may are under way.
func (p *Prober) next() (j job, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	if len(p.wakes) > 0 && p.wakes[0].begun && now-p.wakes[0].wake > late {
		p.stalls++
		p.opts.Logger.Warn("this machine stood still", "for", now-p.wakes[0].wake)
	}
	for len(p.wakes) > 0 && p.wakes[0].wake <= now {
		o := p.wakes[0]
		o.begun = true
		p.step(o, health.Event{Kind: health.EventTick}, now)
	}
	if p.noteRound(); len(p.ready) == 0 || p.running >= p.opts.Concurrency {
		return job{}, false
	}
	o := p.ready[0]
	p.ready = p.ready[1:]
	j = job{of: o, target: o.Target, started: o.queued[0]}
	o.queued = o.queued[1:]
	p.running++
	return j, true
}

// finish reports a probe that next returned.
func (p *Prober) finish(j job, found outcome) {
	o := j.of
	p.mu.Lock()
	defer p.mu.Unlock()
	p.running--
	signal(p.kick)
	p.judgeRoute(o, &found, j.started)
	p.counts[countKey{j.target.Check.Kind, found.Outcome, found.reason}]++
	if o.gone {
		return
	}
	p.step(o, health.Event{Kind: health.EventResult, Result: found.Result, Started: j.started}, p.now())
	p.noteRound()
}

// step folds an event into o and does what the observer asks for.
func (p *Prober) step(o *observer, e health.Event, now time.Duration) {
	before := o.state.State
	var do health.Actions
	o.state, do = health.StepObserver(o.state, e, now, o.Policy)
	// A wake that is due already is never before the next pass of Run.
	o.wake = max(do.Wake, now+1)
	heap.Fix(&p.wakes, o.index)
	if do.Probe {
		o.queued = append(o.queued, now)
		p.ready = append(p.ready, o)
	}
	if do.Publish {
		signal(p.changed)
	}
	if before != o.state.State {
		p.opts.Logger.Info("observed", "target", o.ID.String(), "from", word(before), "to", word(o.state.State), "why", o.state.Reason)
	}
}

// word names a state in the log.
func word(s health.State) string {
	words := [...]string{
		health.StateUnknown: "unknown", health.StateUp: "up", health.StateSuspect: "suspect",
		health.StateDown: "down", health.StateRecovering: "recovering",
	}
	return words[s]
}

// noteRound notices the end of the first round.
func (p *Prober) noteRound() {
	if !p.round && p.probed() == len(p.sorted) {
		p.round = true
		signal(p.changed)
	}
}

// untilWake returns how long Run may sleep.
func (p *Prober) untilWake() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.wakes) == 0 {
		return time.Hour
	}
	return max(0, p.wakes[0].wake-p.now())
}

// routes is what is known of this machine's way into one address family.
type routes struct{ latest time.Duration } // start of the latest probe that found a route

// judgeRoute decides whose fault "network unreachable" is. This machine's, unless it has found a way to some other
// target with a probe that began after o lost its own: then it is o that has gone from the routing tables.
func (p *Prober) judgeRoute(o *observer, found *outcome, started time.Duration) {
	family := &p.routed[0]
	if o.Addr.Addr().Is6() {
		family = &p.routed[1]
	}
	switch {
	case found.reason == noRoute && found.Outcome == health.LocalFault:
		if o.lost == 0 {
			o.lost = max(started, 1)
		} else if family.latest > o.lost {
			found.Outcome = health.HardFail
		}
	case found.Outcome != health.LocalFault:
		family.latest = max(family.latest, started)
		o.lost = 0
	}
}

// wakes is a heap of observers by the time of their next tick.
type wakes []*observer

func (w wakes) Len() int           { return len(w) }
func (w wakes) Less(i, j int) bool { return w[i].wake < w[j].wake }
func (w wakes) Swap(i, j int)      { w[i], w[j] = w[j], w[i]; w[i].index, w[j].index = i, j }

// Push implements heap.Interface; see add.
func (w *wakes) Push(x any) {
	o := x.(*observer)
	o.index = len(*w)
	*w = append(*w, o)
}

// Pop implements heap.Interface; see remove.
func (w *wakes) Pop() any {
	last := len(*w) - 1
	o := (*w)[last]
	(*w)[last] = nil
	*w = (*w)[:last]
	return o
}

func (w *wakes) add(o *observer)    { heap.Push(w, o) }
func (w *wakes) remove(o *observer) { heap.Remove(w, o.index) }
