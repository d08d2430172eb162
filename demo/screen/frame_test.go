package screen

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden frames anew")

var noon = time.Date(2031, 5, 4, 12, 0, 0, 0, time.UTC)

// lostFrankfurt is a demo in the middle of its story.
func lostFrankfurt() Facts {
	votes := func(us, eu, ap Level) []Vote { return []Vote{{"us-east", us}, {"eu-west", eu}, {"ap-south", ap}} }
	return Facts{
		Title: "Meridian demo", Now: noon, Up: 83 * time.Second, Asked: 1204, Selected: 1,
		Sites: []Site{
			{Name: "us-east", Verdict: Up, Weight: 1000, VIP: "198.51.100.1:8000", Director: "us-east-a", Votes: votes(Up, Up, Up)},
			{Name: "eu-west", Verdict: Down, Weight: 0, VIP: "198.51.100.2:8000", Votes: votes(Down, Unknown, Down), Reason: "down: 2 of 2 foreign datacenters"},
			{Name: "ap-south", Verdict: Partial, Weight: 625, VIP: "198.51.100.3:8000", Director: "ap-south-b", Votes: votes(Partial, Up, Up), Reason: "us-east is split"},
		},
		Cities: []City{
			{Name: "New York", Addrs: []string{"198.51.100.1"}, Site: "us-east", TTL: 30, Took: 412 * time.Microsecond},
			{Name: "Frankfurt", Addrs: []string{"198.51.100.1"}, Site: "us-east", TTL: 10, Took: 388 * time.Microsecond},
			{Name: "Mumbai", Fault: "no answer from 198.51.100.53:5300 within 1 s"},
		},
		Faults: []Fault{{Text: "eu-west: lost, its VIP does not answer", Left: 41*time.Second + 1}},
		Events: []Event{
			{1, noon.Add(-20 * time.Second), "us-east: director us-east-a took the VIP 198.51.100.1:8000"},
			{2, noon.Add(-19 * time.Second), "fault 1: eu-west: lost, its VIP does not answer, for 1m0s"},
			{3, noon.Add(-18 * time.Second), "verdict on eu-west: down"},
		},
	}
}

func TestGoldenFrames(t *testing.T) {
	bad := lostFrankfurt()
	bad.Bad, bad.Faults = 3, nil
	for name, c := range map[string]struct {
		facts  Facts
		width  int
		colour bool
	}{
		"wide":   {lostFrankfurt(), 120, false},
		"colour": {lostFrankfurt(), 120, true},
		"eighty": {bad, 80, false},
		"narrow": {lostFrankfurt(), 10, false},
		"start":  {Facts{Title: "Meridian demo"}, 80, false},
	} {
		got := Render(c.facts, c.width, c.colour)
		file := filepath.Join("testdata", name+".txt")
		if *update {
			if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("%s: (-golden +got)\n%s", name, diff)
		}
	}
}

var sgr = regexp.MustCompile("\x1b\\[[0-9]*m")

// TestColourChangesNothingElse: whoever cannot see colours sees everything.
func TestColourChangesNothingElse(t *testing.T) {
	for width := 30; width < 140; width += 7 {
		bare, coloured := Render(lostFrankfurt(), width, false), Render(lostFrankfurt(), width, true)
		if diff := cmp.Diff(bare, sgr.ReplaceAllString(coloured, "")); diff != "" {
			t.Fatalf("width %d: (-bare +coloured)\n%s", width, diff)
		}
		for line := range strings.Lines(bare) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > max(width, MinWidth) {
				t.Errorf("width %d: %d columns: %q", width, n, line)
			}
		}
	}
}

// TestHostileTexts: what came over the network cannot move the cursor.
func TestHostileTexts(t *testing.T) {
	f := lostFrankfurt()
	const hostile = "\x1b[2J\x1b]0;x\a\r\nx\u0085\u202e"
	f.Sites[0].Reason, f.Cities[2].Fault, f.Events[0].Text, f.Sites[0].Name = hostile, hostile, hostile, hostile
	frame := Render(f, 100, false) + strings.Join(Lines(Facts{}, f), "\n")
	if strings.ContainsAny(frame, "\x1b\a\r\u0085\u202e") {
		t.Errorf("frame with control characters: %q", frame)
	}
}

func TestFit(t *testing.T) {
	f := lostFrankfurt()
	full := len(fit(f, 100, 1000, false))
	less := fit(f, 100, full-2, false)
	text := strings.Join(less, "\n")
	if len(less) != full-2 || strings.Contains(text, "took the VIP") || !strings.Contains(text, "verdict on eu-west") || !strings.Contains(text, "[q] quit") {
		t.Errorf("%d lines of %d:\n%s", len(less), full, text)
	}
	if n := len(fit(f, 100, 5, false)); n != 5 {
		t.Errorf("%d lines: want 5", n)
	}
}
