package drill

import (
	"math"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/meridian-gtm/meridian/health"
)

// told is a timeline of two nodes and two clients: one is near a, which is broken from 10 s to 20 s, the other near
// b. Times are in seconds.
func told(change func(*Timeline)) *Timeline {
	t := &Timeline{
		Broken: 10 * sec, Healed: 20 * sec, End: 40 * sec, Target: []string{"a"},
		Sites: []Site{{"a", 100}, {"b", 100}},
		Clients: []Client{
			{Prefix: netip.MustParsePrefix("192.0.2.0/24"), Weight: 1},
			{Prefix: netip.MustParsePrefix("198.51.100.0/24"), Weight: 3},
		},
		Faults: []FaultSpan{{Fault: Fault{Kind: Lose, Site: "a", For: time.Minute}, From: 10 * sec, To: 20 * sec}},
	}
	for _, n := range []struct {
		name           string
		seen, decided  time.Duration
		back, restored time.Duration
	}{{"n1", 11 * sec, 12 * sec, 23 * sec, 25 * sec}, {"n2", 10500 * ms, 13 * sec, 24 * sec, 26 * sec}} {
		t.Nodes = append(t.Nodes, NodeLine{
			Name: n.name,
			Levels: []LevelChange{
				{0, "a", health.Up, 1000}, {0, "b", health.Up, 1000}, {n.decided, "a", health.Down, 0},
				{n.back, "a", health.Up, 100}, {n.restored, "a", health.Up, 1000},
			},
			Plans: []PlanChange{{0, "p1", "normal"}, {n.decided, "p2", "normal"}, {n.back, "p3", "normal"}, {n.restored, "p1", "normal"}},
			Seen:  []Sighting{{n.seen, "a"}},
		})
		t.Series = append(t.Series,
			Series{Node: n.name, Client: 0, Spells: []Spell{
				{From: 0, To: n.decided, Sites: []string{"a"}, TTL: 2, Count: 200},
				{From: n.decided, To: n.restored, Sites: []string{"b"}, TTL: 2, Count: 300},
				{From: n.restored, To: 40 * sec, Sites: []string{"a"}, TTL: 2, Count: 300},
			}},
			Series{Node: n.name, Client: 1, Spells: []Spell{{From: 0, To: 40 * sec, Sites: []string{"b"}, TTL: 2, Count: 800}}},
		)
	}
	if change != nil {
		change(t)
	}
	return t
}

func TestMeasureABlackout(t *testing.T) {
	m := Measure(told(nil), DefaultMix())
	for name, c := range map[string]struct{ got, want time.Duration }{
		"detect":   {m.Detect, 500 * ms},
		"decide":   {m.Decide, 3 * sec},
		"p50":      {m.DecideP50, 2 * sec},
		"spread":   {m.Spread, 1 * sec},
		"last old": {m.LastOld, 3 * sec},
		"return":   {m.Return, 6 * sec},
		"restore":  {m.Restore, 6 * sec},
		"ramp":     {m.Ramp, 6 * sec},
		"converge": {m.Converge, 6 * sec},
	} {
		if c.got != c.want {
			t.Errorf("%s: %v: want %v", name, c.got, c.want)
		}
	}
	// A quarter of the clients by weight, for 2 s at one node and 3 s at the other.
	if want := 0.25 * 2.5; math.Abs(m.WrongSeconds-want) > 1e-9 {
		t.Errorf("wrong seconds %v: want %v", m.WrongSeconds, want)
	}
	if len(m.FalsePulls) != 0 || m.Transitions != 2 || m.Herd != 0.5 {
		t.Errorf("false pulls %v, transitions %d, herd %v: want none, 2, 0.5", m.FalsePulls, m.Transitions, m.Herd)
	}
	if m.Count.Asked != 3200 || m.Count.Bad() != 0 || m.Rate != 20 {
		t.Errorf("count %v, rate %v: want 3200 asked, 20 a second", m.Count, m.Rate)
	}
}

