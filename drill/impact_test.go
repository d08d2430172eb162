package drill

import (
	"math"
	"testing"
	"time"
)

func near(a, b, by float64) bool { return math.Abs(a-b) <= by }

// TestImpactOfHabits compares with sums done by hand: one client network of four is near the broken site.
func TestImpactOfHabits(t *testing.T) {
	for name, tt := range map[string]struct {
		mix               Mix
		peak, seconds, by float64
	}{
		// Caches of 2 s run out one after another from the decision on (2 s and 3 s after the fault): 1 s more on average.
		"all obey": {Mix{{Share: 1}}, 0.25, 0.25 * 3.5, 0.08},
		// A pin lasts until the heal, 10 s after the fault.
		"all pin": {Mix{{Share: 1, Pin: true}}, 0.25, 0.25 * 10, 0.08},
		// Of caches of 60 s, those that run out before the decision are filled again with the broken site, those between
		// it and the heal with the other: at 10 s, 2.5..3 s of 60 are the share of those that asked in time.
		"all keep for a minute": {Mix{{Share: 1, Floor: time.Minute}}, 0.25, 0.25 * (10 - 7.5*7.5/60/2), 0.15},
	} {
		i := told(nil).impact(tt.mix)
		if !near(i.Peak, tt.peak, 1e-6) || !near(i.Seconds, tt.seconds, tt.by) {
			t.Errorf("%s: peak %v, seconds %v: want %v, %v", name, i.Peak, i.Seconds, tt.peak, tt.seconds)
		}
	}
	whole := told(nil).impact(DefaultMix())
	share := 0.0
	for _, h := range whole.Mix {
		share += h.Share
	}
	if !near(share, 1, 1e-9) {
		t.Errorf("the shares of the mix add up to %v", share)
	}
	if obeying := told(nil).impact(Mix{{Share: 1}}); !near(whole.Obeying, obeying.Seconds, 1e-6) || whole.Seconds <= whole.Obeying {
		t.Errorf("obeying %v, mix %v seconds: want %v and more", whole.Obeying, whole.Seconds, obeying.Seconds)
	}
}

func TestImpactOnSurvivors(t *testing.T) {
	i := told(nil).impact(Mix{{Share: 1}})
	// Two sites of 100 with 45 % demand are asked for 90; b had three quarters of it and gets all.
	for _, l := range i.Loads {
		want := map[string]float64{"a": 0.225, "b": 0.9}[l.Site]
		if !near(l.Load, want, 0.001) || l.Survivor != (l.Site == "b") {
			t.Errorf("%+v: want a load of %v", l, want)
		}
	}
	if p := i.PeakLoad(); !near(p, 0.9, 0.001) {
		t.Errorf("peak load %v: want 0.9", p)
	}
	none := told(func(l *Timeline) { l.Sites[0].Capacity, l.Sites[1].Capacity = 0, 0 }).impact(DefaultMix())
	if len(none.Loads) != 0 || none.PeakLoad() != 0 {
		t.Errorf("loads %v of sites without capacity", none.Loads)
	}
}

func TestSlownessIsNoError(t *testing.T) {
	i := told(func(l *Timeline) { l.Faults[0].Fault.Kind = Slow }).impact(DefaultMix())
	if i.Peak != 0 || i.Seconds != 0 {
		t.Errorf("peak %v, seconds %v: want none", i.Peak, i.Seconds)
	}
}

func TestOverloaded(t *testing.T) {
	clients := []Client{{Weight: 1}, {Weight: 1}, {Weight: 1}}
	sites := []Site{{"a", 100}, {"b", 100}, {"c", 100}}
	to := func(names ...string) (row []Answer) {
		for _, n := range names {
			row = append(row, Answer{Sites: []string{n}})
		}
		return row
	}
	for name, tt := range map[string]struct {
		latest [][]Answer
		broken []string
		want   string
	}{
		"spread":           {[][]Answer{to("a", "b", "c")}, nil, ""},
		"two thirds":       {[][]Answer{to("a", "b", "b")}, nil, ""},
		"all":              {[][]Answer{to("b", "b", "b")}, nil, "b"},
		"all to broken":    {[][]Answer{to("b", "b", "b")}, []string{"b"}, ""},
		"nothing answered": {[][]Answer{make([]Answer, 3)}, nil, ""},
	} {
		if got, load := overloaded(tt.latest, clients, sites, tt.broken); got != tt.want {
			t.Errorf("%s: %q with %v: want %q", name, got, load, tt.want)
		}
	}
}
