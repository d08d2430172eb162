package replication

import (
	"math"
	"testing"
	"time"
)

// Whatever the wall clock does and whatever is observed, a version handed out is later than all before it, and never
// further ahead of the wall clock than others accept.
func TestClockNeverGoesBackward(t *testing.T) {
	rng := seeded(t)
	var c Clock
	var last Version
	wall := epoch0
	for range 20_000 {
		wall = wall.Add(time.Duration(rng.IntN(2000)-900) * time.Millisecond)
		if rng.IntN(2) == 0 {
			v := Version{uint64(wall.UnixMilli() + rng.Int64N(240_000) - 120_000), rng.Uint64()}
			near := int64(v.Major) <= wall.Add(MaxFuture).UnixMilli()
			if c.Observe(v, wall) != near {
				t.Fatalf("observe %v at %d: want %v", v, wall.UnixMilli(), near)
			}
			if near && v.Compare(last) > 0 {
				last = v
			}
			continue
		}
		v, err := c.Now(wall)
		if err != nil {
			if last.Major < uint64(wall.Add(MaxFuture).UnixMilli()) {
				t.Fatalf("at %d after %v: %v", wall.UnixMilli(), last, err)
			}
			wall = time.UnixMilli(int64(last.Major))
			continue
		}
		if v.Compare(last) <= 0 {
			t.Fatalf("%v after %v", v, last)
		}
		if v.Major > uint64(wall.Add(MaxFuture).UnixMilli()) {
			t.Fatalf("%v at %d: too far ahead", v, wall.UnixMilli())
		}
		last = v
	}
}

func TestClockFollowsWall(t *testing.T) {
	var c Clock
	for i, want := range []Version{{1_800_000_000_000, 0}, {1_800_000_000_000, 1}, {1_800_000_000_005, 0}} {
		got, err := c.Now(after(time.Duration(max(0, i-1)) * 5 * time.Millisecond))
		if err != nil || got != want {
			t.Errorf("call %d: got %v, %v, want %v", i, got, err, want)
		}
	}
}

func TestClockCounterOverflows(t *testing.T) {
	c := Clock{}
	if !c.Observe(Version{uint64(epoch0.UnixMilli()), math.MaxUint64}, epoch0) {
		t.Fatal("not observed")
	}
	got, err := c.Now(epoch0)
	if want := (Version{uint64(epoch0.UnixMilli()) + 1, 0}); err != nil || got != want {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
}

func TestClockRefusesWallSetBack(t *testing.T) {
	var c Clock
	if _, err := c.Now(epoch0); err != nil {
		t.Fatal(err)
	}
	if v, err := c.Now(after(-MaxFuture - time.Second)); err == nil {
		t.Errorf("got %v, want an error", v)
	}
	if _, err := c.Now(after(-MaxFuture)); err != nil {
		t.Errorf("within the bound: %v", err)
	}
}
