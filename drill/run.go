package drill

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/meridian-gtm/meridian/control"
	"github.com/meridian-gtm/meridian/replication"
)

const (
	// baselineFor is how long answers are measured before anything is broken.
	baselineFor = 2 * time.Second
	// settledFor is how long everything must be as before until a drill ends.
	settledFor = time.Second
	// graceFor is how much longer than planned a fault may last if the drill dies.
	graceFor = 30 * time.Second
	// glanceEvery is the pause between two lines of progress.
	glanceEvery = time.Second
)

// Options of a drill. Scenario, Target, Fleet and World are required.
type Options struct {
	Scenario Scenario
	Target   string // site
	Pace     Pace   // default Default
	Fleet    Fleet
	World    World
	Force    bool   // although interlocks do not hold; wants Why
	Why      string // reason of a forced drill
	Who      string // on whose behalf; "" = unknown
	// Witness orders while the drill lasts, and looks afterwards whether every order is there; nil = nobody does.
	Witness *Witness
	// Progress is called with a line for people, from one goroutine; nil = nobody.
	Progress func(line string)
	// Planned is called with the plan before anything is broken; nil = nobody. An error stops the drill.
	Planned func(*Plan) error
}

// Run plays a drill. Everything it broke is healed when it returns, and when it is interrupted or panics; should the
// process die, every fault ends by itself. The report is not nil if anything was measured; its outcome says whether
// the limits were kept. An error wraps [ErrRefused] when interlocks do not hold.
func Run(ctx context.Context, o Options) (*Report, error) {
	if o.Pace == "" {
		o.Pace = Default
	}
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	o.Scenario = o.Scenario.In(o.World)
	if err := errors.Join(o.Fleet.check()); err != nil {
		return nil, err
	}
	if o.Force && strings.TrimSpace(o.Why) == "" {
		return nil, errors.New("a forced drill: want a reason")
	}
	plan, sites, err := preview(ctx, o)
	if err != nil {
		return nil, err
	}
	if o.Planned != nil {
		if err := o.Planned(plan); err != nil {
			return nil, err
		}
	}
	if len(plan.Refusals) > 0 && !o.Force {
		return nil, fmt.Errorf("drill %s: %w: %s", plan.Drill, ErrRefused, strings.Join(plan.Refusals, "; "))
	}
	status, err := o.Fleet.api(o.Target).Status(ctx)
	if err != nil {
		return nil, err
	}
	r := &run{Options: o, plan: plan, status: status, watcher: newWatcher(o, sites, status, plan.Breaks, time.Now())}
	return r.play(ctx)
}

// run is one drill under way.
type run struct {
	Options
	plan    *Plan
	status  *control.Status
	watcher *watcher

	lost     time.Time   // when all that the first step breaks was broken; zero = not yet
	taking   *testimony  // nil without a witness, and when it has concluded
	orders   *Orders     // what it said
	made     []Injection // not healed yet
	span     []int       // their places in the timeline
	zero     time.Time   // of the first step
	set      []replication.Override
	facts    Facts
	operated bool
}

// errAborted ends the steps of a drill.
var errAborted = errors.New("aborted")

func (r *run) play(ctx context.Context) (report *Report, err error) {
	if r.Witness != nil {
		r.say("waiting for the first order")
		if r.taking, err = r.Witness.testify(ctx, r.watcher.start); err != nil {
			return nil, err
		}
		defer func() {
			if r.taking != nil {
				err = errors.Join(err, r.taking.leave())
			}
		}()
	}
	watching, stop := context.WithCancel(context.WithoutCancel(ctx))
	var watch sync.WaitGroup
	var watchErr error
	watch.Go(func() { watchErr = r.watcher.run(watching) })
	defer func() { stop(); watch.Wait() }()
	// Whatever happens from here on, a panic included: nothing stays broken.
	defer func() { err = errors.Join(err, r.heal(ctx)) }()

	if why := r.act(ctx); why != nil && !errors.Is(why, errAborted) {
		if ctx.Err() == nil {
			return nil, why
		}
		r.facts.Aborted = "interrupted"
	}
	healErr := r.heal(ctx)
	r.settle(ctx)
	if r.operated {
		r.facts.Agreed = r.agreed(ctx) && (r.facts.Agreed || r.facts.Aborted != "")
	}
	stop()
	watch.Wait()
	if r.taking != nil {
		r.say("looking at every order")
		if r.lost.IsZero() {
			r.lost = time.Now() // it was stopped before that
		}
		r.orders, r.taking = r.taking.conclude(ctx, r.lost.Sub(r.watcher.start)), nil
	}
	return r.report(), errors.Join(healErr, watchErr)
}

