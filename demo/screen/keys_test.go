package screen

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDecode(t *testing.T) {
	for typed, want := range map[string][]Action{
		"":                 nil,
		"19":               {{Do: ToggleSite, Site: 0}, {Do: ToggleSite, Site: 8}},
		"0xyz ":            nil,
		"dsgh":             {{Do: KillDirector}, {Do: SlowSite}, {Do: CutGossip}, {Do: HealAll}},
		"DSGHQ":            {{Do: KillDirector}, {Do: SlowSite}, {Do: CutGossip}, {Do: HealAll}, {Do: quit}},
		"q":                {{Do: quit}},
		"\x03":             {{Do: quit}},
		"\x04":             {{Do: quit}},
		"\t":               {{Do: next}},
		"\x1b[A\x1b[B":     {{Do: previous}, {Do: next}},
		"\x1bOA":           {{Do: previous}},
		"\x1b[Z1":          {{Do: previous}, {Do: ToggleSite}},
		"\x1b[15~d":        {{Do: KillDirector}},
		"\x1b[1;5B":        {{Do: next}},
		"\x1b":             nil,
		"\x1b[":            nil,
		"\x1b[1":           nil,
		"\x1bq":            {{Do: quit}},
		"\xff\xfe\x00\x1a": nil,
	} {
		if diff := cmp.Diff(want, decode([]byte(typed))); diff != "" {
			t.Errorf("%q: %s", typed, diff)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{"1dsghq", "\x1b[A", "\x1b[1;5B", "\x1bO", "\x1b[999"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		all := decode(b)
		if len(all) > len(b) {
			t.Fatalf("%d keys from %d bytes", len(all), len(b))
		}
		for _, a := range all {
			if a.Do == 0 || a.Site < 0 || a.Site > 8 {
				t.Fatalf("%+v", a)
			}
		}
	})
}
