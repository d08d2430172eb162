package health

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

const (
	ms  = time.Millisecond
	sec = time.Second
)

var shopV4 = Target{Site: "fra", Check: "http", Family: V4}

// site answers a probe that starts at a given time: what it shows, and how long it takes.
type site func(at time.Duration) (Result, time.Duration)

func answers(rtt time.Duration) site {
	return func(time.Duration) (Result, time.Duration) { return Result{Outcome: Success, RTT: rtt}, rtt }
}

func refuses() site {
	return func(time.Duration) (Result, time.Duration) {
		return Result{Outcome: HardFail, Detail: "connect refused"}, ms
	}
}

func silent(timeout time.Duration) site {
	return func(time.Duration) (Result, time.Duration) {
		return Result{Outcome: HardFail, Detail: "timeout"}, timeout
	}
}

func notReady() site {
	return func(time.Duration) (Result, time.Duration) {
		return Result{Outcome: SoftFail, RTT: ms, Detail: "status 503"}, ms
	}
}

func blind() site {
	return func(time.Duration) (Result, time.Duration) {
		return Result{Outcome: LocalFault, Detail: "too many open files"}, 0
	}
}

// phases plays sites one after the other.
func phases(parts ...any) site {
	return func(at time.Duration) (Result, time.Duration) {
		for i := 0; i < len(parts)-1; i += 2 {
			if at < parts[i+1].(time.Duration) {
				return parts[i].(site)(at)
			}
		}
		return parts[len(parts)-1].(site)(at)
	}
}

// bench drives one observer on a virtual clock.
type bench struct {
	t       *testing.T
	policy  ObserverPolicy
	site    site
	now     time.Duration
	state   ObserverState
	wake    time.Duration
	reports []report
	probes  int
	most    int // probes under way at once
	log     []change
}

type report struct {
	at      time.Duration
	started time.Duration
	result  Result
}

type change struct {
	at    time.Duration
	state State
	soft  bool
}

func newBench(t *testing.T, timing Timing, s site) *bench {
	policy := DefaultPolicy
	if timing == FastTiming {
		policy = FastPolicy
	}
	b := &bench{t: t, policy: policy.Observer("fra-1", shopV4, Check{Name: "http", Timing: timing}), site: s}
	b.step(Event{Kind: EventTick})
	return b
}

func (b *bench) step(e Event) {
	b.t.Helper()
	var a Actions
	b.state, a = StepObserver(b.state, e, b.now, b.policy)
	if a.Wake <= b.now {
		b.t.Fatalf("at %v: wake at %v: want later", b.now, a.Wake)
	}
	b.wake = a.Wake
	if a.Publish {
		b.log = append(b.log, change{b.now, b.state.State, b.state.Soft})
	}
	if a.Probe {
		b.probes++
		r, took := b.site(b.now)
		b.reports = append(b.reports, report{b.now + took, b.now, r})
		b.most = max(b.most, len(b.reports))
	}
}

// run plays all events up to the given time.
func (b *bench) run(until time.Duration) {
	b.t.Helper()
	for steps := 0; ; steps++ {
		if steps > 100_000 {
			b.t.Fatalf("at %v: the observer does not let time pass", b.now)
		}
		next, at := -1, b.wake
		for i, r := range b.reports {
			if r.at <= at {
				next, at = i, r.at
			}
		}
		if at > until {
			b.now = until
			return
		}
		b.now = max(b.now, at)
		if next < 0 {
			b.step(Event{Kind: EventTick})
			continue
		}
		r := b.reports[next]
		b.reports = append(b.reports[:next], b.reports[next+1:]...)
		b.step(Event{Kind: EventResult, Result: r.result, Started: r.started})
	}
}

// pause lets time pass without a step, as a stopped process does.
func (b *bench) pause(d time.Duration) { b.now += d }

func (b *bench) first(s State, after time.Duration) time.Duration {
	for _, c := range b.log {
		if c.state == s && c.at >= after {
			return c.at
		}
	}
	return -1
}

