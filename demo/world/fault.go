package world

import (
	"fmt"
	"slices"
	"time"
)

// Kind names a fault.
type Kind string

// The faults. Site is where a fault acts; what To means depends on the kind.
const (
	Lose         Kind = "lose"          // the site's VIP is out of reach for everybody
	KillDirector Kind = "kill-director" // the director To dies without a word; "" = the one that holds the VIP
	KillReplica  Kind = "kill-replica"  // the shop replica To dies; "" = the first that lives
	Slow         Kind = "slow"          // what clients send reaches the site Delay later
	Lossy        Kind = "lossy"         // Percent of what clients send is lost and retransmitted
	Errors       Kind = "errors"        // the shop answers 500 to everything but readiness: a gray failure
	CutPath      Kind = "cut-path"      // clients and probes of Site cannot reach the VIP of site To
	CutGossip    Kind = "cut-gossip"    // no gossip between Site and To, both ways; "" = every other site

	// Of the traffic manager's nodes; see Options.NodeFaults.
	KillNode  Kind = "kill-node"  // the node of the site dies without a word; it starts again when healed
	SwapKey   Kind = "swap-key"   // the node of the site gets a gossip key that no other has
	BadConfig Kind = "bad-config" // the node of the site is told to load a configuration that is wrong
	FillDisk  Kind = "fill-disk"  // the data directory of the site's node has no room left
)

// Kinds returns every kind, in the order of this documentation.
func Kinds() []Kind {
	return []Kind{
		Lose, KillDirector, KillReplica, Slow, Lossy, Errors, CutPath, CutGossip, KillNode, SwapKey, BadConfig, FillDisk,
	}
}

// ofNode says that the fault is one of a node, not of the world between nodes.
func (k Kind) ofNode() bool { return k == KillNode || k == SwapKey || k == BadConfig || k == FillDisk }

// Bounds and defaults of a fault's time and size.
const (
	DefaultFor     = time.Minute
	MaxFor         = time.Hour
	DefaultDelay   = 400 * time.Millisecond
	MaxDelay       = 10 * time.Second
	DefaultPercent = 30
)

// Fault is one thing that is broken on purpose.
type Fault struct {
	ID      int           // given by the table, from 1
	Kind    Kind          // required
	Site    string        // required, but CutGossip takes "" = between all sites
	To      string        // see Kind
	Refuse  bool          // Lose: connections are refused at once; else they hang, as when the power is gone
	Delay   time.Duration // Slow: 1 ms..10 s; default 400 ms
	Percent int           // Lossy: 1..95; default 30
	For     time.Duration // 1 ms..1 h; default 1 min
	Until   time.Time     // given by the table: when it heals by itself
}

// String says for people what is broken, and where.
func (f Fault) String() string {
	if f.Site == "" {
		return f.what()
	}
	return f.Site + ": " + f.what()
}

// what says what is broken at the fault's site.
func (f Fault) what() string {
	switch f.Kind {
	case Lose:
		if f.Refuse {
			return "lost, its VIP refuses connections"
		}
		return "lost, its VIP does not answer"
	case KillDirector:
		return "director " + f.To + " dead"
	case KillReplica:
		return "replica " + f.To + " dead"
	case Slow:
		return fmt.Sprintf("slow by %v", f.Delay)
	case Lossy:
		return fmt.Sprintf("%d %% of packets lost", f.Percent)
	case Errors:
		return "the shop answers 500"
	case CutPath:
		return "the VIP of " + f.To + " is out of its reach"
	case CutGossip:
		switch {
		case f.Site == "":
			return "no gossip between any two sites"
		case f.To == "":
			return "no gossip with any other site"
		}
		return "no gossip with " + f.To
	case KillNode:
		return "its traffic manager node is dead"
	case SwapKey:
		return "its traffic manager node has another gossip key"
	case BadConfig:
		return "its traffic manager node is told to load a wrong configuration"
	case FillDisk:
		return "its traffic manager node's disk is full"
	}
	return string(f.Kind)
}

// Faults is the table of what is broken. Its methods are pure but for the table itself: the time is an argument. It
// is not safe for concurrent use; [Network] guards it.
type Faults struct {
	last   int
	active []Fault // by ID
}

