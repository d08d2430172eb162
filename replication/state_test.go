package replication

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A merge is a join: order, grouping and repetition of records do not show in the result.
func TestMergeIsAJoin(t *testing.T) {
	rng := seeded(t)
	for range 2000 {
		records := make([]Record, 1+rng.IntN(12))
		for i := range records {
			records[i] = randomRecord(t, rng)
		}
		var a, b, half State
		mergeAll(t, &a, records, epoch0)

		shuffled := append(slices.Clone(records), records[:rng.IntN(len(records)+1)]...)
		rng.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		at := rng.IntN(len(shuffled) + 1)
		mergeAll(t, &half, shuffled[at:], epoch0) // (tail) joined into (head), not record by record
		mergeAll(t, &b, shuffled[:at], epoch0)
		mergeAll(t, &b, slices.Collect(half.All()), epoch0)

		if diff := cmp.Diff(snapshot(&a), snapshot(&b)); diff != "" {
			t.Fatalf("(-in order +shuffled)\n%s", diff)
		}
		if a.Digest() != b.Digest() {
			t.Fatal("equal states, different digests")
		}
		for r := range a.All() {
			if !b.Knows(r) {
				t.Fatalf("%q is merged, but not known", r.Key)
			}
			if outcome, err := b.Merge(r, epoch0); outcome != Unchanged || err != nil {
				t.Fatalf("%q merged again: outcome %d, %v", r.Key, outcome, err)
			}
		}
		if !slices.IsSorted(a.keys) {
			t.Fatalf("keys not sorted: %q", a.keys)
		}
	}
}

func TestDigestTellsStatesApart(t *testing.T) {
	rng := seeded(t)
	for range 2000 {
		var a, b State
		for range rng.IntN(6) {
			mergeAll(t, &a, []Record{randomRecord(t, rng)}, epoch0)
		}
		for range rng.IntN(6) {
			mergeAll(t, &b, []Record{randomRecord(t, rng)}, epoch0)
		}
		same := snapshot(&a) == snapshot(&b)
		if got := len(a.Digest().Differing(b.Digest())) == 0; got != same {
			t.Fatalf("digests equal: %v, states equal: %v\n%s\n%s", got, same, snapshot(&a), snapshot(&b))
		}
	}
}

// Knows and Wants foretell what Merge does.
func TestKnowsAndWants(t *testing.T) {
	rng := seeded(t)
	for range 2000 {
		var s State
		for range rng.IntN(6) {
			mergeAll(t, &s, []Record{randomRecord(t, rng)}, epoch0)
		}
		s.Collect(epoch0, 0, func(node string) time.Duration {
			if node == "node-0" {
				return GoneAfter
			}
			return 0
		})
		r := randomRecord(t, rng)
		knows, wants := s.Knows(r), s.Wants(Entry{r.Key, r.Version, r.Sum()})
		outcome, err := s.Merge(r, epoch0)
		if err != nil || knows != (outcome == Unchanged) {
			t.Fatalf("%q: knows %v, merged with outcome %d, %v", r.Key, knows, outcome, err)
		}
		// An older record with a later expiry changes the state too, but comes by anti-entropy.
		if _, had := s.Get(r.Key); had && !wants && outcome == Changed && r.Kind != KindOverride {
			t.Fatalf("%q: not wanted, but changed the state", r.Key)
		}
		if wants && s.Wants(Entry{r.Key, r.Version, r.Sum()}) && outcome == Changed {
			if now, _ := s.Get(r.Key); now.Sum() == r.Sum() {
				t.Fatalf("%q: still wanted after it was merged", r.Key)
			}
		}
	}
}

// exchange is one round of anti-entropy as replication/gossip does it: digest, entries, records both ways.
func exchange(t *testing.T, a, b *State, now time.Time) {
	t.Helper()
	buckets := a.Digest().Differing(b.Digest())
	send, want := a.Diff(buckets, b.Entries(buckets))
	answer := b.Records(want)
	mergeAll(t, b, send, now)
	mergeAll(t, a, answer, now)
}

// A small fleet under loss, duplication, detours and delay, with operators and rising versions. Versions never go
// down, ended overrides never act, and after some quiet rounds of exchange all nodes are equal.
func TestFleetConverges(t *testing.T) {
	rng := seeded(t)
	for range 60 {
		runFleet(t, rng)
	}
}