func (b *bench) want(s State) {
	b.t.Helper()
	if b.state.State != s {
		b.t.Fatalf("at %v: %v (%s): want %v; history %v", b.now, b.state.State, b.state.Reason, s, b.log)
	}
}

func TestDetectionTakesNoLongerThanPromised(t *testing.T) {
	tests := []struct {
		name   string
		timing Timing
		loss   site
		bound  time.Duration
	}{
		{"blackhole with defaults", DefaultTiming, silent(2 * sec), 5200 * ms},
		{"refused with defaults", DefaultTiming, refuses(), 3300 * ms},
		{"blackhole with fast probes", FastTiming, silent(500 * ms), 999 * ms},
		{"refused with fast probes", FastTiming, refuses(), 500 * ms},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var worst time.Duration
			for i := range 400 {
				lost := 20*sec + time.Duration(i)*23*ms
				b := newBench(t, test.timing, phases(answers(40*ms), lost, test.loss))
				b.policy.Phase += uint64(i)
				b.run(lost + 10*sec)
				down := b.first(StateDown, 0)
				if down < 0 {
					t.Fatalf("lost at %v: never down: %v", lost, b.log)
				}
				worst = max(worst, down-lost)
			}
			if worst > test.bound {
				t.Errorf("worst detection %v: want at most %v", worst, test.bound)
			}
			if worst < test.bound*2/3 {
				t.Errorf("worst detection %v: the bound %v is not being tried", worst, test.bound)
			}
		})
	}
}

func TestProbesUnderWayAreBounded(t *testing.T) {
	b := newBench(t, DefaultTiming, phases(answers(ms), 10*sec, silent(2*sec)))
	b.run(2 * time.Minute)
	if b.most > DefaultTiming.Fall {
		t.Errorf("%d probes at once: want at most %d", b.most, DefaultTiming.Fall)
	}
	b = newBench(t, DefaultTiming, answers(ms))
	b.run(100 * sec)
	if b.probes < 45 || b.probes > 60 {
		t.Errorf("%d probes in 100 s of a settled target: want about 50", b.probes)
	}
}

func TestFirstDecisionIsFast(t *testing.T) {
	tests := []struct {
		name string
		site site
		want State
		soft bool
		by   time.Duration
	}{
		{"up after two successes", answers(ms), StateUp, false, 1100 * ms},
		{"down after three failures", refuses(), StateDown, false, 1600 * ms},
		{"softly down after three soft failures", notReady(), StateDown, true, 1600 * ms},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t, DefaultTiming, test.site)
			b.run(test.by)
			b.want(test.want)
			if b.state.Soft != test.soft {
				t.Errorf("soft %v: want %v", b.state.Soft, test.soft)
			}
		})
	}
	t.Run("a target that was never up is not held back", func(t *testing.T) {
		b := newBench(t, DefaultTiming, phases(refuses(), 30*sec, answers(ms)))
		b.run(30*sec + 4*2200*ms + 100*ms)
		b.want(StateUp)
	})
}

func TestOneLostProbeIsSuspicionOnly(t *testing.T) {
	lost := false
	b := newBench(t, DefaultTiming, func(at time.Duration) (Result, time.Duration) {
		if at > 20*sec && !lost {
			lost = true
			return refuses()(at)
		}
		return answers(ms)(at)
	})
	b.run(26 * sec)
	b.want(StateUp)
	if b.first(StateSuspect, 20*sec) < 0 || b.first(StateDown, 0) >= 0 {
		t.Errorf("history %v: want suspect, never down", b.log)
	}
	e := b.state.Evidence(shopV4, b.now, b.policy)
	if e.Held < 24*sec || e.Age > 6*sec {
		t.Errorf("state for %v, opinion for %v: want the opinion to have outlived the suspicion", e.Age, e.Held)
	}
	if e.Back {
		t.Error("a suspicion that was cleared counts as a return")
	}
}

