package world

import (
	"fmt"
	"testing"
)

func threeUp() *pool {
	p := &pool{backends: make([]backend, 3)}
	for i := range p.backends {
		p.observe(i, true)
	}
	return p
}

func TestPoolPick(t *testing.T) {
	p := threeUp()
	var got []int
	for range 4 {
		i, _ := p.pick(nil)
		got = append(got, i)
	}
	if fmt.Sprint(got) != "[0 1 2 0]" {
		t.Errorf("four connections to %v: want them in turn", got)
	}
	p.done(2)
	if i, _ := p.pick(nil); i != 2 {
		t.Errorf("picked %d: want 2, which has no connection", i)
	}
	if i, ok := p.pick([]int{1, 2}); !ok || i != 0 {
		t.Errorf("picked %d, %v: want 0, the only one not tried", i, ok)
	}
	if _, ok := p.pick([]int{0, 1, 2}); ok {
		t.Error("picked one of those that were tried")
	}
	for range 2 {
		for i := range p.backends {
			p.observe(i, false)
		}
	}
	if _, ok := p.pick(nil); ok || p.live() != 0 {
		t.Error("picked a dead one")
	}
}

func TestPoolHysteresis(t *testing.T) {
	p := &pool{backends: make([]backend, 1)}
	if p.live() != 0 {
		t.Error("up before the first check")
	}
	for i, c := range []struct{ ok, changed, up bool }{
		{true, true, true}, // the first check decides alone
		{false, false, true},
		{true, false, true},
		{false, false, true},
		{false, true, false},
		{true, false, false},
		{false, false, false},
		{true, false, false},
		{true, true, true},
	} {
		if changed := p.observe(0, c.ok); changed != c.changed || (p.live() == 1) != c.up {
			t.Errorf("check %d: changed %v, live %d: want %v, %v", i, changed, p.live(), c.changed, c.up)
		}
	}
	if q := (&pool{backends: make([]backend, 1)}); q.observe(0, false) || q.live() != 0 {
		t.Error("a first check that fails brings the backend in")
	}
}