func runFleet(t *testing.T, rng *rand.Rand) {
	const nodes = 5
	states := make([]*State, nodes)
	seen := make([]map[string]Version, nodes)
	for i := range states {
		states[i], seen[i] = &State{}, map[string]Version{}
	}
	var wire []Record
	var ended []string // "why" of overrides that were expired or cleared at some time
	now, seq := epoch0, uint64(0)

	observe := func() {
		t.Helper()
		for i, s := range states {
			for r := range s.All() {
				if r.Version.Compare(seen[i][r.Key]) < 0 {
					t.Fatalf("node %d: %q went from %v to %v", i, r.Key, seen[i][r.Key], r.Version)
				}
				seen[i][r.Key] = r.Version
			}
			for _, o := range s.Overrides(now) {
				if slices.Contains(ended, o.Why) && o.Expires != 0 && now.UnixMilli() >= o.Expires {
					t.Fatalf("node %d: %q acts after its end", i, o.Why)
				}
			}
		}
	}

	for step := range 150 {
		now = now.Add(time.Duration(rng.IntN(20)) * time.Minute)
		i := rng.IntN(nodes)
		switch rng.IntN(5) {
		case 0:
			seq++
			wire = append(wire, mustEvidence(t, fmt.Sprintf("node-%d", i), 1, seq, "x"))
			mergeAll(t, states[i], wire[len(wire)-1:], now)
		case 1: // an operator decides, or clears
			v, err := states[i].NextVersion(now)
			if err != nil {
				t.Fatal(err)
			}
			o := Override{Site: fmt.Sprintf("site-%d", rng.IntN(3)), Action: Drain, Why: fmt.Sprintf("step %d", step),
				Created: now.UnixMilli(), Cleared: rng.IntN(3) == 0}
			if rng.IntN(2) == 0 {
				o.Expires = now.Add(time.Duration(1+rng.IntN(90)) * time.Minute).UnixMilli()
				ended = append(ended, o.Why)
			}
			if old, ok := states[i].Get(o.Key()); ok && v.Compare(old.Version) <= 0 {
				t.Fatalf("new version %v after %v", v, old.Version)
			}
			r := mustOverride(t, o, fmt.Sprintf("node-%d", i), v)
			mergeAll(t, states[i], []Record{r}, now)
			wire = append(wire, r)
		case 2, 3: // a message, perhaps an old one again, reaches a random node
			if len(wire) > 0 {
				mergeAll(t, states[i], []Record{wire[rng.IntN(len(wire))]}, now)
			}
		case 4:
			exchange(t, states[i], states[rng.IntN(nodes)], now)
		}
		observe()
	}
	for round := 0; ; round++ {
		if round == 2*nodes {
			t.Fatal("no convergence")
		}
		for i := range states {
			exchange(t, states[i], states[(i+1)%nodes], now)
		}
		observe()
		equal := true
		for _, s := range states {
			equal = equal && s.Digest() == states[0].Digest() && snapshot(s) == snapshot(states[0])
		}
		if equal {
			return
		}
	}
}

// The long-lived override that a short one replaced must not act once the short one has been forgotten.
func TestSupersededOverrideStaysDead(t *testing.T) {
	v := func(n uint64) Version { return Version{uint64(epoch0.UnixMilli()), n} }
	long := mustOverride(t, Override{Site: "fra", Action: Drain, Expires: after(60 * 24 * time.Hour).UnixMilli()}, "a", v(1))
	short := mustOverride(t, Override{Site: "fra", Action: Drain, Expires: after(time.Hour).UnixMilli()}, "a", v(2))
	clearing := mustOverride(t, Override{Site: "fra", Action: Drain, Expires: after(time.Hour).UnixMilli(), Cleared: true}, "a", v(3))

	for name, newer := range map[string]Record{"expired": short, "cleared": clearing} {
		t.Run(name, func(t *testing.T) {
			var s State
			mergeAll(t, &s, []Record{long, newer}, epoch0)
			never := func(string) time.Duration { return 0 }
			for day := range 70 { // a node that was away brings the old one back every day
				now := after(time.Duration(day)*24*time.Hour + 2*time.Hour)
				s.Collect(now, now.Sub(epoch0), never)
				_, err := s.Merge(long, now)
				if err != nil && !errors.Is(err, ErrPastHorizon) {
					t.Fatal(err)
				}
				if in := s.Overrides(now); len(in) != 0 {
					t.Fatalf("day %d: acts again: %+v", day, in)
				}
			}
			if s.Len() != 0 {
				t.Errorf("%d records kept past every horizon", s.Len())
			}
		})
	}
}

