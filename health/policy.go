package health

import (
	"fmt"
	"time"
)

// Policy holds the fleet-wide knobs of observers and verdicts. All nodes must run with the same values: the verdict
// is a function of evidence and configuration. Start from [DefaultPolicy] or [FastPolicy]; the zero value is not
// valid.
type Policy struct {
	// Stale is the silence after which an observer no longer counts; 1 s..10 min.
	Stale time.Duration
	// MaxScore is the memberlist health score from which an observer no longer counts; 1..100.
	MaxScore int
	// CorroborationHold is how long one foreign datacenter must hold a target down before that alone pulls it;
	// 0..10 min.
	CorroborationHold time.Duration
	// MinorityHold is how long a fragment without quorum changes nothing; 1 s..1 h.
	MinorityHold time.Duration

	// BrakeWindow is the time within which the loss of more than half a pool is suspicious; 0 (never)..10 min.
	BrakeWindow time.Duration
	// BrakeHold is how long such a loss must last, seen by every voting datacenter, before it is believed; 0..Window.
	BrakeHold time.Duration
	// SoftPullEvery is the least time between two pulls for soft failures in one pool; 0..1 h.
	SoftPullEvery time.Duration
	// Headroom is the percentage of the demand that must remain after a soft pull; 100..1000.
	Headroom int

	// Ramp is how long a returning site takes to its full weight, in steps of 10, 25, 50, 75, 100 %; 0..1 h.
	Ramp time.Duration

	// SettledTTL and UnsettledTTL are the longest answer lifetimes in seconds; 1..86400, unsettled <= settled.
	SettledTTL, UnsettledTTL uint32
	// Settle is how long a target must have been quiet before SettledTTL applies; 0..1 h.
	Settle time.Duration

	// Hold is the shortest time an observer keeps a returning target down; each recent fall doubles it up to MaxHold;
	// 0..MaxHold, MaxHold up to 24 h.
	Hold, MaxHold time.Duration
	// FlapHalfLife is how fast falls are forgotten; 1 s..24 h.
	FlapHalfLife time.Duration
}

// DefaultPolicy suits sites across a WAN, with [DefaultTiming].
var DefaultPolicy = Policy{
	Stale: 15 * time.Second, MaxScore: 4, CorroborationHold: 10 * time.Second, MinorityHold: 15 * time.Second,
	BrakeWindow: 30 * time.Second, BrakeHold: 10 * time.Second, SoftPullEvery: time.Minute, Headroom: 110,
	Ramp: 120 * time.Second, SettledTTL: 30, UnsettledTTL: 10, Settle: 60 * time.Second,
	Hold: 20 * time.Second, MaxHold: 20 * time.Minute, FlapHalfLife: 300 * time.Second,
}

// FastPolicy suits the demo, with [FastTiming]: the same rules, short enough to watch.
var FastPolicy = Policy{
	Stale: 5 * time.Second, MaxScore: 4, CorroborationHold: 2 * time.Second, MinorityHold: 5 * time.Second,
	BrakeWindow: 6 * time.Second, BrakeHold: 1500 * time.Millisecond, SoftPullEvery: 10 * time.Second, Headroom: 110,
	Ramp: 8 * time.Second, SettledTTL: 5, UnsettledTTL: 1, Settle: 10 * time.Second,
	Hold: 1500 * time.Millisecond, MaxHold: 30 * time.Second, FlapHalfLife: 30 * time.Second,
}

// Fault is one knob that is out of range.
type Fault struct {
	Field string // snake case, as in the configuration: "minority_hold"
	Value string
	Want  string // the wanted range
}

// Error returns "minority_hold: 0s: want 1s..1h".
func (f Fault) Error() string { return f.Field + ": " + f.Value + ": want " + f.Want }

// Validate returns every knob that is out of range, in the order of the fields.
func (p Policy) Validate() []Fault {
	var faults []Fault
	duration := func(field string, v, low, high time.Duration, want string) {
		if v < low || v > high {
			faults = append(faults, Fault{field, v.String(), want})
		}
	}
	number := func(field string, v, low, high int64, want string) {
		if v < low || v > high {
			faults = append(faults, Fault{field, fmt.Sprint(v), want})
		}
	}
	duration("stale", p.Stale, time.Second, 10*time.Minute, "1s..10m")
	number("max_score", int64(p.MaxScore), 1, 100, "1..100")
	duration("corroboration_hold", p.CorroborationHold, 0, 10*time.Minute, "0s..10m")
	duration("minority_hold", p.MinorityHold, time.Second, time.Hour, "1s..1h")
	duration("brake_window", p.BrakeWindow, 0, 10*time.Minute, "0s..10m")
	duration("brake_hold", p.BrakeHold, 0, p.BrakeWindow, "0s..brake_window")
	duration("soft_pull_every", p.SoftPullEvery, 0, time.Hour, "0s..1h")
	number("headroom", int64(p.Headroom), 100, 1000, "100..1000")
	duration("ramp", p.Ramp, 0, time.Hour, "0s..1h")
	number("settled_ttl", int64(p.SettledTTL), 1, 86400, "1..86400")
	number("unsettled_ttl", int64(p.UnsettledTTL), 1, int64(min(p.SettledTTL, 86400)), "1..settled_ttl")
	duration("settle", p.Settle, 0, time.Hour, "0s..1h")
	duration("hold", p.Hold, 0, p.MaxHold, "0s..max_hold")
	duration("max_hold", p.MaxHold, 0, 24*time.Hour, "0s..24h")
	duration("flap_half_life", p.FlapHalfLife, time.Second, 24*time.Hour, "1s..24h")
	return faults
}
