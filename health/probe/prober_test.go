package probe

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/meridian-gtm/meridian/health"
)

// world is a network of which the test says how each address behaves. All VIPs answer until told otherwise.
type world struct {
	mu     sync.Mutex
	errs   map[string]error // address -> what a connection fails with
	silent map[string]bool  // address -> connections get no answer
	dials  map[string]int
	open   int
	most   int // connections being made at once
}

func newWorld() *world {
	return &world{errs: map[string]error{}, silent: map[string]bool{}, dials: map[string]int{}}
}

func (w *world) set(addr string, err error) { w.mu.Lock(); defer w.mu.Unlock(); w.errs[addr] = err }
func (w *world) hush(addr string, on bool)  { w.mu.Lock(); defer w.mu.Unlock(); w.silent[addr] = on }
func (w *world) dialled(addr string) int    { w.mu.Lock(); defer w.mu.Unlock(); return w.dials[addr] }

// all makes every address fail alike.
func (w *world) all(err error, addrs ...string) {
	for _, a := range addrs {
		w.set(a, err)
	}
}

const roundTrip = 10 * time.Millisecond

func (w *world) dial(ctx context.Context, _, address string) (net.Conn, error) {
	w.mu.Lock()
	w.dials[address]++
	w.open++
	w.most = max(w.most, w.open)
	silent, err := w.silent[address], w.errs[address]
	w.mu.Unlock()
	defer func() { w.mu.Lock(); w.open--; w.mu.Unlock() }()
	if silent {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(roundTrip):
	}
	if err != nil {
		return nil, &net.OpError{Op: "dial", Err: err}
	}
	near, far := net.Pipe()
	far.Close()
	return near, nil
}

func addrOf(i int) string { return fmt.Sprintf("192.0.2.%d:80", i) }

// targetOf is a TCP check of VIP i.
func targetOf(i int) Target {
	check := health.Check{Name: "port", Kind: health.TCP, Port: 80, Timing: health.DefaultTiming}
	id := health.Target{Site: fmt.Sprintf("site-%02d", i), Check: "port", Family: health.V4}
	return Target{
		ID: id, Addr: netip.MustParseAddrPort(addrOf(i)), Check: check,
		Policy: health.DefaultPolicy.Observer("node", id, check),
	}
}

func targetsOf(is ...int) (out []Target) {
	for _, i := range is {
		out = append(out, targetOf(i))
	}
	return out
}

// run runs a prober in a bubble of virtual time until test returns, and then waits for it to end.
func run(t *testing.T, targets []Target, o Options, test func(p *Prober)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		p := New(targets, o)
		done := make(chan error, 1)
		go func() { done <- p.Run(ctx) }()
		test(p)
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
}

// until waits for cond, looking every 10 ms of virtual time, and returns how long it took.
func until(t *testing.T, limit time.Duration, what string, cond func() bool) time.Duration {
	t.Helper()
	begin := time.Now()
	for !cond() {
		if time.Since(begin) > limit {
			t.Fatalf("%s: not within %v", what, limit)
		}
		time.Sleep(10 * time.Millisecond)
	}
	return time.Since(begin)
}

func (p *Prober) stateOf(i int) health.State {
	for _, e := range p.Evidence() {
		if e.Target == targetOf(i).ID {
			return e.State
		}
	}
	return 255
}

func (p *Prober) allUp(is ...int) func() bool {
	return func() bool {
		return !slices.ContainsFunc(is, func(i int) bool { return p.stateOf(i) != health.StateUp })
	}
}

func TestFirstRound(t *testing.T) {
	w := newWorld()
	w.hush(addrOf(3), true)
	run(t, targetsOf(3, 1, 2), Options{Dial: w.dial}, func(p *Prober) {
		<-p.Changed() // there are targets
		until(t, time.Second, "two probed", func() bool { done, all := p.Progress(); return done == 2 && all == 3 })
		if p.Round() {
			t.Error("the round has ended before the last probe")
		}
		until(t, 3*time.Second, "the first round", p.Round)
		<-p.Changed()
		until(t, time.Second, "1 and 2 up", p.allUp(1, 2))

		got := p.Evidence()
		var order []string
		for _, e := range got {
			order = append(order, e.Target.Site)
			if want := targetOf(1).Check.Hash(); e.Policy != want {
				t.Errorf("%v: policy %x: want the hash of the check, %x", e.Target, e.Policy, want)
			}
		}
		if want := []string{"site-01", "site-02", "site-03"}; !slices.Equal(order, want) {
			t.Errorf("evidence about %v: want %v", order, want)
		}
		if got[0].RTT != roundTrip {
			t.Errorf("round trip %v: want %v", got[0].RTT, roundTrip)
		}

		p.Update(targetsOf(1, 2, 3, 4))
		if !p.Round() {
			t.Error("a new target undid the first round")
		}
	})
}