func TestFutureRecordIsParked(t *testing.T) {
	ahead := mustOverride(t, Override{Site: "fra", Action: Drain}, "a",
		Version{uint64(after(90 * time.Second).UnixMilli()), 0})
	further := mustOverride(t, Override{Site: "fra", Action: Drain, Why: "two centuries on"}, "a",
		Version{uint64(after(200 * 365 * 24 * time.Hour).UnixMilli()), 0})
	var s State
	for _, r := range []Record{further, ahead, further} {
		if outcome, err := s.Merge(r, epoch0); outcome != Parked || err != nil {
			t.Fatalf("got %d, %v, want parked", outcome, err)
		}
	}
	if s.Len() != 0 || len(s.Overrides(epoch0)) != 0 || s.Digest() != (Digest{}) {
		t.Error("a parked record shows in the state")
	}
	if got := s.Parked(); len(got) != 2 || got[0].Version != ahead.Version {
		t.Errorf("parked: got %+v, want two, and first the one that comes first", got)
	}
	if got := s.Release(after(29 * time.Second)); got != nil {
		t.Errorf("released early: %+v", got)
	}
	if got := s.Release(after(30 * time.Second)); len(got) != 1 || got[0].Key != ahead.Key {
		t.Errorf("got %+v, want the override", got)
	}
	if got := s.Overrides(after(30 * time.Second)); len(got) != 1 {
		t.Errorf("in force: %+v", got)
	}
	if v, err := s.NextVersion(after(30 * time.Second)); err != nil || v.Compare(ahead.Version) <= 0 {
		t.Errorf("next version %v, %v: want one after %v", v, err, ahead.Version)
	}
	// However many are far ahead, what comes soon has its place.
	for i := range 2 * maxParkedOfKey {
		v := Version{uint64(after(time.Duration(30-i) * time.Hour).UnixMilli()), 0}
		if outcome, _ := s.Merge(mustOverride(t, Override{Site: "fra", Action: Drain}, "a", v), after(30*time.Second)); outcome != Parked {
			t.Fatalf("got %d, want parked", outcome)
		}
	}
	cleared := mustOverride(t, Override{Site: "fra", Action: Drain, Cleared: true}, "a", Version{uint64(after(2 * time.Minute).UnixMilli()), 0})
	if outcome, _ := s.Merge(cleared, after(30*time.Second)); outcome != Parked {
		t.Fatalf("got %d, want parked", outcome)
	}
	if got := s.Parked(); len(got) != maxParkedOfKey || got[0].Version != cleared.Version {
		t.Errorf("%d parked, the first %+v: want %d, and the one that comes first", len(got), got[0], maxParkedOfKey)
	}
	if got := s.Release(after(2 * time.Minute)); len(got) != 1 || len(s.Overrides(after(2*time.Minute))) != 0 {
		t.Errorf("released %+v, in force %+v: want it cleared", got, s.Overrides(after(2*time.Minute)))
	}
}

func TestCollect(t *testing.T) {
	var s State
	old, busy := mustEvidence(t, "gone", 5, 9, "x"), mustEvidence(t, "busy", 1, 1, "x")
	expiring := mustOverride(t, Override{Site: "fra", Action: Drain, Expires: after(time.Hour).UnixMilli()}, "a",
		Version{uint64(epoch0.UnixMilli()), 1})
	forever := mustOverride(t, Override{Site: "ams", Action: Drain}, "a", Version{uint64(epoch0.UnixMilli()), 2})
	mergeAll(t, &s, []Record{old, busy, expiring, forever}, epoch0)
	silent := func(node string) time.Duration {
		if node == "gone" {
			return GoneAfter
		}
		return GoneAfter - 1
	}

	end := after(time.Hour + Horizon)
	if got, want := s.Collect(end, 0, silent), []string{"evidence/gone"}; !slices.Equal(got, want) {
		t.Errorf("at the horizon: got %q, want %q", got, want)
	}
	// A clock that is ahead for a while, then right, then past the horizon for good, in leaps that are no time that passed.
	over := end.Add(time.Millisecond)
	for _, c := range []struct {
		now time.Time
		up  time.Duration
	}{{over, 0}, {after(0), GoneAfter}, {over, 2 * GoneAfter}, {over.Add(90 * 24 * time.Hour), 3*GoneAfter - 1}} {
		if got := s.Collect(c.now, c.up, silent); len(got) != 0 {
			t.Errorf("at %v: forgot %q", c.now, got)
		}
	}
	// What is made anew under a key does not come with the age of what was there.
	again := mustOverride(t, Override{Site: "fra", Action: Drain, Expires: after(2 * time.Hour).UnixMilli()}, "a",
		Version{uint64(epoch0.UnixMilli()), 3})
	mergeAll(t, &s, []Record{again}, epoch0)
	for _, up := range []time.Duration{3 * GoneAfter, 4*GoneAfter - 1} {
		if got := s.Collect(over.Add(2*time.Hour), up, silent); len(got) != 0 {
			t.Errorf("after %v: forgot %q", up, got)
		}
	}
	if got, want := s.Collect(over.Add(2*time.Hour), 4*GoneAfter, silent), []string{expiring.Key}; !slices.Equal(got, want) {
		t.Errorf("past the horizon: got %q, want %q", got, want)
	}

	// A peer that has not forgotten yet offers the old evidence again, for ever.
	if outcome, err := s.Merge(old, end); outcome != Unchanged || err != nil {
		t.Errorf("forgotten evidence again: got %d, %v", outcome, err)
	}
	all := make([]int, Buckets)
	for i := range all {
		all[i] = i
	}
	if _, want := s.Diff(all, []Entry{{Key: old.Key, Version: old.Version}}); len(want) != 0 {
		t.Errorf("asks for what it forgot: %q", want)
	}
	if outcome, _ := s.Merge(mustEvidence(t, "gone", 5, 10, "x"), end); outcome != Changed {
		t.Errorf("newer evidence of a node that was gone: got %d", outcome)
	}

	var fresh State
	mergeAll(t, &fresh, slices.Collect(s.All()), end)
	if s.Digest() != fresh.Digest() {
		t.Error("digest does not match what is held")
	}
}

