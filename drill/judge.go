package drill

import (
	"fmt"
	"strings"
	"time"
)

// Check is one limit and how it was kept.
type Check struct {
	Name   string `json:"name"`
	Want   string `json:"want"`
	Got    string `json:"got"`
	Passed bool   `json:"passed"`
}

// Facts are what a judgement needs beside the metrics.
type Facts struct {
	Refused  bool   // the target's nodes refused what they had to
	Targets  int    // sites that the drill breaks
	Agreed   bool   // all nodes held the same overrides after the last operation
	Operated bool   // there was one
	Aborted  string // why the drill was stopped; "" = it was not
	Forced   bool   // limits of load were waived by somebody who gave a reason
}

// fewestRounds is how often each node has to be asked a second for the figures to mean something.
const fewestRounds = 10

// Judge holds what was measured against the limits of a scenario.
func Judge(s Scenario, p Pace, m Metrics, f Facts) []Check {
	j := judge{}
	if f.Aborted != "" {
		j.add("played to its end", "no guard breached", f.Aborted, false)
	}
	j.add("every query to a living node is answered with an address", "0 without", fmt.Sprintf("%d of %d without", m.Count.Bad(), m.Count.Asked),
		m.Count.Bad() == 0 && m.Count.Asked > 0)
	j.add("nodes were asked often enough to know", fmt.Sprintf("at least %d rounds a second", fewestRounds), fmt.Sprintf("%.1f", m.Rate), m.Rate >= fewestRounds)
	j.add("no site is held down that was not broken", "none", orNone(m.FalsePulls), len(m.FalsePulls) == 0)
	switch s.Expect {
	case Pulled:
		j.within("decided by every node", s.Limits.Decide.At(p), m.Decide)
		j.within("last answer that named a broken site", s.Limits.LastOld.At(p), m.LastOld)
	case Kept:
		j.add("no client is moved", "none", orNone(m.Moved), len(m.Moved) == 0)
		j.add("no site is pulled", "0 times", fmt.Sprintf("%d times", m.Transitions), m.Transitions == 0)
	case Endured:
		j.within("decided by every node", s.Limits.Decide.At(p), m.Decide)
	}
	j.within("spread between the nodes' decisions", s.Limits.Spread.At(p), m.Spread)
	if n := s.Limits.Transitions; n > 0 && s.Expect != Kept {
		j.add("a broken site does not go to and fro", fmt.Sprintf("pulled or taken back at most %d times", n), fmt.Sprintf("%d times", m.Transitions), m.Transitions <= n)
	}
	if m.Decide != Never {
		j.within("answered again after the heal", s.Limits.Return.At(p), m.Return)
	}
	j.within("every answer as before after the heal", s.Limits.Restore.At(p), m.Restore)
	j.within("all nodes on one plan after the heal", s.Limits.Converge.At(p), m.Converge)
	if n := s.Limits.Herd; n > 0 {
		j.add("clients return by and by", fmt.Sprintf("at most %d %% within a second", n), fmt.Sprintf("%.0f %%", m.Herd*100), m.Herd*100 <= float64(n))
	}
	if n := s.Limits.Load; n > 0 && !f.Forced {
		j.add("sites that are not broken carry their load", fmt.Sprintf("at most %d %% of capacity", n), fmt.Sprintf("%.0f %%", m.Impact.PeakLoad()*100),
			m.Impact.PeakLoad()*100 <= float64(n)+0.5)
	}
	if s.Refuses != Nothing {
		j.add(map[Refusal]string{
			Reload: "the wrong configuration is refused", Change: "a change that cannot be kept is refused",
		}[s.Refuses], "refused", yes(f.Refused, "refused", "not refused"), f.Refused)
	}
	if f.Operated {
		j.add("all nodes hold the same overrides", "the same", yes(f.Agreed, "the same", "different"), f.Agreed)
	}
	return j.checks
}

type judge struct{ checks []Check }

func (j *judge) add(name, want, got string, passed bool) {
	j.checks = append(j.checks, Check{name, want, got, passed})
}

// within adds a check if there is a limit.
func (j *judge) within(name string, limit, took time.Duration) {
	if limit > 0 {
		j.add(name, "within "+seconds(limit), seconds(took), took != Never && took <= limit)
	}
}

func orNone(list []string) string {
	if len(list) == 0 {
		return "none"
	}
	if len(list) > 3 {
		return fmt.Sprintf("%s and %d more", strings.Join(list[:3], "; "), len(list)-3)
	}
	return strings.Join(list, "; ")
}

func yes(ok bool, good, bad string) string {
	if ok {
		return good
	}
	return bad
}
