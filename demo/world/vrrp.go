package world

import "time"

// vrrpState is a director's part in sharing the VIP (RFC 5798 section 6.4).
type vrrpState uint8

const (
	vrrpInitialize vrrpState = iota
	vrrpBackup
	vrrpMaster
)

func (s vrrpState) String() string {
	switch s {
	case vrrpBackup:
		return "backup"
	case vrrpMaster:
		return "master"
	default:
		return "stopped"
	}
}

// advert is what a master tells the others of its segment.
type advert struct {
	from     string
	priority uint8 // 0 = the sender resigns
}

// vrrp is one director's state machine, pure: events come in, effects go out, and the caller owns the one timer.
// There is no clock in it; durations are what the timer is to be set to.
type vrrp struct {
	name      string
	priority  uint8         // 1..254; 255 would be the owner of the address, and nobody owns a VIP here
	interval  time.Duration // between adverts
	noPreempt bool          // a master of lower priority is left in place

	state vrrpState
}

// vrrpEffect is what an event asks of the caller, in this order: give up the VIP, take it, send, set the timer.
type vrrpEffect struct {
	drop bool
	take bool
	send bool          // an advert with the own priority, 0 when resigning
	zero bool          // the advert resigns
	arm  time.Duration // set the timer; 0 = leave it
}

// skew makes the better of two backups move first (RFC 5798 section 6.1).
func (v *vrrp) skew() time.Duration {
	return time.Duration(256-int(v.priority)) * v.interval / 256
}

// masterDown is how long a backup waits for an advert before it takes over.
func (v *vrrp) masterDown() time.Duration { return 3*v.interval + v.skew() }

// start is section 6.4.1.
func (v *vrrp) start() vrrpEffect {
	v.state = vrrpBackup
	return vrrpEffect{arm: v.masterDown()}
}

// stop resigns: a backup that hears so takes over after its skew alone.
func (v *vrrp) stop() vrrpEffect {
	was := v.state
	v.state = vrrpInitialize
	if was != vrrpMaster {
		return vrrpEffect{}
	}
	return vrrpEffect{drop: true, send: true, zero: true}
}

// timer is the firing of the timer that an effect armed.
func (v *vrrp) timer() vrrpEffect {
	switch v.state {
	case vrrpBackup:
		v.state = vrrpMaster
		return vrrpEffect{take: true, send: true, arm: v.interval}
	case vrrpMaster:
		return vrrpEffect{send: true, arm: v.interval}
	default:
		return vrrpEffect{}
	}
}

// hear is an advert of another director.
func (v *vrrp) hear(a advert) vrrpEffect {
	switch v.state {
	case vrrpBackup: // section 6.4.2
		switch {
		case a.priority == 0:
			return vrrpEffect{arm: max(v.skew(), 1)}
		case v.noPreempt || a.priority >= v.priority:
			return vrrpEffect{arm: v.masterDown()}
		}
	case vrrpMaster: // section 6.4.3; names stand in for the addresses that break ties
		switch {
		case a.priority == 0:
			return vrrpEffect{send: true, arm: v.interval}
		case a.priority > v.priority || a.priority == v.priority && a.from > v.name:
			v.state = vrrpBackup
			return vrrpEffect{drop: true, arm: v.masterDown()}
		}
		// A worse one has taken the address, because one of the two was not heard for a while. It will drop it when
		// it hears this advert; without taking the address again nobody would have it then (RFC 9568 section 6.4.3
		// asserts the state at once for the same reason).
		return vrrpEffect{take: true, send: true, arm: v.interval}
	}
	return vrrpEffect{}
}
