package health

import (
	"fmt"
	"hash/fnv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// ObserverPolicy is everything but its history that decides what one observer does. [Policy.Observer] makes one.
type ObserverPolicy struct {
	Timing   Timing
	Hold     time.Duration // shortest re-entry hold, see Policy.Hold
	MaxHold  time.Duration // longest
	HalfLife time.Duration // of the flap penalty
	Phase    uint64        // spreads probes, see Phase
	Hash     uint32        // of the check's definition, goes into TargetEvidence.Policy

	// Needed waives the re-entry hold: the pool is short without this site. See Decision.Needed.
	Needed bool
}

// EventKind names what happened to an observer.
type EventKind uint8

// The events.
const (
	// EventTick says that the time of the last Actions.Wake has come. An early tick does no harm; a late one shows
	// that this machine stood still.
	EventTick EventKind = iota
	// EventResult brings the result of one probe.
	EventResult
	// EventAlert says that another node has just begun to suspect the target: look now.
	EventAlert
)

// Event is one input of an observer.
type Event struct {
	Kind    EventKind
	Result  Result        // EventResult only
	Started time.Duration // EventResult only: the now of the step whose Actions.Probe began this probe
}

// Actions is what the caller owes after a step.
type Actions struct {
	Probe   bool          // start a probe now and report its end, whatever it is, by an EventResult
	Publish bool          // the opinion changed: publish evidence now
	Wake    time.Duration // send an EventTick at this time; it replaces the wakes of earlier steps
}

// ObserverState is the memory of one observer. The zero value has seen nothing. It is a value: a step returns the
// next one and leaves the old one as it was.
type ObserverState struct {
	State  State
	Soft   bool   // what is suspected, or what took the target down, is soft
	Reason string // what is wrong, "" when Up

	since    time.Duration // State began
	held     time.Duration // the opinion behind State began
	opinion  State         // last definite opinion: StateUp, StateDown, or StateUnknown before the first
	back     bool          // opinion up followed an opinion down
	streak   streak
	loss     lossWindow
	latency  latency
	flap     flap
	lastGood time.Duration // start of the latest probe that succeeded
	lastBad  time.Duration // start of the latest probe that failed

	began    bool
	first    time.Duration // when the first probe is due
	probes   uint64        // started
	inflight int           // started and not reported
	start    time.Duration // of the latest probe
	answered time.Duration // start of the latest probe that was reported
	wake     time.Duration // the tick that was asked for
	stalled  time.Duration // latest moment at which a stall of this machine was noticed
	usable   time.Duration // latest result that says something about the target
	fault    string        // why the latest result says nothing, "" when it does
	probed   bool
}

// StepObserver folds one event into an observer. now is the time on the caller's monotonic clock, any origin; it
// must not go backwards. Begin with an EventTick on a zero state. p may differ from step to step: history stays.
//
// With Timing's I, T, R (interval, timeout, recheck) a target that falls silent is Down after at most
// 1.1 I + (Fall-1) R + T, one that refuses after 1.1 I + (Fall-1) R + one round trip. To that end a probe that is
// not answered within a soft timeout (three round trips, at least T/8, at most R) is followed by the next one
// without waiting for its end; at most Fall probes are under way at once.
func StepObserver(s ObserverState, e Event, now time.Duration, p ObserverPolicy) (ObserverState, Actions) {
	state, soft := s.State, s.Soft
	if !s.began {
		s.began = true
		s.first = now + time.Duration(p.Phase%uint64(max(p.Timing.Recheck, 1)))
		s.since, s.held, s.usable, s.wake = now, now, now, now
		// Results of probes that an earlier incarnation began must not look newer than what comes.
		s.lastGood, s.lastBad, s.stalled = now-1, now-1, now
	}
	if now-s.wake > p.slack() {
		s.stalled = now
	}
	alert := false
	switch e.Kind {
	case EventResult:
		s.record(e, now, p)
	case EventAlert:
		alert = s.State != StateDown && s.State != StateRecovering
	}
	s.loseProbes(now, p)
	s.forget(now, p)

	var a Actions
	if s.inflight < p.inflightLimit() && (now >= s.due(now, p) || alert && now >= s.start+p.Timing.Recheck) {
		a.Probe = true
		s.probes++
		s.inflight++
		s.start = now
	}
	s.wake = s.nextWake(now, p)
	a.Wake = s.wake
	a.Publish = s.State != state || s.Soft != soft
	return s, a
}

// record folds a finished probe in.
func (s *ObserverState) record(e Event, now time.Duration, p ObserverPolicy) {
	s.probed = true
	s.inflight = max(0, s.inflight-1)
	s.answered = max(s.answered, e.Started)

	r := e.Result
	stood := e.Started < s.stalled || now-e.Started > p.Timing.Timeout+p.slack()
	if stood && r.Outcome != Success {
		r.Outcome, r.Detail = LocalFault, "this machine stood still during the probe"
	}
	if r.Outcome == LocalFault {
		s.fault = r.Detail
		return
	}
	s.usable, s.fault = now, ""
	watching := s.State == StateUp || s.State == StateSuspect
	if watching {
		s.loss.add(r.Outcome == HardFail)
	}
	if r.Outcome != HardFail && !stood {
		s.latency.add(r.RTT, s.State == StateUp)
	}
	if r.Outcome == Success {
		if why := s.latency.slow(); why != "" {
			r.Outcome, r.Detail = SoftFail, why
		}
	}

	// Probes overlap, so that old news can come late: a time-out that began before a success says nothing new.
	if r.Outcome == Success {
		s.lastGood = max(s.lastGood, e.Started)
	} else {
		s.lastBad = max(s.lastBad, e.Started)
	}
	if r.Outcome == Success && e.Started >= s.lastBad || r.Outcome != Success && e.Started >= s.lastGood {
		s.streak.add(r.Outcome, now)
		s.judge(r.Outcome, r.Detail, now, p)
	}
	if watching && s.State != StateDown {
		if why := s.loss.hard(); why != "" {
			s.fall(false, why, now, p)
		} else if why := s.loss.soft(); why != "" {
			s.fall(true, why, now, p)
		}
	}
}

// loseProbes gives up probes whose end was never reported, so that a caller's slip cannot stop the probing.
func (s *ObserverState) loseProbes(now time.Duration, p ObserverPolicy) {
	if s.inflight > 0 && now > s.start+p.Timing.Timeout+p.slack() {
		s.inflight = 0
		s.fault = "the probe did not report back"
	}
}

// forget drops an opinion that no usable probe has renewed. A machine that stood still wakes up without opinions.
func (s *ObserverState) forget(now time.Duration, p ObserverPolicy) {
	if s.State == StateUnknown || now-s.usable <= p.unknownAfter() {
		return
	}
	s.set(StateUnknown, now)
	s.streak = streak{}
	s.Soft = false
	s.Reason = fmt.Sprintf("no usable probe for %v", (now - s.usable).Truncate(100*time.Millisecond))
	if s.fault != "" {
		s.Reason += ": " + s.fault
	}
}

// due returns when the next probe is to start.
func (s *ObserverState) due(now time.Duration, p ObserverPolicy) time.Duration {
	if s.probes == 0 {
		return s.first
	}
	hurried := s.State == StateSuspect ||
		s.State == StateUnknown && s.fault == "" ||
		s.waiting() && now >= s.start+s.softTimeout(p)
	if hurried {
		return s.start + min(p.Timing.Recheck, p.Timing.Interval)
	}
	return s.start + jitter(p.Timing.Interval, p.Phase+s.probes)
}

func (s *ObserverState) nextWake(now time.Duration, p ObserverPolicy) time.Duration {
	if s.inflight >= p.inflightLimit() {
		return max(now, s.start+p.Timing.Timeout+p.slack()) + 1
	}
	at := s.due(now, p)
	if s.waiting() {
		if soft := s.start + s.softTimeout(p); soft > now {
			at = min(at, soft)
		}
	}
	return max(at, now+1)
}

// waiting says that the latest probe has not been reported.
func (s *ObserverState) waiting() bool { return s.inflight > 0 && s.answered < s.start }

func (s *ObserverState) softTimeout(p ObserverPolicy) time.Duration {
	return min(max(3*s.latency.smoothed, p.Timing.Timeout/8), p.Timing.Recheck)
}

// slack is how late a tick or a result may be before it shows that this machine stood still.
func (p ObserverPolicy) slack() time.Duration { return max(p.Timing.Timeout/4, 200*time.Millisecond) }

func (p ObserverPolicy) unknownAfter() time.Duration {
	return 3*p.Timing.Interval + p.Timing.Timeout + p.slack()
}

func (p ObserverPolicy) inflightLimit() int { return max(p.Timing.Fall, 1) }

// Evidence returns what the observer says about t at time now.
func (s ObserverState) Evidence(t Target, now time.Duration, p ObserverPolicy) TargetEvidence {
	return TargetEvidence{
		Target: t, State: s.State, Soft: s.Soft,
		Age: max(0, now-s.since), Held: max(0, now-s.held), Back: s.back && s.State.opinion() == StateUp,
		RTT: s.latency.smoothed, Policy: p.Hash, Reason: clip(s.Reason),
	}
}

// Probed says whether any probe has finished. Evidence is Warm until all observers of a node have probed.
func (s ObserverState) Probed() bool { return s.probed }

// Observer returns the policy of the observer of t on node. Zero fields of the check's timing take DefaultTiming's.
func (p Policy) Observer(node string, t Target, c Check) ObserverPolicy {
	return ObserverPolicy{
		Timing: c.Timing.orDefault(),
		Hold:   p.Hold, MaxHold: p.MaxHold, HalfLife: p.FlapHalfLife,
		Phase: Phase(node, t), Hash: c.Hash(),
	}
}

// Phase is the hash of (node, target) that keeps nodes from probing in step.
func Phase(node string, t Target) uint64 {
	h := fnv.New64a()
	h.Write([]byte(node + "\x00" + t.Site + "\x00" + t.Check + "\x00" + t.Family.String()))
	return h.Sum64()
}

// jitter spreads d by +-10 %, by seed.
func jitter(d time.Duration, seed uint64) time.Duration {
	// The finalizer of splitmix64.
	z := seed * 0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	z ^= z >> 31
	return d - d/10 + time.Duration(z%uint64(d/5+1))
}

// clip makes a reason fit for a record: one line of printable UTF-8, cut at a rune's border.
func clip(s string) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	n := min(len(s), maxReason)
	for n < len(s) && n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
