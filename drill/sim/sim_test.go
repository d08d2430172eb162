package sim

import (
	"bytes"
	"context"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// budget reads how long, or for how many seeds, a test may go on.
func budget(t *testing.T, name string, otherwise int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		if testing.Short() {
			return otherwise / 4
		}
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s=%q: want a number from 1", name, text)
	}
	return n
}

// Generated scenarios break nothing. SIM_SECONDS is how long to look for one that does, 8 and at most 60 seeds by
// default; SIM_SEED is where to begin.
func TestSeeds(t *testing.T) {
	limit := time.Duration(budget(t, "SIM_SECONDS", 8)) * time.Second
	first := uint64(budget(t, "SIM_SEED", 1))
	start := time.Now()
	played := 0
	seeds := 60
	if os.Getenv("SIM_SECONDS") != "" {
		seeds = 1_000_000
	}
	Hunt(context.Background(), first, seeds, 2, Shape{}, func(s Scenario, r Result) bool {
		played++
		if len(r.Violations) == 0 {
			return time.Since(start) < limit
		}
		v := r.Violations[0]
		t.Errorf("seed %d: %s\n%s", s.Seed, v, Shrink(s, v.Invariant, 100))
		return false
	})
	t.Logf("%d seeds in %v", played, time.Since(start).Truncate(time.Millisecond))
}

// The same scenario gives the same run, byte for byte; another seed another one.
func TestRunsAreDeterministic(t *testing.T) {
	for seed := range uint64(3) {
		s := Generate(seed, Shape{Nodes: 9})
		var a, b bytes.Buffer
		x, y := Run(s, Options{Trace: &a}), Run(s, Options{Trace: &b})
		if x.Hash != y.Hash || x.Stats != y.Stats || !bytes.Equal(a.Bytes(), b.Bytes()) {
			t.Errorf("seed %d: %s and %s", seed, x.Hash, y.Hash)
		}
		s.Seed += 1000
		if Run(s, Options{}).Hash == x.Hash {
			t.Errorf("seed %d makes no difference", seed)
		}
	}
}

// Fleets of every size that nothing befalls are at rest: each site comes up once on each node, and that is all.
func TestNothingBefalls(t *testing.T) {
	for _, nodes := range []int{1, 2, 3, 9, 30} {
		s := Default()
		s.Nodes, s.Datacenters, s.Sites = nodes, min(3, nodes), min(3, nodes)
		r := Run(s, Options{})
		for _, v := range r.Violations {
			t.Errorf("%d nodes: %s", nodes, v)
		}
		if want := uint64(nodes * s.Sites); nodes != 2 && r.Stats.Transitions != want {
			t.Errorf("%d nodes: %d verdict changes: want %d", nodes, r.Stats.Transitions, want)
		}
	}
}

// A blackout is decided on every node, and the site comes back.
func TestBlackoutIsDecidedEverywhere(t *testing.T) {
	s, err := Parse("nodes 9\nfor 4m\nfault 60s 60s site site-b blackhole")
	if err != nil {
		t.Fatal(err)
	}
	var trace strings.Builder
	for _, v := range Run(s, Options{Trace: &trace}).Violations {
		t.Error(v)
	}
	for i := range s.Nodes {
		down, back := 0, 0
		for line := range strings.Lines(trace.String()) {
			if f := strings.Fields(line); len(f) > 6 && f[1] == s.nodeName(i) && f[3] == "site-b/web/v4" {
				if f[6] == "down:" {
					down++
				}
				if f[6] == "up:" && down > 0 {
					back++
				}
			}
		}
		if down != 1 || back != 1 {
			t.Errorf("%s: %d times down, %d times back", s.nodeName(i), down, back)
		}
	}
}

// Generated scenarios survive being written down.
func TestScenarioFiles(t *testing.T) {
	for seed := range uint64(300) {
		s := Generate(seed, Shape{})
		got, err := Parse("# a comment\n\n" + s.String())
		if err != nil || got.String() != s.String() {
			t.Fatalf("seed %d: %v\n%s\nbecame\n%s", seed, err, s, got)
		}
	}
}

func TestScenarioFaults(t *testing.T) {
	tests := []struct{ text, want string }{
		{"nodes 0", "nodes 0: want 1..5000"},
		{"nodes many", "line 1: "},
		{"datacenters 4\nnodes 3", "datacenters 4: want 1..3"},
		{"policy slow", `policy "slow": want default or fast`},
		{"speed 3", `"speed": want seed, nodes`},
		{"quiet 3h", "quiet 3h0m0s: want 0s..2m0s"},
		{"fault 1s 2s", "fault: 2 words"},
		{"fault 1s 2s flood", `kind "flood": want one of`},
		{"fault 1s 2s crash z9", `"z9": want a node`},
		{"fault 1s 2s crash", "0 arguments: want [node]"},
		{"fault 1s 2s site site-a purple", `"purple": want a blackhole`},
		{"fault 1s 2s override a1 paint site-a", `"paint": want a action`},
		{"fault 9m 2s backbone", "begun within"},
	}
	for _, test := range tests {
		if _, err := Parse(test.text); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: %v: want %q in it", test.text, err, test.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(Generate(1, Shape{}).String())
	f.Add("fault 1s 2s site site-a blackhole # why")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse(text)
		if err != nil {
			return
		}
		if again, err := Parse(s.String()); err != nil || again.String() != s.String() {
			t.Errorf("%q became %q: %v", s, again, err)
		}
	})
}

// Shrinking keeps what is to blame, and little else.
func TestShrink(t *testing.T) {
	x := sound()
	x.rejoin = false
	s, err := Parse(`seed 3
nodes 12
datacenters 4
sites 4
for 3m
quiet 1m
fault 50s 10s crash c1
fault 55s 30s partition b
fault 60s 10s site site-a refuse
fault 70s 3s pause d2`)
	if err != nil {
		t.Fatal(err)
	}
	small := shrink(s, "evidence-flows", 60, x)
	if len(small.Faults) != 1 || small.Nodes >= s.Nodes {
		t.Errorf("left over:\n%s", small)
	}
	if v := run(small, Options{}, x).Violations; len(v) == 0 || v[0].Invariant != "evidence-flows" {
		t.Errorf("the small one gives %v", v)
	}
}

func TestInvariantsAreNamedOnce(t *testing.T) {
	seen := map[string]bool{}
	for _, i := range Invariants() {
		if seen[i.Name] || i.Name == "" || i.Doc == "" {
			t.Errorf("%+v", i)
		}
		seen[i.Name] = true
	}
	if len(seen) < 24 {
		t.Errorf("%d invariants", len(seen))
	}
}