func TestMeasureWhatDoesNotComeTrue(t *testing.T) {
	tests := map[string]struct {
		change func(*Timeline)
		ok     func(Metrics) bool
	}{
		"one node never decides": {
			func(l *Timeline) { l.Nodes[1].Levels = l.Nodes[1].Levels[:2] },
			func(m Metrics) bool { return m.Decide == Never && m.Spread == Never && len(m.Decided) == 1 },
		},
		"a node without an API decides by its answers": {
			func(l *Timeline) { l.Nodes[1].Levels, l.Nodes[1].Plans, l.Nodes[1].Seen = nil, nil, nil },
			func(m Metrics) bool { return m.Decide == 3*sec && m.Detect == sec && m.Spread == sec },
		},
		"a node without an API never decides": {
			func(l *Timeline) {
				l.Nodes[1].Levels = nil
				l.Series[2].Spells = []Spell{{From: 0, To: l.End, Sites: []string{"a"}, Count: 1}}
			},
			func(m Metrics) bool { return m.Decide == Never && len(m.Decided) == 1 },
		},
		"a node without an API that never answered the site": {
			func(l *Timeline) {
				l.Nodes[1].Levels = nil
				l.Series[2].Spells = []Spell{{From: 0, To: l.End, Sites: []string{"b"}, Count: 1}}
			},
			func(m Metrics) bool { return m.Decide == 2*sec && m.Spread == 0 },
		},
		"nobody saw it": {
			func(l *Timeline) { l.Nodes[0].Seen, l.Nodes[1].Seen = nil, nil },
			func(m Metrics) bool { return m.Detect == Never },
		},
		"an opinion from before does not count as seen late": {
			func(l *Timeline) { l.Nodes[0].Seen = []Sighting{{30 * sec, "a"}}; l.Nodes[1].Seen = nil },
			func(m Metrics) bool { return m.Detect == Never },
		},
		"a client is never sent back": {
			func(l *Timeline) { l.Series[0].Spells = l.Series[0].Spells[:2]; l.Series[0].Spells[1].To = l.End },
			func(m Metrics) bool { return m.Restore == Never },
		},
		"a site never gets its weight": {
			func(l *Timeline) { l.Nodes[0].Levels = l.Nodes[0].Levels[:4] },
			func(m Metrics) bool { return m.Ramp == Never },
		},
		"plans stay different": {
			func(l *Timeline) { l.Nodes[0].Plans[3].Epoch = "p9" },
			func(m Metrics) bool { return m.Converge == Never },
		},
		"a node stays alone": {
			func(l *Timeline) { l.Nodes[1].Plans[3].Mode = "minority-hold" },
			func(m Metrics) bool { return m.Converge == Never },
		},
		"another site is held down": {
			func(l *Timeline) {
				l.Nodes[0].Levels = append(l.Nodes[0].Levels, LevelChange{30 * sec, "b", health.Down, 0})
			},
			func(m Metrics) bool {
				return len(m.FalsePulls) == 1 && strings.HasPrefix(m.FalsePulls[0], "n1 held b down after 20.00 s")
			},
		},
		"what was down before is no pull of ours": {
			func(l *Timeline) { l.Nodes[0].Levels[1].Level = health.Down },
			func(m Metrics) bool { return len(m.FalsePulls) == 0 },
		},
		"a flapping site": {
			func(l *Timeline) {
				l.Nodes[1].Levels = append(l.Nodes[1].Levels, LevelChange{30 * sec, "a", health.Down, 0}, LevelChange{31 * sec, "a", health.Partial, 500})
			},
			func(m Metrics) bool { return m.Transitions == 4 },
		},
		"an empty answer": {
			func(l *Timeline) {
				l.Series[1].Spells = append(l.Series[1].Spells, Spell{From: 40 * sec, To: 40 * sec, Fault: Empty, Count: 2})
			},
			func(m Metrics) bool { return m.Count.Empty == 2 && m.Count.Bad() == 2 && m.Restore == 6*sec },
		},
		"silence of a node that was killed": {
			func(l *Timeline) {
				l.Nodes[0].Dead = true
				l.Series[1].Spells = append(l.Series[1].Spells, Spell{From: 40 * sec, To: 40 * sec, Fault: Unanswered, Count: 5})
			},
			func(m Metrics) bool { return m.Count.Dead == 5 && m.Count.Bad() == 0 },
		},
		"silence of a node that was not": {
			func(l *Timeline) {
				l.Series[1].Spells = append(l.Series[1].Spells, Spell{From: 40 * sec, To: 40 * sec, Fault: Unanswered, Count: 5})
			},
			func(m Metrics) bool { return m.Count.Unanswered == 5 && m.Count.Bad() == 5 },
		},
		"no client is moved by a fault that nobody notices": {
			func(l *Timeline) {
				l.Faults[0].Fault.Kind = CutPath
				for i := range l.Series {
					l.Series[i].Spells = []Spell{{From: 0, To: l.End, Sites: []string{"b"}, TTL: 2, Count: 1}}
				}
			},
			func(m Metrics) bool { return len(m.Moved) == 0 && m.LastOld == Never && m.WrongSeconds == 0 },
		},
		"a client that is moved is named": {
			nil,
			func(m Metrics) bool { return len(m.Moved) == 2 && m.Moved[0] == "n1 192.0.2.0/24: b, was a" },
		},
		"nothing was broken": {
			func(l *Timeline) { *l = Timeline{End: sec} },
			func(m Metrics) bool { return m.Detect == Never && m.Restore == Never && m.Count.Asked == 0 },
		},
	}
	for name, tt := range tests {
		if m := Measure(told(tt.change), DefaultMix()); !tt.ok(m) {
			t.Errorf("%s: %+v", name, m)
		}
	}
}

