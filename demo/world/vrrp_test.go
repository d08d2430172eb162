package world

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

const testInterval = 100 * time.Millisecond

func machine(name string, priority uint8, state vrrpState) *vrrp {
	return &vrrp{name: name, priority: priority, interval: testInterval, state: state}
}

// TestVRRPTransitions goes through the tables of RFC 5798 section 6.4.
func TestVRRPTransitions(t *testing.T) {
	const skew = (256 - 100) * testInterval / 256
	const down = 3*testInterval + skew
	start := func(v *vrrp) vrrpEffect { return v.start() }
	stop := func(v *vrrp) vrrpEffect { return v.stop() }
	timer := func(v *vrrp) vrrpEffect { return v.timer() }
	hear := func(from string, priority uint8) func(*vrrp) vrrpEffect {
		return func(v *vrrp) vrrpEffect { return v.hear(advert{from, priority}) }
	}
	for _, c := range []struct {
		name      string
		state     vrrpState
		noPreempt bool
		event     func(*vrrp) vrrpEffect
		want      vrrpEffect
		next      vrrpState
	}{
		{"start", vrrpInitialize, false, start, vrrpEffect{arm: down}, vrrpBackup},
		{"stopped hears", vrrpInitialize, false, hear("z", 200), vrrpEffect{}, vrrpInitialize},
		{"stopped timer", vrrpInitialize, false, timer, vrrpEffect{}, vrrpInitialize},

		{"backup: master is silent", vrrpBackup, false, timer, vrrpEffect{take: true, send: true, arm: testInterval}, vrrpMaster},
		{"backup: better master", vrrpBackup, false, hear("z", 200), vrrpEffect{arm: down}, vrrpBackup},
		{"backup: equal master", vrrpBackup, false, hear("z", 100), vrrpEffect{arm: down}, vrrpBackup},
		{"backup: worse master is preempted", vrrpBackup, false, hear("z", 99), vrrpEffect{}, vrrpBackup},
		{"backup: worse master is left", vrrpBackup, true, hear("z", 99), vrrpEffect{arm: down}, vrrpBackup},
		{"backup: master resigns", vrrpBackup, false, hear("z", 0), vrrpEffect{arm: skew}, vrrpBackup},
		{"backup: stop", vrrpBackup, false, stop, vrrpEffect{}, vrrpInitialize},

		{"master: time to send", vrrpMaster, false, timer, vrrpEffect{send: true, arm: testInterval}, vrrpMaster},
		{"master: better master", vrrpMaster, false, hear("a", 200), vrrpEffect{drop: true, arm: down}, vrrpBackup},
		{"master: better master, no preemption", vrrpMaster, true, hear("a", 200), vrrpEffect{drop: true, arm: down}, vrrpBackup},
		{"master: equal, greater address", vrrpMaster, false, hear("n", 100), vrrpEffect{drop: true, arm: down}, vrrpBackup},
		{"master: equal, smaller address", vrrpMaster, false, hear("l", 100), vrrpEffect{take: true, send: true, arm: testInterval}, vrrpMaster},
		{"master: worse", vrrpMaster, false, hear("z", 99), vrrpEffect{take: true, send: true, arm: testInterval}, vrrpMaster},
		{"master: other resigns", vrrpMaster, false, hear("z", 0), vrrpEffect{send: true, arm: testInterval}, vrrpMaster},
		{"master: stop", vrrpMaster, false, stop, vrrpEffect{drop: true, send: true, zero: true}, vrrpInitialize},
	} {
		v := machine("m", 100, c.state)
		v.noPreempt = c.noPreempt
		if got := c.event(v); got != c.want || v.state != c.next {
			t.Errorf("%s: %+v, %v: want %+v, %v", c.name, got, v.state, c.want, c.next)
		}
	}
}

// lan simulates directors on one segment in virtual time.
type lan struct {
	now     time.Duration
	members []*vrrp
	timers  []time.Duration // 0 = off
	dead    []bool
	holder  string // of the VIP
}

