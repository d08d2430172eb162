package world

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// ErrNoFault means that there is no fault with the ID that was to be healed.
var ErrNoFault = errors.New("no such fault")

// Inject breaks something until it is healed or its time is over, and returns the fault as it is in the table. Its
// effects follow within moments.
func (w *World) Inject(f Fault) (Fault, error) {
	if err := w.complete(&f); err != nil {
		return Fault{}, fmt.Errorf("fault: %w", err)
	}
	w.network.change(func(t *Faults) { f = t.Set(f, time.Now()) })
	w.event(f.Site, "fault %d, for %v: %s", f.ID, f.For, f.what())
	return f, nil
}

// Heal ends one fault, or returns ErrNoFault.
func (w *World) Heal(id int) error {
	var f Fault
	var found bool
	w.network.change(func(t *Faults) { f, found = t.Clear(id) })
	if !found {
		return fmt.Errorf("fault %d: %w", id, ErrNoFault)
	}
	w.event(f.Site, "healed: %s", f.what())
	return nil
}

// HealAll ends every fault and returns how many there were.
func (w *World) HealAll() int {
	var all []Fault
	w.network.change(func(t *Faults) {
		all = t.List()
		for _, f := range all {
			t.Clear(f.ID)
		}
	})
	for _, f := range all {
		w.event(f.Site, "healed: %s", f.what())
	}
	return len(all)
}

// Faults returns what is broken, oldest first.
func (w *World) Faults() (all []Fault) {
	w.network.look(func(t *Faults) { all = t.List() })
	return all
}

func (w *World) expire(now time.Time) {
	var over []Fault
	w.network.mu.Lock()
	over = w.network.faults.Expire(now)
	w.network.mu.Unlock()
	for _, f := range over {
		w.event(f.Site, "healed by itself: %s", f.what())
	}
}

// complete checks a fault as somebody asked for it and fills in what was left open.
func (w *World) complete(f *Fault) error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if !slices.Contains(Kinds(), f.Kind) {
		fault("kind %q: want one of %s", f.Kind, kindNames())
	}
	s := w.site(f.Site)
	if s == nil && (f.Kind != CutGossip || f.Site != "") {
		fault("site %q: want one of %s", f.Site, w.siteNames())
	}
	if f.Kind.ofNode() && !slices.Contains(w.opt.NodeFaults, f.Kind) {
		fault("kind %q: nobody here can do that to a node", f.Kind)
	}
	if f.For == 0 {
		f.For = DefaultFor
	}
	if f.For < time.Millisecond || f.For > MaxFor {
		fault("for %v: want 1ms..%v", f.For, MaxFor)
	}
	if f.Kind == Slow && f.Delay == 0 {
		f.Delay = DefaultDelay
	}
	if f.Kind == Lossy && f.Percent == 0 {
		f.Percent = DefaultPercent
	}
	if f.Kind == Slow && (f.Delay < time.Millisecond || f.Delay > MaxDelay) {
		fault("delay %v: want 1ms..%v", f.Delay, MaxDelay)
	}
	if f.Kind == Lossy && (f.Percent < 1 || f.Percent > 95) {
		fault("percent %d: want 1..95", f.Percent)
	}
	// What a kind has no use for would be silently without effect.
	if f.Kind != Lose && f.Refuse {
		fault("refuse: only for %q", Lose)
	}
	if f.Kind != Slow && f.Delay != 0 {
		fault("delay: only for %q", Slow)
	}
	if f.Kind != Lossy && f.Percent != 0 {
		fault("percent: only for %q", Lossy)
	}
	if len(faults) > 0 {
		return errors.Join(faults...)
	}

	switch f.Kind {
	case Lose, Slow, Lossy, Errors, KillNode, SwapKey, BadConfig, FillDisk:
		if f.To != "" {
			return fmt.Errorf("to %q: %q has no use for it", f.To, f.Kind)
		}
	case CutPath:
		if w.site(f.To) == nil {
			return fmt.Errorf("to %q: want one of %s", f.To, w.siteNames())
		}
	case CutGossip:
		if f.To != "" && (f.Site == "" || f.To == f.Site || w.site(f.To) == nil) {
			return fmt.Errorf("to %q: want another site than %q, of %s", f.To, f.Site, w.siteNames())
		}
		if f.To != "" && f.To < f.Site {
			f.Site, f.To = f.To, f.Site // both ways: one spelling
		}
	case KillDirector, KillReplica:
		return w.victim(s, f)
	}
	return nil
}

// victim finds who is to die: the member that To names, in full or by its last part, or the one that matters.
func (w *World) victim(s *site, f *Fault) error {
	members := s.units[:len(s.directors)]
	if f.Kind == KillReplica {
		members = s.units[len(s.directors):]
	}
	var names, living []string
	w.network.look(func(t *Faults) {
		for _, u := range members {
			names = append(names, u.name)
			if !t.has(f.Kind, s.Name, u.name) {
				living = append(living, u.name)
			}
		}
	})
	holder := s.vip.held()
	switch {
	case f.To != "" && slices.Contains(names, f.To):
	case f.To != "" && slices.Contains(names, s.Name+"-"+f.To):
		f.To = s.Name + "-" + f.To
	case f.To != "":
		return fmt.Errorf("to %q: want one of %s", f.To, strings.Join(names, ", "))
	case len(living) == 0:
		return fmt.Errorf("%s: %s are dead already", s.Name, strings.Join(names, ", "))
	case f.Kind == KillDirector && slices.Contains(living, holder):
		f.To = holder
	default:
		f.To = living[0]
	}
	return nil
}

func kindNames() string {
	var names []string
	for _, k := range Kinds() {
		names = append(names, string(k))
	}
	return strings.Join(names, ", ")
}