func TestConvergedIsTheLastDifference(t *testing.T) {
	line := &Timeline{Broken: sec, Healed: 10 * sec, End: 30 * sec, Nodes: []NodeLine{
		{Name: "n1", Plans: []PlanChange{{0, "p1", "normal"}, {12 * sec, "p2", "normal"}}},
		{Name: "n2", Plans: []PlanChange{{0, "p1", "normal"}, {15 * sec, "p2", "normal"}}},
	}}
	if got := line.converged(); got != 5*sec {
		t.Errorf("plans that differ until 15 s: %v after the heal: want 5s", got)
	}
	line.Nodes[1].Plans = []PlanChange{{0, "p1", "minority-blind"}, {13 * sec, "p2", "normal"}}
	if got := line.converged(); got != 3*sec {
		t.Errorf("alone until 13 s: %v after the heal: want 3s", got)
	}
	line.Nodes[0].Plans, line.Nodes[1].Plans = line.Nodes[0].Plans[:1], []PlanChange{{0, "p1", "normal"}}
	if got := line.converged(); got != 0 {
		t.Errorf("never different: %v: want 0", got)
	}
}

func TestSeriesAddsLikeToLike(t *testing.T) {
	var s Series
	a, b := Answer{Sites: []string{"a"}, TTL: 5}, Answer{Sites: []string{"a"}, TTL: 1}
	s.add(1*sec, a)
	s.add(2*sec, a)
	s.add(3*sec, b)
	s.add(4*sec, Answer{Fault: Empty})
	s.add(5*sec, b)
	if len(s.Spells) != 4 || s.Spells[0].To != 2*sec || s.Spells[0].Count != 2 {
		t.Errorf("spells %+v: want 4, the first of 2 answers", s.Spells)
	}
	for at, want := range map[time.Duration]string{0: "a", 2500 * ms: "a", 4500 * ms: "a", time.Minute: "a"} {
		if got, ok := s.at(at); !ok || got.String() != want || got.Fault != Good {
			t.Errorf("at %v: %v, %v: want a good %s", at, got, ok, want)
		}
	}
	if _, ok := (&Series{Spells: []Spell{{Fault: Unanswered}}}).at(0); ok {
		t.Error("a series without a good answer has one")
	}
}