// Set adds a checked fault that heals f.For after now. A fault of the same kind at the same place is replaced and
// keeps its ID: doing a thing twice makes it last longer, not twice.
func (t *Faults) Set(f Fault, now time.Time) Fault {
	f.Until = now.Add(f.For)
	i := slices.IndexFunc(t.active, func(g Fault) bool { return g.Kind == f.Kind && g.Site == f.Site && g.To == f.To })
	if i >= 0 {
		f.ID = t.active[i].ID
		t.active[i] = f
		return f
	}
	t.last++
	f.ID = t.last
	t.active = append(t.active, f)
	return f
}

// Clear heals the fault with the given ID.
func (t *Faults) Clear(id int) (healed Fault, found bool) {
	i := slices.IndexFunc(t.active, func(f Fault) bool { return f.ID == id })
	if i < 0 {
		return Fault{}, false
	}
	healed = t.active[i]
	t.active = slices.Delete(t.active, i, i+1)
	return healed, true
}

// Expire heals what has reached its time limit.
func (t *Faults) Expire(now time.Time) (healed []Fault) {
	t.active = slices.DeleteFunc(t.active, func(f Fault) bool {
		over := !now.Before(f.Until)
		if over {
			healed = append(healed, f)
		}
		return over
	})
	return healed
}

// Next returns when the next fault heals by itself.
func (t *Faults) Next() (at time.Time, any bool) {
	for i, f := range t.active {
		if i == 0 || f.Until.Before(at) {
			at = f.Until
		}
	}
	return at, len(t.active) > 0
}

// List returns what is broken, oldest first.
func (t *Faults) List() []Fault { return slices.Clone(t.active) }

func (t *Faults) has(kind Kind, site, to string) bool {
	return slices.ContainsFunc(t.active, func(f Fault) bool { return f.Kind == kind && f.Site == site && f.To == to })
}

// Lost reports whether a site is lost, and how.
func (t *Faults) Lost(site string) (lost, refuse bool) {
	for _, f := range t.active {
		if f.Kind == Lose && f.Site == site {
			return true, f.Refuse
		}
	}
	return false, false
}

// DirectorDead reports whether a director of a site is dead.
func (t *Faults) DirectorDead(site, name string) bool { return t.has(KillDirector, site, name) }

// ReplicaDead reports whether a replica of a site is dead.
func (t *Faults) ReplicaDead(site, name string) bool { return t.has(KillReplica, site, name) }

// Failing reports whether a site's shop answers 500.
func (t *Faults) Failing(site string) bool { return t.has(Errors, site, "") }

// PathCut reports whether from cannot reach the VIP of to.
func (t *Faults) PathCut(from, to string) bool { return t.has(CutPath, from, to) }

// Node reports whether the node of a site has a fault of the given kind.
func (t *Faults) Node(kind Kind, site string) bool { return t.has(kind, site, "") }

// GossipCut reports whether nodes of two sites cannot hear each other. Within a site they always do.
func (t *Faults) GossipCut(a, b string) bool {
	return a != b && slices.ContainsFunc(t.active, func(f Fault) bool {
		return f.Kind == CutGossip && (f.Site == "" ||
			f.Site == a && (f.To == "" || f.To == b) ||
			f.Site == b && (f.To == "" || f.To == a))
	})
}

// retransmitFirst is how long a sender waits before it sends a lost segment again the first time; every further
// wait is twice as long (RFC 6298 section 2, its initial value).
const (
	retransmitFirst = time.Second
	retransmitMost  = 4 // then the path is as good as dead, and the delay says so
)

// Hold returns how long a site's border holds back what a client sent: the delay of a slow site, and for every loss
// the time until the retransmission. draw returns numbers in [0, 1).
func (t *Faults) Hold(site string, draw func() float64) (d time.Duration) {
	for _, f := range t.active {
		switch {
		case f.Site != site:
		case f.Kind == Slow:
			d += f.Delay
		case f.Kind == Lossy:
			wait := retransmitFirst
			for range retransmitMost {
				if draw() >= float64(f.Percent)/100 {
					break
				}
				d += wait
				wait *= 2
			}
		}
	}
	return d
}