func TestStateIsBounded(t *testing.T) {
	var s State
	for i := range MaxRecords {
		mergeAll(t, &s, []Record{mustEvidence(t, fmt.Sprintf("node-%d", i), 1, 1, "x")}, epoch0)
	}
	if outcome, err := s.Merge(mustEvidence(t, "one-more", 1, 1, "x"), epoch0); outcome != Refused || !errors.Is(err, ErrFull) {
		t.Errorf("got %d, %v, want refused", outcome, err)
	}
	if outcome, err := s.Merge(mustEvidence(t, "node-7", 1, 2, "x"), epoch0); outcome != Changed || err != nil {
		t.Errorf("known key: got %d, %v", outcome, err)
	}
	for i := range 2 * maxParked {
		r := mustOverride(t, Override{Site: fmt.Sprintf("site-%d", i), Action: Drain}, "a",
			Version{uint64(after(time.Hour).UnixMilli()), 0})
		if outcome, _ := s.Merge(r, epoch0); outcome != Parked {
			t.Fatalf("got %d", outcome)
		}
	}
	if n := len(s.Parked()); n != maxParked {
		t.Errorf("%d parked, want %d", n, maxParked)
	}
}

func TestOverridesInForce(t *testing.T) {
	var s State
	at := func(n uint64) Version { return Version{uint64(epoch0.UnixMilli()), n} }
	mergeAll(t, &s, []Record{
		mustOverride(t, Override{Service: "shop", Site: "fra", Action: Isolate}, "a", at(1)),
		mustOverride(t, Override{Site: "fra", Action: Drain, Expires: after(time.Hour).UnixMilli()}, "a", at(2)),
		mustOverride(t, Override{Site: "ams", Action: Weight, Percent: 50, Expires: after(2 * time.Hour).UnixMilli()}, "a", at(3)),
		mustOverride(t, Override{Site: "sin", Action: Drain, Cleared: true}, "a", at(4)),
	}, epoch0)
	for _, tt := range []struct {
		now  time.Time
		want string
		next int64
	}{
		{epoch0, "*/ams/weight */fra/drain shop/fra/isolate", after(time.Hour).UnixMilli()},
		{after(time.Hour), "*/ams/weight shop/fra/isolate", after(2 * time.Hour).UnixMilli()},
		{after(2 * time.Hour), "shop/fra/isolate", 0},
	} {
		var keys []string
		for _, o := range s.Overrides(tt.now) {
			keys = append(keys, strings.TrimPrefix(o.Key(), "override/"))
		}
		if got := strings.Join(keys, " "); got != tt.want {
			t.Errorf("at %v: got %s, want %s", tt.now, got, tt.want)
		}
		if got := s.NextExpiry(tt.now); got != tt.next {
			t.Errorf("at %v: next expiry %d, want %d", tt.now, got, tt.next)
		}
	}
}

// Two operators act at once through two nodes: everywhere the same one wins, and the winner is the greater writer.
func TestConcurrentOverrides(t *testing.T) {
	v := Version{uint64(epoch0.UnixMilli()), 0}
	a := mustOverride(t, Override{Site: "fra", Action: Weight, Percent: 10}, "node-a", v)
	b := mustOverride(t, Override{Site: "fra", Action: Weight, Percent: 90}, "node-b", v)
	for _, order := range [][]Record{{a, b}, {b, a}} {
		var s State
		mergeAll(t, &s, order, epoch0)
		if in := s.Overrides(epoch0); len(in) != 1 || in[0].Percent != 90 {
			t.Errorf("got %+v, want node-b's", in)
		}
	}
}
