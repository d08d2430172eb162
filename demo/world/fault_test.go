package world

import (
	"slices"
	"testing"
	"time"
)

var t0 = time.Date(2031, 5, 4, 3, 2, 1, 0, time.UTC)

func TestFaultsExpire(t *testing.T) {
	var f Faults
	if _, any := f.Next(); any {
		t.Error("an empty table expects an end")
	}
	long := f.Set(Fault{Kind: Lose, Site: "a", For: time.Minute}, t0)
	short := f.Set(Fault{Kind: Slow, Site: "a", For: time.Second}, t0)
	if at, any := f.Next(); !any || !at.Equal(t0.Add(time.Second)) {
		t.Errorf("next end %v, %v: want that of the shorter", at, any)
	}
	if over := f.Expire(t0.Add(time.Second - 1)); over != nil {
		t.Errorf("ended early: %v", over)
	}
	if over := f.Expire(t0.Add(time.Second)); len(over) != 1 || over[0].ID != short.ID {
		t.Errorf("ended: %v: want %v", over, short)
	}
	// Again, later: it lasts longer, it is not twice.
	again := f.Set(Fault{Kind: Lose, Site: "a", Refuse: true, For: time.Minute}, t0.Add(30*time.Second))
	if again.ID != long.ID || len(f.List()) != 1 || !again.Until.Equal(t0.Add(90*time.Second)) {
		t.Errorf("again: %+v of %v", again, f.List())
	}
	if over := f.Expire(t0.Add(time.Minute)); over != nil {
		t.Errorf("the first time limit still counts: %v", over)
	}
	if _, found := f.Clear(short.ID); found {
		t.Error("cleared what had ended")
	}
	if healed, found := f.Clear(long.ID); !found || healed.Site != "a" || len(f.List()) != 0 {
		t.Errorf("cleared %v, %v: left %v", healed, found, f.List())
	}
	if next := f.Set(Fault{Kind: Lose, Site: "b"}, t0); next.ID <= long.ID {
		t.Errorf("ID %d was given before", next.ID)
	}
}

func TestFaultsMeaning(t *testing.T) {
	var f Faults
	for _, x := range []Fault{
		{Kind: Lose, Site: "a"},
		{Kind: Lose, Site: "b", Refuse: true},
		{Kind: KillDirector, Site: "c", To: "c-a"},
		{Kind: KillReplica, Site: "c", To: "c-1"},
		{Kind: Errors, Site: "d"},
		{Kind: CutPath, Site: "a", To: "b"},
		{Kind: CutGossip, Site: "a", To: "b"},
		{Kind: CutGossip, Site: "d"},
	} {
		f.Set(x, t0)
	}
	type lost struct{ lost, refuse bool }
	for site, want := range map[string]lost{"a": {true, false}, "b": {true, true}, "c": {}} {
		if l, r := f.Lost(site); (lost{l, r}) != want {
			t.Errorf("%s lost: %v, %v: want %v", site, l, r, want)
		}
	}
	for what, got := range map[string]bool{
		"director c-a dead":            f.DirectorDead("c", "c-a"),
		"replica c-1 dead":             f.ReplicaDead("c", "c-1"),
		"d fails":                      f.Failing("d"),
		"path a to b":                  f.PathCut("a", "b"),
		"gossip a to b":                f.GossipCut("a", "b"),
		"gossip b to a":                f.GossipCut("b", "a"),
		"gossip d to anybody":          f.GossipCut("d", "c"),
		"gossip of anybody to d":       f.GossipCut("c", "d"),
		"not: director c-b":            !f.DirectorDead("c", "c-b"),
		"not: a director named as c-1": !f.DirectorDead("c", "c-1"),
		"not: replica c-a":             !f.ReplicaDead("c", "c-a"),
		"not: c fails":                 !f.Failing("c"),
		"not: path b to a":             !f.PathCut("b", "a"),
		"not: gossip a to c":           !f.GossipCut("a", "c"),
		"not: gossip within d":         !f.GossipCut("d", "d"),
	} {
		if !got {
			t.Errorf("does not hold: %s", what)
		}
	}
	f.Set(Fault{Kind: CutGossip}, t0)
	if !f.GossipCut("a", "c") || !f.GossipCut("e", "f") || f.GossipCut("a", "a") {
		t.Error("no gossip between any two sites: some passes, or none within a site")
	}
}

func TestHold(t *testing.T) {
	var f Faults
	f.Set(Fault{Kind: Slow, Site: "a", Delay: 400 * time.Millisecond}, t0)
	f.Set(Fault{Kind: Lossy, Site: "a", Percent: 50}, t0)
	for name, c := range map[string]struct {
		site  string
		draws []float64
		want  time.Duration
	}{
		"nothing lost":    {"a", []float64{0.5}, 400 * time.Millisecond},
		"lost twice":      {"a", []float64{0.49, 0, 0.9}, 3400 * time.Millisecond},
		"lost every time": {"a", []float64{0, 0, 0, 0}, 15400 * time.Millisecond},
		"another site":    {"b", nil, 0},
	} {
		next := 0
		got := f.Hold(c.site, func() float64 { next++; return c.draws[next-1] })
		if got != c.want || next != len(c.draws) {
			t.Errorf("%s: %v after %d draws: want %v after %d", name, got, next, c.want, len(c.draws))
		}
	}
}

func TestFaultTexts(t *testing.T) {
	var texts []string
	for _, f := range []Fault{
		{Kind: Lose, Site: "a"}, {Kind: Lose, Site: "a", Refuse: true}, {Kind: KillDirector, Site: "a", To: "a-b"},
		{Kind: KillReplica, Site: "a", To: "a-1"}, {Kind: Slow, Site: "a", Delay: time.Second}, {Kind: Lossy, Site: "a", Percent: 5},
		{Kind: Errors, Site: "a"}, {Kind: CutPath, Site: "a", To: "b"}, {Kind: CutGossip}, {Kind: CutGossip, Site: "a"},
		{Kind: CutGossip, Site: "a", To: "b"},
	} {
		texts = append(texts, f.String())
	}
	slices.Sort(texts)
	if n := len(slices.Compact(slices.Clone(texts))); n != len(texts) {
		t.Errorf("two faults read alike: %q", texts)
	}
}