func TestLateTimeoutIsOldNews(t *testing.T) {
	// Three probes are swallowed, but the fourth is answered before their time-outs are in.
	b := newBench(t, DefaultTiming, phases(answers(ms), 20*sec, silent(2*sec), 21900*ms, answers(ms)))
	b.policy.Timing.Fall = 5
	b.run(40 * sec)
	b.want(StateUp)
	if b.first(StateSuspect, 0) >= 0 || b.first(StateDown, 0) >= 0 {
		t.Errorf("history %v: want no doubt about a site that has answered since", b.log)
	}
	if b.state.loss.bits == 0 {
		t.Error("the lost probes are not remembered")
	}
}

func TestReentry(t *testing.T) {
	outage := phases(answers(ms), 20*sec, refuses(), 60*sec, answers(ms))
	t.Run("takes rise successes and the hold", func(t *testing.T) {
		b := newBench(t, DefaultTiming, outage)
		b.run(2 * time.Minute)
		up := b.first(StateUp, 60*sec)
		if up < 80*sec || up > 60*sec+20*sec+2*2200*ms+50*ms {
			t.Errorf("up again at %v: want after the hold of 20 s from the first success", up)
		}
		if !b.state.Evidence(shopV4, b.now, b.policy).Back {
			t.Error("want a return to be known as one")
		}
	})
	t.Run("takes only rise successes where the site is needed", func(t *testing.T) {
		b := newBench(t, DefaultTiming, outage)
		b.policy.Needed = true
		b.run(2 * time.Minute)
		if up := b.first(StateUp, 60*sec); up < 66*sec-700*ms || up > 60*sec+4*2200*ms+50*ms {
			t.Errorf("up again at %v: want after four successes", up)
		}
	})
	t.Run("begins anew with every failure", func(t *testing.T) {
		b := newBench(t, DefaultTiming, phases(answers(ms), 20*sec, refuses(), 60*sec,
			answers(ms), 75*sec, refuses(), 77500*ms, answers(ms)))
		b.run(3 * time.Minute)
		if up := b.first(StateUp, 60*sec); up < 97500*ms {
			t.Errorf("up again at %v: want the hold to start over at 77.5 s", up)
		}
	})
	t.Run("is delayed more after every fall, and no fall is", func(t *testing.T) {
		flapping := func(at time.Duration) (Result, time.Duration) {
			if at/(40*sec)%2 == 0 {
				return answers(ms)(at)
			}
			return refuses()(at)
		}
		b := newBench(t, DefaultTiming, flapping)
		b.run(6 * time.Minute)
		var last time.Duration
		for _, c := range b.log {
			if c.state != StateDown || b.state.flap.penalty == 0 {
				continue
			}
			if since := (c.at - 40*sec) % (80 * sec); c.at > 40*sec && since > 3300*ms && since < 40*sec {
				t.Errorf("down at %v: want within 3.3 s of a loss", c.at)
			}
			last = c.at
		}
		if last == 0 || b.state.flap.hold <= 20*sec {
			t.Errorf("hold %v after flapping: want it longer than at first", b.state.flap.hold)
		}
	})
}

func TestIntermittentLoss(t *testing.T) {
	lossy := func(lost, of int) site {
		n := 0
		return func(at time.Duration) (Result, time.Duration) {
			n++
			if n > 20 && n%of < lost {
				return refuses()(at)
			}
			return answers(ms)(at)
		}
	}
	tests := []struct {
		name     string
		lost, of int
		want     State
		soft     bool
	}{
		{"one in ten is borne", 1, 10, StateUp, false},
		{"one in three is a soft failure", 1, 3, StateDown, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t, DefaultTiming, lossy(test.lost, test.of))
			b.policy.Timing.Recheck = b.policy.Timing.Interval
			b.run(3 * time.Minute)
			down := b.first(StateDown, 0) >= 0
			if down != (test.want == StateDown) || b.state.Soft != test.soft {
				t.Errorf("down %v, soft %v (%s): want %v, %v", down, b.state.Soft, b.state.Reason, test.want, test.soft)
			}
		})
	}
	t.Run("three in five is a hard failure though never three in a row", func(t *testing.T) {
		// Soft at 25 %; from there a streak of hard failures is what makes it hard, so count on one going 0 to 60 %.
		var w lossWindow
		for i := range lossProbes {
			w.add(i%5 < 3)
		}
		if w.hard() == "" {
			t.Error("12 of 20 lost: want a hard failure")
		}
	})
}