// act plays the steps up to the last heal.
func (r *run) act(ctx context.Context) error {
	r.say("measuring %d networks at %d nodes, before anything is broken", len(r.Fleet.Clients), len(r.Fleet.Nodes))
	if err := r.wait(ctx, time.Now().Add(baselineFor)); err != nil {
		return err
	}
	r.zero = time.Now()
	r.watcher.mark(func(t *Timeline) { t.Broken = r.zero.Sub(r.watcher.start) })
	for _, step := range r.Scenario.Steps {
		if err := r.wait(ctx, r.zero.Add(step.At.At(r.Pace))); err != nil {
			return err
		}
		if step.Heal {
			if err := r.heal(ctx); err != nil {
				return err
			}
		}
		if err := r.breakAll(ctx, step); err != nil {
			return err
		}
		if r.lost.IsZero() {
			r.lost = time.Now()
		}
		if err := r.operate(ctx, step.Operate); err != nil {
			return err
		}
	}
	if err := r.wait(ctx, r.zero.Add(r.Scenario.Lasts.At(r.Pace))); err != nil {
		return err
	}
	switch r.Scenario.Refuses {
	case Reload:
		r.facts.Refused = r.watcher.refusedBy(r.Target)
	case Change:
		r.facts.Refused = r.changeRefused(ctx)
	}
	return nil
}

