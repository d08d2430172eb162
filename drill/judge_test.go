package drill

import (
	"testing"
	"time"
)

func failed(checks []Check) (names []string) {
	for _, c := range checks {
		if !c.Passed {
			names = append(names, c.Name)
		}
	}
	return names
}

func TestJudge(t *testing.T) {
	blackout, _ := Find("site-blackout")
	path, _ := Find("path-fault")
	herd, _ := Find("failback-herd")
	poison, _ := Find("config-poison")
	race, _ := Find("operator-race")
	good := Metrics{
		Detect: 500 * ms, Decide: sec, LastOld: sec, Spread: 100 * ms, Return: 2 * sec, Restore: 9 * sec, Converge: sec, Transitions: 2,
		Count: Count{Asked: 100}, Rate: 20, Herd: 0.3,
	}
	quiet := Metrics{
		Detect: Never, Decide: Never, LastOld: Never, Spread: Never, Return: Never, Restore: 0, Converge: sec, Count: Count{Asked: 100}, Rate: 20,
	}
	with := func(m Metrics, change func(*Metrics)) Metrics { change(&m); return m }
	tests := []struct {
		name  string
		s     Scenario
		m     Metrics
		f     Facts
		fails int
	}{
		{"a good blackout", blackout, good, Facts{}, 0},
		{"decided late", blackout, with(good, func(m *Metrics) { m.Decide = time.Minute }), Facts{}, 1},
		{"never decided", blackout, with(good, func(m *Metrics) { m.Decide = Never; m.Spread = Never }), Facts{}, 2},
		{"an old answer after all", blackout, with(good, func(m *Metrics) { m.LastOld = time.Minute }), Facts{}, 1},
		{"never restored", blackout, with(good, func(m *Metrics) { m.Restore = Never }), Facts{}, 1},
		{"pulled and taken back again and again", blackout, with(good, func(m *Metrics) { m.Transitions = 6 }), Facts{}, 1},
		{"another site pulled", blackout, with(good, func(m *Metrics) { m.FalsePulls = []string{"n1 held b down"} }), Facts{}, 1},
		{"a query left empty", blackout, with(good, func(m *Metrics) { m.Count.Empty = 1 }), Facts{}, 1},
		{"nothing asked", blackout, with(good, func(m *Metrics) { m.Count.Asked, m.Rate = 0, 0 }), Facts{}, 2},
		{"survivors overloaded", blackout, with(good, overload), Facts{}, 1},
		{"survivors overloaded on purpose", blackout, with(good, overload), Facts{Forced: true}, 0},
		{"aborted", blackout, good, Facts{Aborted: "a guard"}, 1},
		{"a path fault that nobody notices", path, quiet, Facts{}, 0},
		{"a path fault that moves clients", path, with(quiet, func(m *Metrics) { m.Moved = []string{"x"} }), Facts{}, 1},
		{"a path fault that pulls", path, with(quiet, func(m *Metrics) { m.Transitions = 1 }), Facts{}, 1},
		{"a node that stays alone", path, with(quiet, func(m *Metrics) { m.Converge = Never }), Facts{}, 1},
		{"a herd", herd, with(good, func(m *Metrics) { m.Herd = 0.9 }), Facts{}, 1},
		{"a wrong configuration refused", poison, quiet, Facts{Refused: true}, 0},
		{"a wrong configuration taken", poison, quiet, Facts{}, 1},
		{"operators heard alike", race, quiet, Facts{Operated: true, Agreed: true}, 0},
		{"operators heard differently", race, quiet, Facts{Operated: true}, 1},
	}
	for _, tt := range tests {
		if got := failed(Judge(tt.s, Fast, tt.m, tt.f)); len(got) != tt.fails {
			t.Errorf("%s: fails %q: want %d", tt.name, got, tt.fails)
		}
	}
	if got := failed(Judge(blackout, Default, with(good, func(m *Metrics) { m.Decide, m.Spread = 7*sec, 1500*ms }), Facts{})); len(got) != 0 {
		t.Errorf("7 s in a fleet of default pace: fails %q", got)
	}
}

func overload(m *Metrics) { m.Impact.Loads = []SiteLoad{{Site: "b", Load: 1.2, Survivor: true}} }

func TestCompare(t *testing.T) {
	report := func(decide time.Duration) *Report {
		return &Report{Plan: Plan{Drill: "site-blackout", Target: "a", World: "demo", Pace: Fast}, Metrics: Metrics{
			Detect: sec, Decide: decide, Spread: Never, LastOld: sec, Return: sec, Restore: sec, Converge: sec,
		}}
	}
	for _, tt := range []struct {
		before, now time.Duration
		worse       bool
	}{
		{2 * sec, 2 * sec, false}, {2 * sec, 2900 * ms, false}, {2 * sec, 3100 * ms, true}, {2 * sec, 500 * ms, false},
		{100 * ms, 300 * ms, false}, // three times, but less than what measuring it allows for
		{2 * sec, Never, true}, {Never, 2 * sec, false}, {Never, Never, false},
	} {
		c := Compare(report(tt.before), report(tt.now), DefaultTolerance)
		if c.Worse() != tt.worse {
			t.Errorf("%v -> %v: worse %v: want %v: %+v", tt.before, tt.now, c.Worse(), tt.worse, c.Ratios[1])
		}
	}
	other := report(sec)
	other.Plan.Target = "b"
	if c := Compare(report(sec), other, DefaultTolerance); c.Same || !c.Worse() {
		t.Error("drills at two sites are compared")
	}
	if r := Compare(report(2*sec), report(3*sec), 50).Ratios[1]; r.Ratio != 1.5 {
		t.Errorf("ratio %v: want 1.5", r.Ratio)
	}
}
