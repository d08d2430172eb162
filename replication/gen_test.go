package replication

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

var seedFlag = flag.Uint64("seed", 0, "seed of the property tests; 0 = a new one each run")

// seeded returns a random source whose seed is printed when the test fails.
func seeded(t *testing.T) *rand.Rand {
	t.Helper()
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("seed: rerun with -run '%s' -seed %d", t.Name(), seed)
		}
	})
	return rand.New(rand.NewPCG(seed, 1))
}

// epoch0 is the time at which tests begin.
var epoch0 = time.UnixMilli(1_800_000_000_000)

func after(d time.Duration) time.Time { return epoch0.Add(d) }

func mustOverride(t testing.TB, o Override, writer string, v Version) Record {
	t.Helper()
	if o.Who == "" {
		o.Who = "ada"
	}
	if o.Why == "" {
		o.Why = "maintenance"
	}
	if o.Created == 0 {
		o.Created = epoch0.UnixMilli()
	}
	r, err := NewOverride(o, writer, v)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func mustEvidence(t testing.TB, node string, epoch, seq uint64, body string) Record {
	t.Helper()
	r, err := NewEvidence(node, Version{epoch, seq}, []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// randomRecord makes records that collide often: few keys, few versions, few writers.
func randomRecord(t testing.TB, rng *rand.Rand) Record {
	node := fmt.Sprintf("node-%d", rng.IntN(4))
	v := Version{1 + rng.Uint64N(2), rng.Uint64N(3)}
	switch rng.IntN(3) {
	case 0:
		return mustEvidence(t, node, v.Major, v.Minor, fmt.Sprintf("body %d", rng.IntN(2)))
	case 1:
		r, err := NewApplied(Applied{Node: node, Datacenter: "dc", Mode: fmt.Sprint(rng.IntN(2))}, v)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	o := Override{
		Site:    fmt.Sprintf("site-%d", rng.IntN(2)),
		Action:  []Action{Drain, Isolate}[rng.IntN(2)],
		Why:     fmt.Sprintf("why %d", rng.IntN(2)),
		Cleared: rng.IntN(3) == 0,
	}
	if rng.IntN(3) > 0 {
		o.Expires = after(time.Duration(1+rng.IntN(3)) * time.Hour).UnixMilli()
	}
	v.Major += uint64(epoch0.UnixMilli())
	return mustOverride(t, o, node, v)
}

// snapshot renders all that a state holds, for comparison.
func snapshot(s *State) string {
	var out string
	for r := range s.All() {
		out += fmt.Sprintf("%s %s %d.%d x%d %q\n", r.Key, r.Writer, r.Version.Major, r.Version.Minor, r.Expires, r.Body)
	}
	return out
}

func mergeAll(t testing.TB, s *State, records []Record, now time.Time) {
	t.Helper()
	for _, r := range records {
		if _, err := s.Merge(r, now); err != nil {
			t.Fatalf("merge %q: %v", r.Key, err)
		}
	}
}