func TestDetectionTimes(t *testing.T) {
	for name, tt := range map[string]struct {
		lose  func(*world)
		limit time.Duration
	}{
		"refusal":   {func(w *world) { w.set(addrOf(1), syscall.ECONNREFUSED) }, 3300 * time.Millisecond},
		"blackhole": {func(w *world) { w.hush(addrOf(1), true) }, 5200 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			run(t, targetsOf(1, 2), Options{Dial: w.dial}, func(p *Prober) {
				until(t, 5*time.Second, "up", p.allUp(1, 2))
				tt.lose(w)
				until(t, tt.limit, "down", func() bool { return p.stateOf(1) == health.StateDown })
				if !p.allUp(2)() {
					t.Error("the other target is not up")
				}
			})
		})
	}
}

func TestPublishesChanges(t *testing.T) {
	w := newWorld()
	run(t, targetsOf(1), Options{Dial: w.dial}, func(p *Prober) {
		until(t, 5*time.Second, "up", p.allUp(1))
		time.Sleep(10 * time.Second)
		<-p.Changed()
		time.Sleep(time.Minute)
		select {
		case <-p.Changed():
			t.Error("a settled target is news")
		default:
		}
		w.set(addrOf(1), syscall.ECONNREFUSED)
		begin := time.Now()
		<-p.Changed()
		if p.stateOf(1) != health.StateSuspect || time.Since(begin) > 2300*time.Millisecond {
			t.Errorf("state %v after %v: want suspect with the first failure", p.stateOf(1), time.Since(begin))
		}
	})
}

func TestHungProbesDelayNobody(t *testing.T) {
	w := newWorld()
	var is []int
	for i := range 40 {
		is = append(is, i+1)
	}
	hung := is[:8]
	for _, i := range hung {
		w.hush(addrOf(i), true)
	}
	// Silent targets have up to three probes under way each: 24 of the 32 places are always taken.
	run(t, targetsOf(is...), Options{Dial: w.dial, Concurrency: 32}, func(p *Prober) {
		until(t, 5*time.Second, "the others up", p.allUp(is[8:]...))
		time.Sleep(time.Minute)
		before := w.dialled(addrOf(40))
		time.Sleep(time.Minute)
		if n := w.dialled(addrOf(40)) - before; n < 27 || n > 34 {
			t.Errorf("%d probes in a minute: want 30, +-10 %%", n)
		}
		for _, i := range hung {
			if p.stateOf(i) != health.StateDown {
				t.Errorf("silent target %d is %v", i, p.stateOf(i))
			}
		}
	})
}

