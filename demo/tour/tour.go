// Package tour plays the demo by itself: it shows who is answered what, breaks things, and measures with real DNS
// queries how long every node took. It passes only when every step was seen to happen and no query of the whole tour
// was left without an address.
package tour

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/meridian-gtm/meridian/control"
	"github.com/meridian-gtm/meridian/demo/lab"
	"github.com/meridian-gtm/meridian/demo/traveler"
	"github.com/meridian-gtm/meridian/demo/world"
	"github.com/meridian-gtm/meridian/health"
)

// Limits that the tour holds the nodes to.
const (
	settleWithin   = 20 * time.Second // all sites up and all nodes alike after the start or a heal
	takeoverWithin = time.Second      // a VIP moves to the other director
	excludeWithin  = 3 * time.Second  // a lost site is in no node's answers
	returnWithin   = 15 * time.Second // a healed site is answered again
	rampWithin     = 30 * time.Second // ... with its full weight
	cutFor         = 12 * time.Second // no gossip: longer than stale and minority hold of the demo together
	faultFor       = 2 * time.Minute  // a fault heals by itself should the tour die
)

// Report is what a tour saw.
type Report struct {
	Steps   []Step         `json:"steps"`
	Queries traveler.Count `json:"queries"`
	Passed  bool           `json:"passed"`
}

// Step is one thing that was made to happen.
type Step struct {
	Name    string        `json:"name"`
	Took    time.Duration `json:"took"`            // what was measured; 0 = nothing was
	Limit   time.Duration `json:"limit,omitempty"` // that it had to keep
	Finding string        `json:"finding"`
	Passed  bool          `json:"passed"`
}

// tour is one run.
type tour struct {
	lab    *lab.Lab
	watch  *watch
	out    io.Writer
	report Report
}

// errStep ends a tour whose step did not come true; the report says which.
var errStep = errors.New("a step of the tour did not come true")

// Run plays the tour on a lab that runs, telling out what happens. The error says why it did not pass.
func Run(ctx context.Context, l *lab.Lab, out io.Writer) (Report, error) {
	t := &tour{lab: l, watch: newWatch(l), out: out}
	watching, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		t.watch.run(watching)
	}()
	err := t.play(ctx)
	l.World.HealAll()
	stop()
	<-done
	t.report.Queries = l.Ledger.Count()
	if bad := t.report.Queries.Bad(); bad > 0 {
		err = errors.Join(err, fmt.Errorf("%d queries were left without an address: %s", bad, t.report.Queries))
	}
	t.report.Passed = err == nil
	t.say("\n%s\n", t.report.Queries)
	return t.report, err
}

