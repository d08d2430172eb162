package health

import (
	"fmt"
	"time"
)

// initialRise is how many successes in a row a target without history needs: nobody is waiting for it to prove
// itself again.
const initialRise = 2

// streak counts results in a row, in the order in which the probes began.
type streak struct {
	good       int           // successes
	hard       int           // hard failures
	bad        int           // failures, hard or soft
	alive      int           // anything but hard failures
	aliveSince time.Duration // when alive left 0
}

func (k *streak) add(o Outcome, now time.Duration) {
	switch o {
	case Success:
		k.good, k.hard, k.bad = k.good+1, 0, 0
	case SoftFail:
		k.good, k.hard, k.bad = 0, 0, k.bad+1
	case HardFail:
		k.good, k.hard, k.bad, k.alive = 0, k.hard+1, k.bad+1, 0
		return
	}
	if k.alive == 0 {
		k.aliveSince = now
	}
	k.alive++
}

// opinion is the state reduced to what it votes.
func (s State) opinion() State {
	switch s {
	case StateUp, StateSuspect:
		return StateUp
	case StateDown, StateRecovering:
		return StateDown
	default:
		return StateUnknown
	}
}

// judge moves the state after a result that is news.
func (s *ObserverState) judge(o Outcome, why string, now time.Duration, p ObserverPolicy) {
	t := p.Timing
	switch {
	case s.State == StateDown || s.State == StateRecovering || s.State == StateUnknown && s.opinion == StateDown:
		s.judgeDown(o, why, now, p)
	case o == Success:
		s.judgeGood(now, t)
	case s.streak.hard >= t.Fall:
		s.fall(false, why, now, p)
	case s.streak.bad >= t.Fall:
		s.fall(true, why, now, p)
	default:
		s.Soft, s.Reason = s.streak.hard == 0, fmt.Sprintf("%d of %d: %s", s.streak.bad, t.Fall, why)
		if s.State == StateUp {
			s.set(StateSuspect, now)
		}
	}
}

// judgeGood handles a success while the target is not held down.
func (s *ObserverState) judgeGood(now time.Duration, t Timing) {
	switch {
	case s.State == StateUnknown && s.streak.good >= min(initialRise, t.Rise):
		s.back = false
		s.rise(now)
	case s.State == StateSuspect && s.streak.good >= t.OK:
		s.set(StateUp, now)
		s.Soft, s.Reason = false, ""
	}
}

// judgeDown handles a result while the target is held down. Coming back takes Rise successes in a row and the
// re-entry hold, counted from the first of them.
func (s *ObserverState) judgeDown(o Outcome, why string, now time.Duration, p ObserverPolicy) {
	t := p.Timing
	free := func(since time.Duration) bool { return p.Needed || now-since >= s.flap.hold }
	switch o {
	case Success:
		if s.State != StateRecovering {
			s.set(StateRecovering, now)
		}
		switch {
		case s.streak.good < t.Rise:
			s.Reason = fmt.Sprintf("recovering: %d of %d", s.streak.good, t.Rise)
		case !free(s.since):
			s.Reason = fmt.Sprintf("recovering: held for %v", s.flap.hold.Truncate(100*time.Millisecond))
		default:
			s.back = true
			s.rise(now)
		}
		return
	case SoftFail:
		// It answers again, though not well: what was a hard failure is a soft one.
		if !s.Soft && s.streak.alive >= t.Rise && free(s.streak.aliveSince) {
			s.Soft = true
			s.restate(StateDown, now)
		}
	case HardFail:
		if s.Soft && s.streak.hard >= t.Fall {
			s.Soft = false
			s.restate(StateDown, now)
		}
	}
	if s.State == StateRecovering || s.State == StateUnknown && s.streak.bad >= t.Fall {
		s.set(StateDown, now)
	}
	s.Reason = why
}

func (s *ObserverState) rise(now time.Duration) {
	s.set(StateUp, now)
	s.Soft, s.Reason = false, ""
	s.loss = lossWindow{}
}

// fall takes the target down. Only the way from up to down is a flap.
func (s *ObserverState) fall(soft bool, why string, now time.Duration, p ObserverPolicy) {
	if s.State.opinion() == StateUp {
		s.flap.fall(now, p)
	}
	s.Soft, s.Reason = soft, why
	s.streak.good, s.streak.alive = 0, 0
	s.set(StateDown, now)
}

func (s *ObserverState) set(to State, now time.Duration) {
	if to.opinion() != s.State.opinion() {
		s.held = now
	}
	s.State, s.since = to, now
	if o := to.opinion(); o != StateUnknown {
		s.opinion = o
	}
}

// restate begins an opinion anew: down for another kind of reason.
func (s *ObserverState) restate(to State, now time.Duration) {
	s.set(to, now)
	s.held = now
}