func newLAN(members ...*vrrp) *lan {
	l := &lan{members: members, timers: make([]time.Duration, len(members)), dead: make([]bool, len(members))}
	for i, v := range members {
		l.apply(i, v.start())
	}
	return l
}

func (l *lan) apply(i int, e vrrpEffect) {
	if e.drop && l.holder == l.members[i].name {
		l.holder = ""
	}
	if e.take {
		l.holder = l.members[i].name
	}
	if e.arm > 0 {
		l.timers[i] = l.now + e.arm
	}
	if !e.send {
		return
	}
	a := advert{l.members[i].name, l.members[i].priority}
	if e.zero {
		a.priority = 0
	}
	for j, v := range l.members {
		if j != i && !l.dead[j] {
			l.apply(j, v.hear(a))
		}
	}
}

func (l *lan) run(until time.Duration) {
	for {
		next := -1
		for i, at := range l.timers {
			if !l.dead[i] && at > 0 && at <= until && (next < 0 || at < l.timers[next]) {
				next = i
			}
		}
		if next < 0 {
			l.now = until
			return
		}
		l.now = l.timers[next]
		l.timers[next] = 0
		l.apply(next, l.members[next].timer())
	}
}

func (l *lan) masters() (names []string) {
	for i, v := range l.members {
		if !l.dead[i] && v.state == vrrpMaster {
			names = append(names, v.name)
		}
	}
	return names
}

// TestVRRPOneMaster: any priorities settle on one master, a death moves the VIP within the bound, and a resignation
// within the skew.
func TestVRRPOneMaster(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for round := range 500 {
		var members []*vrrp
		for i := range 2 + rng.IntN(3) {
			v := machine(fmt.Sprint("d", i), uint8(1+rng.IntN(254)), vrrpInitialize)
			v.noPreempt = rng.IntN(2) == 0
			members = append(members, v)
		}
		l := newLAN(members...)
		l.run(time.Second)
		first := l.masters()
		if len(first) != 1 {
			t.Fatalf("round %d: masters %v: want one", round, first)
		}
		for i, v := range members {
			if v.name != first[0] {
				continue
			}
			if round%2 == 0 {
				l.dead[i] = true
				l.run(l.now + 4*testInterval + 1)
			} else {
				l.apply(i, v.stop())
				l.dead[i] = true
				l.run(l.now + testInterval + 1)
			}
		}
		if next := l.masters(); len(next) != 1 || next[0] == first[0] {
			t.Fatalf("round %d: after the end of %v: masters %v", round, first, next)
		}
	}
}

// TestVRRPStall: a director that stands still for a while, as in a starved process, and goes on. Whatever happened
// meanwhile, the one master has the VIP in the end.
func TestVRRPStall(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for round := range 500 {
		a, b := machine("a", 200, vrrpInitialize), machine("b", uint8(100+50*(round%3)), vrrpInitialize)
		a.noPreempt, b.noPreempt = round%2 == 0, round%2 == 0
		l := newLAN(a, b)
		for range 5 {
			l.run(l.now + time.Duration(rng.IntN(1000))*time.Millisecond)
			l.timers[rng.IntN(2)] += time.Duration(rng.IntN(1000)) * time.Millisecond
		}
		l.run(l.now + 3*time.Second)
		if m := l.masters(); len(m) != 1 || m[0] != l.holder {
			t.Fatalf("round %d: masters %v, VIP held by %q: want one, and it", round, m, l.holder)
		}
	}
}

func TestVRRPPreemption(t *testing.T) {
	for _, noPreempt := range []bool{false, true} {
		a, b := machine("a", 200, vrrpInitialize), machine("b", 100, vrrpInitialize)
		a.noPreempt, b.noPreempt = noPreempt, noPreempt
		l := newLAN(a, b)
		l.run(time.Second)
		l.dead[0] = true
		l.run(2 * time.Second)
		l.dead[0] = false
		l.apply(0, a.start())
		l.run(3 * time.Second)
		want := "[a]"
		if noPreempt {
			want = "[b]"
		}
		if got := fmt.Sprint(l.masters()); got != want {
			t.Errorf("no preemption %v: masters %v: want %v", noPreempt, got, want)
		}
	}
}