func TestConcurrencyIsBounded(t *testing.T) {
	w := newWorld()
	var is []int
	for i := range 30 {
		is = append(is, i+1)
		w.hush(addrOf(i+1), true)
	}
	run(t, targetsOf(is...), Options{Dial: w.dial, Concurrency: 5}, func(p *Prober) {
		time.Sleep(10 * time.Second)
		if s := p.Stats(); s.Running != 5 || s.Waiting == 0 {
			t.Errorf("%d under way and %d waiting: want 5 and some", s.Running, s.Waiting)
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.most != 5 {
			t.Errorf("%d probes at once: want 5", w.most)
		}
	})
}

func TestUpdateKeepsWhatStays(t *testing.T) {
	w := newWorld()
	w.set(addrOf(2), syscall.ECONNREFUSED)
	run(t, targetsOf(1, 2, 3), Options{Dial: w.dial}, func(p *Prober) {
		until(t, 5*time.Second, "1 up", p.allUp(1))
		until(t, 5*time.Second, "2 down", func() bool { return p.stateOf(2) == health.StateDown })
		time.Sleep(time.Minute)

		faster := targetOf(1)
		faster.Check.Timing.Interval = 500 * time.Millisecond
		faster.Policy = health.DefaultPolicy.Observer("node", faster.ID, faster.Check)
		other := targetOf(2)
		other.Check.Kind = health.HTTP
		p.Update([]Target{faster, other, targetOf(4)})

		got := p.Evidence()
		if len(got) != 3 {
			t.Fatalf("evidence about %d targets: want 3", len(got))
		}
		if got[0].State != health.StateUp || got[0].Age < time.Minute || got[0].Policy != faster.Check.Hash() {
			t.Errorf("another pace: %+v: want it up since long, under the new hash", got[0])
		}
		if got[1].State != health.StateUnknown || got[2].State != health.StateUnknown {
			t.Errorf("another check and a new target: %+v: want both unknown", got[1:])
		}
		time.Sleep(100 * time.Millisecond) // what was under way ends
		gone, before := w.dialled(addrOf(3)), w.dialled(addrOf(1))
		time.Sleep(10 * time.Second)
		if n := w.dialled(addrOf(3)); n != gone {
			t.Errorf("%d probes of a target that is gone", n-gone)
		}
		if n := w.dialled(addrOf(1)) - before; n < 18 || n > 22 {
			t.Errorf("%d probes in 10 s at an interval of 500 ms", n)
		}
		if !p.allUp(4)() {
			t.Error("the new target is not up")
		}
	})
}

func TestUpdateDropsResultsOfWhatIsGone(t *testing.T) {
	w := newWorld()
	w.hush(addrOf(1), true)
	run(t, targetsOf(1), Options{Dial: w.dial}, func(p *Prober) {
		until(t, time.Second, "a probe under way", func() bool { return p.Stats().Running > 0 })
		p.Update(nil)
		time.Sleep(5 * time.Second)
		if s := p.Stats(); s.Running != 0 || len(p.Evidence()) != 0 || !p.Round() {
			t.Errorf("%+v, evidence %v: want nothing left", s, p.Evidence())
		}
	})
}

func TestPokeLooksNow(t *testing.T) {
	w := newWorld()
	slow := targetOf(1)
	slow.Check.Timing.Interval = time.Hour
	slow.Policy = health.DefaultPolicy.Observer("node", slow.ID, slow.Check)
	run(t, []Target{slow}, Options{Dial: w.dial}, func(p *Prober) {
		until(t, 5*time.Second, "up", p.allUp(1))
		time.Sleep(time.Minute)
		before := w.dialled(addrOf(1))
		p.Poke(health.Target{Site: "nowhere"})
		p.Poke(slow.ID)
		synctest.Wait()
		if n := w.dialled(addrOf(1)); n != before+1 {
			t.Errorf("%d probes after an alert: want 1", n-before)
		}
	})
}

func TestNeededTargetsReturnAtOnce(t *testing.T) {
	held := func(needed bool) (d time.Duration) {
		w := newWorld()
		run(t, targetsOf(1), Options{Dial: w.dial}, func(p *Prober) {
			until(t, 5*time.Second, "up", p.allUp(1))
			w.set(addrOf(1), syscall.ECONNREFUSED)
			until(t, 5*time.Second, "down", func() bool { return p.stateOf(1) == health.StateDown })
			p.Needed(health.Target{Site: "nowhere"}, needed)
			p.Needed(targetOf(1).ID, needed)
			p.Update(targetsOf(1)) // a reload does not forget it
			w.set(addrOf(1), nil)
			d = until(t, time.Minute, "up again", p.allUp(1))
		})
		return d
	}
	if d := held(false); d < health.DefaultPolicy.Hold {
		t.Errorf("back after %v: want the hold of %v", d, health.DefaultPolicy.Hold)
	}
	if d := held(true); d > 10*time.Second {
		t.Errorf("needed, and back after %v: want at most 10s", d)
	}
}

func TestLocalFaultsAreNobodysFailure(t *testing.T) {
	w := newWorld()
	run(t, targetsOf(1, 2, 3), Options{Dial: w.dial}, func(p *Prober) {
		until(t, 5*time.Second, "up", p.allUp(1, 2, 3))
		for _, err := range []error{syscall.EMFILE, syscall.ENETUNREACH} {
			w.all(err, addrOf(1), addrOf(2), addrOf(3))
			for range 100 {
				time.Sleep(100 * time.Millisecond)
				for _, e := range p.Evidence() {
					if e.State == health.StateDown || e.State == health.StateSuspect {
						t.Fatalf("%v made %v %+v", err, e.Target, e)
					}
				}
			}
			time.Sleep(10 * time.Second)
			for _, e := range p.Evidence() {
				if e.State != health.StateUnknown {
					t.Errorf("20 s of %v: %+v: want unknown", err, e)
				}
			}
			w.all(nil, addrOf(1), addrOf(2), addrOf(3))
			until(t, 10*time.Second, "up again", p.allUp(1, 2, 3))
		}
	})
}

func TestOneUnroutedTargetIsDown(t *testing.T) {
	w := newWorld()
	run(t, targetsOf(1, 2), Options{Dial: w.dial}, func(p *Prober) {
		until(t, 5*time.Second, "up", p.allUp(1, 2))
		w.set(addrOf(1), syscall.ENETUNREACH)
		until(t, 10*time.Second, "1 down", func() bool { return p.stateOf(1) == health.StateDown })
		if !p.allUp(2)() {
			t.Error("the routed target is not up")
		}
		w.set(addrOf(1), nil)
		until(t, time.Minute, "1 up again", p.allUp(1))
	})
}

func TestWitnesses(t *testing.T) {
	w := newWorld()
	one, two := netip.MustParseAddrPort("192.0.2.250:53"), netip.MustParseAddrPort("192.0.2.251:53")
	w.hush(one.String(), true)
	run(t, nil, Options{Dial: w.dial, Witnesses: []netip.AddrPort{one, two}}, func(p *Prober) {
		if _, ok := p.WitnessAge(); ok || p.Witnessed() {
			t.Error("witnessed before anybody was asked")
		}
		until(t, 100*time.Millisecond, "one of two answers", p.Witnessed)
		time.Sleep(time.Minute)
		if age, ok := p.WitnessAge(); !ok || age > 2*time.Second || !p.Witnessed() {
			t.Errorf("last answer %v ago, ever %v: want it within 2s", age, ok)
		}
		drain(p)
		w.set(two.String(), syscall.ECONNREFUSED)
		until(t, 4*time.Second+roundTrip, "no answer", func() bool { return !p.Witnessed() })
		select {
		case <-p.Changed():
		default:
			t.Error("the silence of the witnesses is no news")
		}
		time.Sleep(10 * time.Second)
		if age, ok := p.WitnessAge(); !ok || age < 10*time.Second {
			t.Errorf("last answer %v ago, ever %v: want more than 10s", age, ok)
		}

		w.set(two.String(), nil)
		p.Watch([]netip.AddrPort{two})
		until(t, 4*time.Second, "an answer again", p.Witnessed)
		p.Watch(nil)
		if p.Witnessed() {
			t.Error("witnessed by nobody")
		}
		before := w.dialled(two.String())
		time.Sleep(10 * time.Second)
		if n := w.dialled(two.String()); n != before {
			t.Errorf("asked %d times after it was dropped", n-before)
		}
	})
}

func drain(p *Prober) {
	select {
	case <-p.Changed():
	default:
	}
}

func TestCounts(t *testing.T) {
	w := newWorld()
	w.set(addrOf(2), syscall.ECONNREFUSED)
	run(t, targetsOf(1, 2), Options{Dial: w.dial}, func(p *Prober) {
		time.Sleep(time.Minute)
		var got []Count
		for _, c := range p.Stats().Counts {
			if c.N < 20 {
				t.Errorf("%+v: want about 30 in a minute", c)
			}
			c.N = 0
			got = append(got, c)
		}
		want := []Count{
			{Kind: health.TCP, Outcome: health.Success, Reason: "ok"},
			{Kind: health.TCP, Outcome: health.HardFail, Reason: "refused"},
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("counts (-want +got):\n%s", d)
		}
	})
}

func TestStallsAreNoticed(t *testing.T) {
	synctest.Test(t, func(*testing.T) {
		w := newWorld()
		p := New(targetsOf(1), Options{Dial: w.dial})
		time.Sleep(10 * time.Second) // not started yet: no stall
		p.next()
		time.Sleep(10 * time.Second)
		p.next()
		if n := p.Stats().Stalls; n != 1 {
			t.Errorf("%d stalls: want 1", n)
		}
	})
}

func TestRunEndsWithHungProbes(t *testing.T) {
	w := newWorld()
	w.hush(addrOf(1), true)
	w.hush("192.0.2.250:53", true)
	o := Options{Dial: w.dial, Witnesses: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.250:53")}}
	var stopped *Prober
	run(t, targetsOf(1), o, func(p *Prober) {
		until(t, time.Second, "a probe under way", func() bool { return p.Stats().Running > 0 })
		stopped = p
	})
	if s := stopped.Stats(); s.Running != 0 {
		t.Errorf("%d probes outlived Run", s.Running)
	}
}