// wait waits for a time, telling what is answered, or for a guard.
func (r *run) wait(ctx context.Context, until time.Time) error {
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	glance := time.NewTicker(glanceEvery)
	defer glance.Stop()
	for {
		select {
		case <-timer.C:
			return nil
		case <-glance.C:
			r.glance()
		case <-r.watcher.breached:
			_, _, r.facts.Aborted = r.watcher.snapshot()
			r.say("ABORTED: %s", r.facts.Aborted)
			return errAborted
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (r *run) say(format string, args ...any) {
	clock := "   before"
	if !r.zero.IsZero() {
		clock = fmt.Sprintf("%+8.1fs", time.Since(r.zero).Seconds())
	}
	r.Progress(clock + "  " + fmt.Sprintf(format, args...))
}

// glance tells what is answered now.
func (r *run) glance() {
	if r.taking != nil {
		r.say("%s; %s", r.watcher.glance(), r.taking.glance())
		return
	}
	r.say("%s", r.watcher.glance())
}

// breakAll injects the faults of a step.
func (r *run) breakAll(ctx context.Context, step Step) error {
	names, _ := sitesOf(r.status)
	left := r.Scenario.Lasts.At(r.Pace) - step.At.At(r.Pace) + graceFor
	for _, b := range step.Break {
		for _, f := range b.faults(r.Target, names, min(max(left, time.Second), MaxFor)) {
			if err := f.check(); err != nil {
				return err
			}
			if f.Kind == KillNode || f.Kind == PauseNode {
				r.watcher.die(f.Site, true)
			}
			in, err := r.World.Inject(ctx, f)
			if err != nil {
				return fmt.Errorf("inject: %w", err)
			}
			if len(r.made) == 0 && len(r.span) == 0 && in.At.After(r.zero) && step.At.At(r.Pace) == 0 {
				// People take their time: what follows is counted from when they were done.
				r.zero = in.At
				r.watcher.mark(func(t *Timeline) { t.Broken = in.At.Sub(r.watcher.start) })
			}
			r.made = append(r.made, in)
			r.watcher.mark(func(t *Timeline) {
				t.Faults = append(t.Faults, FaultSpan{Fault: f, From: in.At.Sub(r.watcher.start), To: -1})
				r.span = append(r.span, len(t.Faults)-1)
			})
			r.say("broken: %s", f)
		}
	}
	return nil
}

// heal ends what is broken and clears what was set. It tries everything, even after an interrupt, and may be called
// again.
func (r *run) heal(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx) // each world bounds its own time
	var faults []error
	now := time.Now()
	for i, in := range r.made {
		if err := r.World.Heal(ctx, in); err != nil {
			faults = append(faults, fmt.Errorf("heal %s: %w: it ends by itself after %v", in.Fault, err, in.Fault.For))
		} else {
			r.say("healed: %s", in.Fault)
		}
		r.watcher.mark(func(t *Timeline) {
			t.Faults[r.span[i]].To = time.Since(r.watcher.start)
			t.Healed = t.Faults[r.span[i]].To
		})
		if k := in.Fault.Kind; k == KillNode || k == PauseNode {
			time.AfterFunc(5*time.Second, func() { r.watcher.die(in.Fault.Site, false) }) // it takes a moment to start
		}
	}
	if len(r.made) > 0 {
		r.made, r.span = nil, nil
	}
	if len(r.set) > 0 {
		faults = append(faults, r.unset(ctx))
		r.watcher.mark(func(t *Timeline) { t.Healed = now.Sub(r.watcher.start) })
	}
	r.watcher.mark(func(t *Timeline) {
		if t.Healed == 0 && t.Broken > 0 {
			t.Healed = now.Sub(r.watcher.start)
		}
	})
	return errors.Join(faults...)
}

// settle waits until all is as before, or for as long as the scenario gives.
func (r *run) settle(ctx context.Context) {
	line, _, _ := r.watcher.snapshot()
	if line.Broken == 0 || r.facts.Aborted == "interrupted" {
		r.end()
		return
	}
	deadline := time.Now().Add(r.Scenario.Wait.At(r.Pace))
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	glance := time.NewTicker(glanceEvery)
	defer glance.Stop()
	var since time.Time
	for {
		if !r.watcher.restored() {
			since = time.Time{}
		} else if since.IsZero() {
			since = time.Now()
			r.say("all is as before")
		} else if time.Since(since) > settledFor {
			break
		}
		if time.Now().After(deadline) {
			r.say("not as before after %v", r.Scenario.Wait.At(r.Pace))
			break
		}
		select {
		case <-ticker.C:
		case <-glance.C:
			r.glance()
		case <-ctx.Done():
			r.facts.Aborted = "interrupted"
			r.end()
			return
		}
	}
	r.end()
}

func (r *run) end() {
	r.watcher.mark(func(t *Timeline) { t.End = time.Since(r.watcher.start) })
	if _, _, breach := r.watcher.snapshot(); breach != "" && r.facts.Aborted == "" {
		r.facts.Aborted = breach
	}
}

// report makes the report of what was measured.
func (r *run) report() *Report {
	line, told, _ := r.watcher.snapshot()
	r.facts.Targets, r.facts.Forced, r.facts.Operated = len(r.plan.Breaks), r.Force, r.operated
	report := &Report{
		Format: Format, Plan: *r.plan, What: r.Scenario.What, Expect: r.Scenario.Expect, Who: r.Who, Facts: r.facts,
		Metrics: Measure(&line, DefaultMix()), Orders: r.orders, Timeline: line, Told: told, Assumptions: assumptions(line),
	}
	if r.Force {
		report.Forced = r.Why
	}
	report.Checks = Judge(r.Scenario, r.Pace, report.Metrics, r.facts)
	if r.orders != nil {
		report.Checks = append(report.Checks, JudgeOrders(r.orders)...)
	}
	report.Outcome = Passed
	if slices.ContainsFunc(report.Checks, func(c Check) bool { return !c.Passed }) {
		report.Outcome = Failed
	}
	if r.facts.Aborted != "" {
		report.Outcome = Aborted
	}
	return report
}
