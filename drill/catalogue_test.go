package drill

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestCatalogueIsSound(t *testing.T) {
	sites := []string{"a", "b", "c"}
	seen := map[string]bool{}
	for _, s := range Catalogue() {
		if seen[s.ID] || s.ID != strings.ToLower(s.ID) || s.Title == "" || s.What == "" {
			t.Errorf("%q: want an ID of its own in lower case, a title and what it proves", s.ID)
		}
		seen[s.ID] = true
		for _, pace := range []Pace{Default, Fast} {
			last := time.Duration(0)
			for _, step := range s.Steps {
				if at := step.At.At(pace); at < last || at >= s.Lasts.At(pace) {
					t.Errorf("%s: a step at %v of %v at %s pace: want them in order, before the end", s.ID, at, s.Lasts.At(pace), pace)
				} else {
					last = at
				}
				for _, b := range step.Break {
					faults := b.faults("b", sites, time.Minute)
					if len(faults) == 0 {
						t.Errorf("%s: %s breaks nothing", s.ID, b.Kind)
					}
					for _, f := range faults {
						if err := f.check(); err != nil {
							t.Errorf("%s: %v", s.ID, err)
						}
					}
				}
			}
			if s.Lasts.At(pace) <= 0 || s.Wait.At(pace) < s.Limits.Restore.At(pace) {
				t.Errorf("%s: lasts %v, waits %v for a limit of %v", s.ID, s.Lasts.At(pace), s.Wait.At(pace), s.Limits.Restore.At(pace))
			}
		}
		if s.Expect == Pulled && (len(s.broken("b", sites)) == 0 || s.Limits.Decide.Fast == 0) {
			t.Errorf("%s: wants sites pulled, but breaks none or sets no limit", s.ID)
		}
		if s.Expect == Kept && slices.ContainsFunc(s.Needs(), func(k Kind) bool { return k.refuses() > 0 }) {
			t.Errorf("%s: wants nobody moved from a site that is lost", s.ID)
		}
	}
	for _, id := range []string{
		"site-blackout", "director-crash", "gray-slow", "gray-errors", "packet-loss-5", "packet-loss-20", "packet-loss-60", "path-fault",
		"dc-partition", "backbone-gone", "dns-node-crash", "clock-skew", "flapping", "key-mismatch", "config-poison", "failback-herd",
		"all-down", "capacity-short", "operator-race", "node-pause", "disk-full",
	} {
		if !seen[id] {
			t.Errorf("no drill %s", id)
		}
	}
}

func TestCast(t *testing.T) {
	sites := []string{"a", "b", "c"}
	for role, want := range map[Role][]string{Target: {"c"}, Second: {"a"}, Third: {"b"}, Every: sites, Nobody: {""}} {
		if got := cast(role, "c", sites); !slices.Equal(got, want) {
			t.Errorf("%s: %v: want %v", role, got, want)
		}
	}
	if got := cast(Third, "a", sites[:2]); got != nil {
		t.Errorf("a third of two: %v", got)
	}
	if got := cast(Target, "x", sites); got != nil {
		t.Errorf("a site that is not there: %v", got)
	}
}

func TestMissing(t *testing.T) {
	s, _ := Find("path-fault")
	if got := s.Missing([]Kind{Lose, CutPath}); len(got) != 0 {
		t.Errorf("missing %v: want nothing", got)
	}
	if got := s.Missing([]Kind{Lose}); !slices.Equal(got, []Kind{CutPath}) {
		t.Errorf("missing %v: want cut-path", got)
	}
}

func TestEveryFaultReadsDifferently(t *testing.T) {
	texts := map[string]Kind{}
	for _, k := range Kinds() {
		text := Fault{Kind: k, Site: "a", To: "b", Delay: time.Second, Percent: 5}.String()
		if other, twice := texts[text]; twice {
			t.Errorf("%s: %q, also %s", k, text, other)
		}
		texts[text] = k
	}
	for _, bad := range []Fault{{Kind: "x", Site: "a", For: sec}, {Kind: Lose, For: sec}, {Kind: Lose, Site: "a"}, {Kind: Lose, Site: "a", For: 2 * time.Hour}} {
		if bad.check() == nil {
			t.Errorf("%+v is accepted", bad)
		}
	}
}

// booting is a world whose lost sites take time to start.
type booting struct{ World }

func (booting) Boots(k Kind) time.Duration {
	if k == Lose {
		return 7 * time.Second
	}
	return 0
}

func TestWhatBootsHasLonger(t *testing.T) {
	lost, _ := Find("site-blackout")
	slow, _ := Find("gray-slow")
	if got, want := lost.In(booting{}).Limits.Return.Fast, lost.Limits.Return.Fast+7*time.Second; got != want {
		t.Errorf("return of a lost site: %v, want %v", got, want)
	}
	if got := lost.In(booting{}); got.Limits.Decide != lost.Limits.Decide || got.Limits.LastOld != lost.Limits.LastOld {
		t.Errorf("a loss may be noticed later: %+v", got.Limits)
	}
	if got := slow.In(booting{}); got.Limits != slow.Limits || got.Wait != slow.Wait {
		t.Errorf("a site that does not boot: %+v, want %+v", got.Limits, slow.Limits)
	}
	if got := lost.In(nil); got.Limits != lost.Limits {
		t.Errorf("a world that does not boot: %+v", got.Limits)
	}
}