func TestSlow(t *testing.T) {
	t.Run("a slow site fails softly and its base stays", func(t *testing.T) {
		b := newBench(t, DefaultTiming, phases(answers(40*ms), 60*sec, answers(900*ms)))
		b.run(3 * time.Minute)
		b.want(StateDown)
		if !b.state.Soft || !strings.Contains(b.state.Reason, "slow") {
			t.Errorf("soft %v, %q: want soft and slow", b.state.Soft, b.state.Reason)
		}
		if b.state.latency.base > 60*ms {
			t.Errorf("base %v: want the 40 ms of before", b.state.latency.base)
		}
	})
	t.Run("three times a short base is not slow", func(t *testing.T) {
		b := newBench(t, DefaultTiming, phases(answers(40*ms), 60*sec, answers(200*ms)))
		b.run(3 * time.Minute)
		b.want(StateUp)
	})
	t.Run("single slow answers are not slow", func(t *testing.T) {
		n := 0
		b := newBench(t, DefaultTiming, func(at time.Duration) (Result, time.Duration) {
			if n++; n%4 == 0 {
				return answers(900 * ms)(at)
			}
			return answers(40 * ms)(at)
		})
		b.run(3 * time.Minute)
		b.want(StateUp)
	})
}

func TestHardAndSoftDown(t *testing.T) {
	t.Run("soft becomes hard", func(t *testing.T) {
		b := newBench(t, DefaultTiming, phases(answers(ms), 20*sec, notReady(), 40*sec, refuses()))
		b.run(39 * sec)
		b.want(StateDown)
		if !b.state.Soft {
			t.Fatal("hard: want soft first")
		}
		b.run(60 * sec)
		if b.state.Soft {
			t.Error("soft: want hard after three refusals")
		}
		if e := b.state.Evidence(shopV4, b.now, b.policy); e.Held > 18*sec {
			t.Errorf("held %v: want it counted from the hard failure", e.Held)
		}
	})
	t.Run("hard becomes soft only after the hold", func(t *testing.T) {
		b := newBench(t, DefaultTiming, phases(answers(ms), 20*sec, refuses(), 40*sec, notReady()))
		b.run(58 * sec)
		if b.state.Soft {
			t.Fatal("soft before the hold is over")
		}
		b.run(70 * sec)
		b.want(StateDown)
		if !b.state.Soft {
			t.Error("hard: want soft, it answers again")
		}
	})
}

func TestLocalFaultIsNeverAFailure(t *testing.T) {
	for _, before := range []site{answers(ms), refuses()} {
		b := newBench(t, DefaultTiming, phases(before, 20*sec, blind()))
		b.run(20 * sec)
		was := b.state.State
		b.run(24 * sec)
		b.want(was)
		b.run(40 * sec)
		b.want(StateUnknown)
		if !strings.Contains(b.state.Reason, "too many open files") {
			t.Errorf("reason %q: want it to name the fault", b.state.Reason)
		}
	}
	t.Run("after which a site that was up is up at once", func(t *testing.T) {
		b := newBench(t, DefaultTiming, phases(answers(ms), 20*sec, blind(), 60*sec, answers(ms)))
		b.run(65 * sec)
		b.want(StateUp)
	})
	t.Run("and a site that was down still has to prove itself", func(t *testing.T) {
		b := newBench(t, DefaultTiming, phases(answers(ms), 10*sec, refuses(), 20*sec, blind(), 60*sec, answers(ms)))
		b.run(70 * sec)
		b.want(StateRecovering)
		b.run(90 * sec)
		b.want(StateUp)
	})
}