func (t *tour) play(ctx context.Context) error {
	for _, step := range []func(context.Context) error{
		t.before, t.director, t.lose, t.order, t.heal, t.backbone,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// victim is the site that the tour loses: the home of the second city.
func (t *tour) victim() lab.Client { return t.lab.Clients[1] }

// before waits for the fleet to agree and shows who is answered what.
func (t *tour) before(ctx context.Context) error {
	start := time.Now()
	ok := t.watch.until(ctx, settleWithin, func() bool { return t.allHome() && t.alike(ctx) })
	return t.step(Step{
		Name: "every city is sent to its own datacenter, by every node", Took: time.Since(start), Limit: settleWithin,
		Finding: t.table(), Passed: ok,
	})
}

// director kills the director that holds a VIP: the other one takes over, and no site is pulled.
func (t *tour) director(ctx context.Context) error {
	c := t.victim()
	start := time.Now()
	fault, err := t.lab.World.Inject(world.Fault{Kind: world.KillDirector, Site: c.Home, For: faultFor})
	if err != nil {
		return err
	}
	var holder string
	ok := t.watch.until(ctx, takeoverWithin, func() bool {
		for _, s := range t.lab.World.Status() {
			if s.Site == c.Home && s.Reachable && s.Holder != fault.To {
				holder = s.Holder
			}
		}
		return holder != ""
	})
	took := time.Since(start)
	if ok {
		_, err := t.lab.Shopper(c.Home).Page(ctx)
		ok = err == nil
	}
	pulled := t.everAway(ctx, start)
	if err := t.lab.World.Heal(fault.ID); err != nil && !errors.Is(err, world.ErrNoFault) {
		return err
	}
	return t.step(Step{
		Name: fmt.Sprintf("director %s dies: the other one takes the VIP, and no site is pulled", fault.To),
		Took: took, Limit: takeoverWithin, Passed: ok && !pulled,
		Finding: fmt.Sprintf("%s holds the VIP of %s", holder, c.Home),
	})
}

// lose takes a whole site away and measures every node.
func (t *tour) lose(ctx context.Context) error {
	c := t.victim()
	start := time.Now()
	if _, err := t.lab.World.Inject(world.Fault{Kind: world.Lose, Site: c.Home, For: faultFor}); err != nil {
		return err
	}
	t.say("%s: the power is gone\n", c.Home)
	ok := t.watch.until(ctx, excludeWithin, func() bool { return t.gone(c, start) })
	var lines []string
	var worst time.Duration
	for _, m := range t.lab.Members {
		last := max(0, t.watch.lastSeen(m, c.Home).Sub(start))
		worst = max(worst, last)
		lines = append(lines, fmt.Sprintf("%s answered it for %s longer, now sends %s to %s",
			m.Name, seconds(last), c.City, t.watch.get(m, c).Site))
	}
	if why := t.explain(ctx, c); why != "" {
		lines = append(lines, why)
	}
	return t.step(Step{
		Name: fmt.Sprintf("%s is lost: no node answers it any more", c.Home), Took: worst, Limit: excludeWithin,
		Finding: strings.Join(lines, "\n"), Passed: ok,
	})
}

// order buys something where the lost site's clients are sent now.
func (t *tour) order(ctx context.Context) error {
	c := t.victim()
	site := t.watch.get(t.lab.Members[0], c).Site
	start := time.Now()
	receipt, err := t.lab.Shopper(site).Order(ctx, c.Home)
	if err != nil {
		return t.step(Step{Name: "an order in the meantime", Finding: err.Error()})
	}
	return t.step(Step{
		Name: fmt.Sprintf("%s shops on, at %s", c.City, site), Took: time.Since(start),
		Finding: receipt.String(), Passed: receipt.Replayed && receipt.TakenBy == site,
	})
}

// heal gives the site back and measures its return and its ramp.
func (t *tour) heal(ctx context.Context) error {
	c := t.victim()
	start := time.Now()
	t.lab.World.HealAll()
	t.say("%s: the power is back\n", c.Home)
	ok := t.watch.until(ctx, returnWithin, func() bool {
		for _, m := range t.lab.Members {
			if !t.watch.lastSeen(m, c.Home).After(start) && !t.weighed(ctx, m, c.Home) {
				return false
			}
		}
		return true
	})
	if err := t.step(Step{
		Name: fmt.Sprintf("%s is back in every node's pool", c.Home), Took: time.Since(start), Limit: returnWithin, Passed: ok,
		Finding: "it returns with a tenth of its clients and gets the rest step by step",
	}); err != nil {
		return err
	}
	ok = t.watch.until(ctx, rampWithin, func() bool { return t.allHome() && t.full(ctx) })
	return t.step(Step{
		Name: fmt.Sprintf("%s carries its full weight again", c.Home), Took: time.Since(start), Limit: rampWithin,
		Finding: t.table(), Passed: ok,
	})
}

// backbone cuts all gossip while every VIP stays up: nobody may be pulled.
func (t *tour) backbone(ctx context.Context) error {
	start := time.Now()
	fault, err := t.lab.World.Inject(world.Fault{Kind: world.CutGossip, For: faultFor})
	if err != nil {
		return err
	}
	t.say("backbone: no node hears another\n")
	pulled := t.watch.until(ctx, cutFor, func() bool { return !t.allHome() })
	modes := t.modes(ctx)
	if err := t.lab.World.Heal(fault.ID); err != nil && !errors.Is(err, world.ErrNoFault) {
		return err
	}
	if err := t.step(Step{
		Name: "no gossip between any two nodes: nothing is pulled", Took: time.Since(start), Passed: !pulled, Finding: modes,
	}); err != nil {
		return err
	}
	healed := time.Now()
	ok := t.watch.until(ctx, settleWithin, func() bool { return t.alike(ctx) })
	return t.step(Step{
		Name: "gossip is back: all nodes answer from the same plan", Took: time.Since(healed), Limit: settleWithin, Passed: ok,
		Finding: t.modes(ctx),
	})
}

// allHome says that every node sends every city to its own site.
func (t *tour) allHome() bool {
	for _, m := range t.lab.Members {
		for _, c := range t.lab.Clients {
			if t.watch.get(m, c).Site != c.Home {
				return false
			}
		}
	}
	return true
}

// gone says that every node has answered c with another site than c's own, since start.
func (t *tour) gone(c lab.Client, start time.Time) bool {
	for _, m := range t.lab.Members {
		a := t.watch.get(m, c)
		if !a.At.After(start) || a.Site == c.Home || t.watch.lastSeen(m, c.Home).After(a.At) {
			return false
		}
	}
	return true
}

// everAway says that a node held a site for anything but up since start.
func (t *tour) everAway(ctx context.Context, start time.Time) bool {
	for _, s := range t.statuses(ctx) {
		for _, site := range s.Sites {
			if site.Level != health.Up {
				return true
			}
		}
		for _, m := range t.lab.Members {
			for _, c := range t.lab.Clients {
				if a := t.watch.get(m, c); a.At.After(start) && a.Site != c.Home {
					return true
				}
			}
		}
	}
	return false
}

// alike says that all nodes hear each other, hold all sites up and answer from the same plan.
func (t *tour) alike(ctx context.Context) bool {
	all := t.statuses(ctx)
	for _, s := range all {
		if s.Epoch != all[0].Epoch || s.Mode != string(health.ModeNormal) {
			return false
		}
		for _, site := range s.Sites {
			if site.Level != health.Up {
				return false
			}
		}
	}
	return len(all) == len(t.lab.Members)
}

// weighed says that m has a site in its pool with any weight.
func (t *tour) weighed(ctx context.Context, m lab.Member, name string) bool {
	s, err := m.API.Status(ctx)
	if err != nil {
		return false
	}
	for _, site := range s.Sites {
		if site.Site == name {
			return site.Level == health.Up && site.Weight > 0
		}
	}
	return false
}

// full says that every node gives every site its full weight.
func (t *tour) full(ctx context.Context) bool {
	all := t.statuses(ctx)
	for _, s := range all {
		for _, site := range s.Sites {
			if site.Weight != health.FullWeight {
				return false
			}
		}
	}
	return len(all) == len(t.lab.Members)
}

func (t *tour) statuses(ctx context.Context) (all []*control.Status) {
	for _, m := range t.lab.Members {
		if s, err := m.API.Status(ctx); err == nil {
			all = append(all, s)
		}
	}
	return all
}

func (t *tour) modes(ctx context.Context) string {
	var modes []string
	for _, s := range t.statuses(ctx) {
		modes = append(modes, s.Node+" "+s.Mode)
	}
	return strings.Join(modes, ", ")
}

// explain tells in the node's own words why c's own site is not answered.
func (t *tour) explain(ctx context.Context, c lab.Client) string {
	e, err := t.lab.Members[0].API.Explain(ctx, control.ExplainQuery{Name: lab.Host, Type: "A", Client: c.Prefix})
	if err != nil || e.Trace == nil {
		return ""
	}
	for _, cand := range e.Trace.Candidates {
		if cand.Site == c.Home {
			return fmt.Sprintf("explain: %s: %s", cand.Site, cand.Why)
		}
	}
	return ""
}

// table shows what every node answers every city.
func (t *tour) table() string {
	var lines []string
	for _, c := range t.lab.Clients {
		line := fmt.Sprintf("%-9s", c.City)
		for _, m := range t.lab.Members {
			a := t.watch.get(m, c)
			line += fmt.Sprintf("  %s: %s %s %d s", m.Name, a.Site, a.Addr, a.TTL)
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

// step enters and tells a step; one that did not come true ends the tour.
func (t *tour) step(s Step) error {
	t.report.Steps = append(t.report.Steps, s)
	mark := "ok  "
	if !s.Passed {
		mark = "FAIL"
	}
	t.say("%s  %6s  %s\n", mark, seconds(s.Took), s.Name)
	for line := range strings.Lines(s.Finding) {
		t.say("              %s\n", strings.TrimRight(line, "\n"))
	}
	if !s.Passed {
		return fmt.Errorf("%w: %s", errStep, s.Name)
	}
	return nil
}

func (t *tour) say(format string, args ...any) { fmt.Fprintf(t.out, format, args...) }

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }
