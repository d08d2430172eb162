package health

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Prior is what a decision needs to know of the past. Its owner is the caller.
type Prior struct {
	// Verdicts are the last known good ones: Decision.Good of the previous decision, or what was read from disk.
	Verdicts map[Target]Verdict
	// QuorumLost is how long View.Quorate has been false on this node's own clock; after a restart since boot.
	QuorumLost time.Duration
	// Witnessed says that this node's witnesses answer. A node without witnesses says false: it cannot tell its own
	// isolation from the loss of everything else.
	Witnessed bool
	// Warm says that this node has just started, and for how long it does is up to View.Complete: answers stay
	// short-lived, and nothing is pulled on the word of the few who happened to be heard first.
	Warm bool
}

// Mode is the footing on which verdicts were made.
type Mode string

// The modes.
const (
	ModeNormal        Mode = "normal"
	ModeWarm          Mode = "warm"           // just started: last known good wherever evidence is not in yet
	ModeMinorityHold  Mode = "minority-hold"  // quorum just lost: last known good
	ModeMinorityLocal Mode = "minority-local" // quorum lost for long, witnesses answer: unanimous local evidence acts
	ModeMinorityBlind Mode = "minority-blind" // quorum lost for long, witnesses silent: last known good, for ever
)

// Alarm is something that an operator should see.
type Alarm struct {
	// Code is one of "minority", "outlier", "unknown-datacenter", "definition", "brake", "soft", "all-down".
	Code    string `json:"code"`
	Subject string `json:"subject"` // the node, target or pool that it is about
	Text    string `json:"text"`
}

// Decision is the outcome of [Decide]. Its maps may share memory and must not be changed.
type Decision struct {
	Mode     Mode
	Verdicts map[Target]Verdict // one for every target of the fleet
	Good     map[Target]Verdict // the next Prior.Verdicts, and what to store: without quorum it does not change
	Alarms   []Alarm            // sorted by code, subject, text

	// Needed are the targets whose site some pool is short without: nothing may delay their return, see
	// ObserverPolicy.Needed.
	Needed map[Target]bool
}

// decision is a Decision in the making.
type decision struct {
	fleet    Fleet
	view     View
	prior    Prior
	mode     Mode
	pools    []pool
	verdicts map[Target]Verdict
	needed   map[Target]bool
	alarms   []Alarm
}

// Decide turns the votes that [Aggregate] counted under the same fleet into verdicts. Equal inputs give equal
// verdicts, byte for byte; what the prior adds is only what stands where evidence does not suffice.
func Decide(v View, prior Prior, f Fleet) Decision {
	d := &decision{
		fleet: f, view: v, prior: prior, mode: footing(v.Quorate, prior, f.Policy), pools: f.pools(),
		verdicts: make(map[Target]Verdict, len(f.Targets)), alarms: slices.Clone(v.alarms),
	}
	if v.Quorate {
		for _, t := range f.Targets {
			d.verdicts[t] = d.byVotes(t)
		}
		d.pullSoft()
		d.brake()
	} else {
		d.minority()
	}
	d.ramp(!v.Quorate)
	d.ttl()
	d.watch()

	out := Decision{Mode: d.mode, Verdicts: d.verdicts, Good: d.verdicts, Alarms: d.alarms, Needed: d.needed}
	if !v.Quorate {
		out.Good = prior.Verdicts
	}
	return out
}

func footing(quorate bool, prior Prior, p Policy) Mode {
	switch {
	case prior.Warm && (quorate || prior.QuorumLost < p.MinorityHold):
		return ModeWarm
	case quorate:
		return ModeNormal
	case prior.QuorumLost < p.MinorityHold:
		return ModeMinorityHold
	case prior.Witnessed:
		return ModeMinorityLocal
	default:
		return ModeMinorityBlind
	}
}

// byVotes is the verdict on t that a quorum gives, before brakes and ramps.
func (d *decision) byVotes(t Target) Verdict {
	c := d.view.tallies[t]
	w := c.weigh(false, d.fleet.Policy)
	if w.foreign == 0 {
		// A site's own word can neither pull it nor put it back. It may say up where nothing is known.
		if own := c.own(); d.prior.Verdicts[t].Level == Unknown && own != nil && own.Counted && own.U == 2 {
			return Verdict{Level: Up, Weight: FullWeight, Age: own.upFor, Votes: c.votes(),
				Reason: "up: only its own datacenter has an opinion"}
		}
		return d.keep(t, "no foreign datacenter has an opinion")
	}
	if foreign := len(c.ballots) - 1; d.mode == ModeWarm && w.level == Down && d.prior.Verdicts[t].Level != Down &&
		2*w.foreign <= foreign {
		return d.keep(t, fmt.Sprintf("just started, and only %d of %d foreign datacenters have an opinion", w.foreign, foreign))
	}
	return Verdict{Level: w.level, Weight: w.weight, AvoidRegions: w.avoid, Age: w.age, Votes: c.votes(), Reason: w.reason}
}

// keep is the last known good verdict on t, marked as such.
func (d *decision) keep(t Target, why string) Verdict {
	v := d.prior.Verdicts[t]
	v.Held = true
	if v.Level == Unknown {
		v.Weight = FullWeight // where nothing better is known, the unknown share alike
	}
	v.AvoidRegions = slices.Clone(v.AvoidRegions)
	v.Votes = d.view.tallies[t].votes()
	v.Reason = fmt.Sprintf("%v: last known good, %s", v.Level, why)
	if v.Level == Unknown {
		v.Reason = "unknown: " + why
	}
	return v
}

// watch adds the alarms that the verdicts themselves call for and sorts all of them.
func (d *decision) watch() {
	if !d.view.Quorate && d.mode != ModeWarm {
		d.alarm("minority", string(d.mode), "only %d of %d datacenters are heard: %v",
			len(d.view.Fresh), len(d.fleet.Datacenters), d.view.Fresh)
	}
	for i := range d.pools {
		if p := &d.pools[i]; p.allDown(d.verdicts) {
			d.alarm("all-down", p.name, "all %d sites are down", len(p.sites))
		}
	}
	slices.SortFunc(d.alarms, func(a, b Alarm) int {
		return cmp.Or(cmp.Compare(a.Code, b.Code), cmp.Compare(a.Subject, b.Subject), cmp.Compare(a.Text, b.Text))
	})
}

func (d *decision) alarm(code, subject, format string, args ...any) {
	d.alarms = append(d.alarms, Alarm{code, subject, fmt.Sprintf(format, args...)})
}