func TestPausedNodePublishesNoFailure(t *testing.T) {
	for _, fast := range []bool{false, true} {
		timing := DefaultTiming
		if fast {
			timing = FastTiming
		}
		for _, stop := range []time.Duration{700 * ms, 3 * sec, 10 * time.Minute} {
			for i := range 40 {
				for _, resultFirst := range []bool{false, true} {
					t.Run("", func(t *testing.T) {
						b := newBench(t, timing, answers(30*ms))
						b.run(20*sec + time.Duration(i)*7*ms)
						b.want(StateUp)
						// Mostly it is stopped with a probe under way, which times out while nobody looks.
						for i%4 > 0 && len(b.reports) == 0 {
							b.run(b.now + ms)
						}
						b.pause(stop)
						for j := range b.reports {
							b.reports[j].result = Result{Outcome: HardFail, Detail: "timeout"}
							b.reports[j].at = b.now
						}
						if !resultFirst {
							b.step(Event{Kind: EventTick})
						}
						b.run(b.now + 10*sec)
						for _, c := range b.log {
							if c.state == StateDown || stop >= 3*sec && c.state == StateSuspect {
								t.Fatalf("paused for %v at %v: history %v", stop, 20*sec, b.log)
							}
						}
						b.want(StateUp)
					})
				}
			}
		}
	}
}

func TestPeerAlertProbesAtOnce(t *testing.T) {
	b := newBench(t, DefaultTiming, phases(answers(ms), 20*sec, refuses()))
	b.run(19 * sec)
	for b.now-b.state.start < 600*ms {
		b.run(b.now + 100*ms)
	}
	before := b.probes
	b.step(Event{Kind: EventAlert})
	if b.probes != before+1 {
		t.Fatal("alert: want a probe now")
	}
	b.step(Event{Kind: EventAlert})
	if b.probes != before+1 {
		t.Error("a second alert at once: want no second probe")
	}
	b.run(40 * sec)
	b.want(StateDown)
	before = b.probes
	b.step(Event{Kind: EventAlert})
	if b.probes != before {
		t.Error("alert about a target that is down: want no probe")
	}
}

func TestLostReportDoesNotStopTheProbing(t *testing.T) {
	b := newBench(t, DefaultTiming, answers(ms))
	b.run(10 * sec)
	for range 12 {
		b.reports = nil // the caller loses every report
		b.now = b.wake
		b.step(Event{Kind: EventTick})
	}
	b.reports = nil
	before := b.probes
	b.run(b.now + 60*sec)
	if b.probes < before+20 {
		t.Errorf("%d probes in a minute: want probing to go on", b.probes-before)
	}
	b.want(StateUp)
}

func TestStepIsAFunction(t *testing.T) {
	b := newBench(t, DefaultTiming, phases(answers(40*ms), 20*sec, refuses(), 30*sec, answers(40*ms)))
	for range 200 {
		s, e := b.state, Event{Kind: EventTick}
		s1, a1 := StepObserver(s, e, b.now+sec, b.policy)
		s2, a2 := StepObserver(s, e, b.now+sec, b.policy)
		if s1 != s2 || a1 != a2 || s != b.state {
			t.Fatalf("at %v: equal inputs gave %v and %v", b.now, a1, a2)
		}
		b.run(b.now + 300*ms)
	}
}

func TestPhaseSpreadsNodes(t *testing.T) {
	seen := map[time.Duration]bool{}
	for i := range 100 {
		p := DefaultPolicy.Observer(fmt.Sprintf("node-%d", i), shopV4, Check{Name: "http"})
		_, a := StepObserver(ObserverState{}, Event{Kind: EventTick}, 0, p)
		if a.Wake > p.Timing.Recheck {
			t.Fatalf("first probe at %v: want within %v", a.Wake, p.Timing.Recheck)
		}
		seen[a.Wake/(50*ms)] = true
	}
	if len(seen) < 8 {
		t.Errorf("100 nodes begin in %d of 10 slots: want them spread", len(seen))
	}
}

func TestReasonFitsARecord(t *testing.T) {
	for _, in := range []string{strings.Repeat("ä", 100), "a\nb\x1b[31m", "\xff\xfe", strings.Repeat("x", 95) + "ä"} {
		got := clip(in)
		if err := checkText("reason", got, 0, maxReason); err != nil {
			t.Errorf("clip(%q) = %q: %v", in, got, err)
		}
	}
}
