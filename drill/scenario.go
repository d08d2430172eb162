package drill

import (
	"slices"
	"time"

	"github.com/meridian-gtm/meridian/replication"
)

// Pace is how fast a fleet is set to react; see the presets of checks and of the health section.
type Pace string

// The paces.
const (
	Default Pace = "default" // probes every 2 s, ramps of minutes
	Fast    Pace = "fast"    // probes every 250 ms, ramps of seconds: the demo
)

// Paced is a time in a fleet of either pace; 0 = does not apply.
type Paced struct{ Default, Fast time.Duration }

// At returns the time at a pace.
func (p Paced) At(pace Pace) time.Duration {
	if pace == Fast {
		return p.Fast
	}
	return p.Default
}

// Role is a site's part in a scenario.
type Role string

// The roles.
const (
	Nobody Role = ""       // no site: between all of them
	Target Role = "target" // the site that the drill was asked for
	Second Role = "second" // the site after it by name, round about
	Third  Role = "third"  // and the one after that
	Every  Role = "every"  // each site
)

// Expect is what a scenario's faults may do to answers. In no case may a query be left without an address.
type Expect string

// The expectations.
const (
	Pulled  Expect = "pulled"  // every node leaves the broken sites out
	Kept    Expect = "kept"    // no answer changes and no site is held down
	Endured Expect = "endured" // broken sites may go and come
)

// Scenario is one drill of the catalogue.
type Scenario struct {
	ID      string
	Title   string // one line
	What    string // what it proves, a sentence or two
	Steps   []Step // in order of time
	Lasts   Paced  // from the first step to the heal of everything
	Expect  Expect
	Limits  Limits
	Refuses Refusal // what the target's nodes must refuse while it is broken
	// Wait is how long the nodes have to be as before after the heal; they may take the rest of it after the limits
	// have failed.
	Wait Paced
}

// Step is what is done at one moment.
type Step struct {
	At      Paced // since the first step
	Break   []Break
	Heal    bool        // everything that is broken, before anything else of the step
	Operate []Operation // all at the same moment, each through another node
}

// Refusal is what a node must refuse.
type Refusal string

// The refusals.
const (
	Nothing Refusal = ""
	Reload  Refusal = "reload" // of a wrong configuration, which the fault asks for
	Change  Refusal = "change" // an override that it cannot keep, which the drill asks for at the end
)

// Break is a fault with roles for sites.
type Break struct {
	Kind    Kind
	Site    Role
	To      Role
	Delay   time.Duration
	Percent int
}

// Operation is an override of the target site, set by an operator.
type Operation struct {
	Action  replication.Action
	Percent int
	Cleared bool
}

// Limits are what a drill must keep to pass. A time of 0 sets no limit.
type Limits struct {
	Decide      Paced // the last node has the site down, since the first fault
	Spread      Paced // between the first node and the last
	LastOld     Paced // the last answer that named a broken site
	Return      Paced // since the heal, until every node answers the site again
	Restore     Paced // since the heal, until every answer is as it was before
	Converge    Paced // since the heal, until all nodes answer from the same plan in normal mode
	Transitions int   // times that one node pulls a broken site or takes it back; 0 = any number
	Herd        int   // most of a site's clients that may return within one second, percent; 0 = all
	Load        int   // most that a site may carry of its capacity, percent; 0 = any
}

// Needs returns the kinds of faults that the scenario is made of, each once.
func (s Scenario) Needs() []Kind {
	var kinds []Kind
	for _, step := range s.Steps {
		for _, b := range step.Break {
			if !slices.Contains(kinds, b.Kind) {
				kinds = append(kinds, b.Kind)
			}
		}
	}
	return kinds
}

// In returns the scenario as a world can play it: what boots has as much longer to be back.
func (s Scenario) In(w World) Scenario {
	boots, ok := w.(Booter)
	if !ok {
		return s
	}
	var longest time.Duration
	for _, k := range s.Needs() {
		longest = max(longest, boots.Boots(k))
	}
	for _, limit := range []*Paced{&s.Limits.Return, &s.Limits.Restore, &s.Limits.Converge, &s.Wait} {
		if *limit != (Paced{}) {
			limit.Default, limit.Fast = limit.Default+longest, limit.Fast+longest
		}
	}
	return s
}

// Missing returns the kinds of faults that the scenario needs and a world of these kinds cannot make.
func (s Scenario) Missing(can []Kind) []Kind {
	return slices.DeleteFunc(s.Needs(), func(k Kind) bool { return slices.Contains(can, k) })
}

// cast gives the roles to sites: the target, and the others by name from there on.
func cast(role Role, target string, sites []string) []string {
	at := slices.Index(sites, target)
	if at < 0 {
		return nil
	}
	turn := func(n int) []string {
		if n >= len(sites) {
			return nil
		}
		return []string{sites[(at+n)%len(sites)]}
	}
	switch role {
	case Target:
		return turn(0)
	case Second:
		return turn(1)
	case Third:
		return turn(2)
	case Every:
		return slices.Clone(sites)
	default:
		return []string{""}
	}
}

// faults makes a break's faults for a cast.
func (b Break) faults(target string, sites []string, lasts time.Duration) (all []Fault) {
	for _, site := range cast(b.Site, target, sites) {
		for _, to := range cast(b.To, target, sites) {
			all = append(all, Fault{Kind: b.Kind, Site: site, To: to, For: lasts, Delay: b.Delay, Percent: b.Percent})
		}
	}
	return all
}

// broken returns the sites whose VIPs the scenario breaks for everybody: those that may be held down.
func (s Scenario) broken(target string, sites []string) (names []string) {
	for _, step := range s.Steps {
		for _, b := range step.Break {
			if !b.Kind.breaksSite() {
				continue
			}
			for _, name := range cast(b.Site, target, sites) {
				if !slices.Contains(names, name) {
					names = append(names, name)
				}
			}
		}
	}
	slices.Sort(names)
	return names
}

// breaksSite says that clients of a site notice the fault.
func (k Kind) breaksSite() bool { return k == Lose || k == Slow || k == Lossy || k == Errors }

// refuses says how large a part of the requests to a site with the fault end in an error.
func (k Kind) refuses() float64 {
	if k == Lose || k == Errors {
		return 1
	}
	return 0 // slowness and loss that is made up for cost time, not an answer
}
