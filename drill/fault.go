package drill

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// Kind names a fault.
type Kind string

// The faults. Site is where a fault acts; what To means depends on the kind.
const (
	Lose         Kind = "lose"          // the site's VIP is out of reach for everybody
	KillDirector Kind = "kill-director" // the director that holds the site's VIP dies
	Slow         Kind = "slow"          // what clients send reaches the site Delay later
	Lossy        Kind = "lossy"         // Percent of what clients send is lost and sent again
	Errors       Kind = "errors"        // the site answers errors although its own checks see nothing
	CutPath      Kind = "cut-path"      // clients and nodes at Site cannot reach the VIP of site To
	CutGossip    Kind = "cut-gossip"    // no gossip between Site and To, both ways; "" = every other site
	KillNode     Kind = "kill-node"     // the traffic manager nodes of the site die
	SwapKey      Kind = "swap-key"      // the nodes of the site get a gossip key that no other has
	BadConfig    Kind = "bad-config"    // the nodes of the site are told to load a configuration that is wrong
	PauseNode    Kind = "pause-node"    // the nodes of the site stand still, and go on later as if nothing were
	SkewClock    Kind = "skew-clock"    // the wall clocks of the site's nodes are Delay ahead
	FillDisk     Kind = "fill-disk"     // the nodes of the site can store nothing
	KillData     Kind = "kill-data"     // the databases of the site die, and what elects their leader
)

// Kinds returns every kind, in the order of this documentation.
func Kinds() []Kind {
	return []Kind{
		Lose, KillDirector, Slow, Lossy, Errors, CutPath, CutGossip, KillNode, SwapKey, BadConfig, PauseNode, SkewClock, FillDisk,
		KillData,
	}
}

// MaxFor is the longest that a fault may be asked for.
const MaxFor = time.Hour

// Fault is one thing to break.
type Fault struct {
	Kind    Kind          `json:"kind"`
	Site    string        `json:"site"`              // "" only for CutGossip: between all sites
	To      string        `json:"to,omitempty"`      // see Kind
	For     time.Duration `json:"for"`               // it heals by itself after this; 1 s..1 h, never none
	Delay   time.Duration `json:"delay,omitempty"`   // Slow, SkewClock
	Percent int           `json:"percent,omitempty"` // Lossy; 1..95
}

// String says for people what is broken, and where.
func (f Fault) String() string {
	switch f.Kind {
	case Lose:
		return f.Site + ": its VIP does not answer"
	case KillDirector:
		return f.Site + ": the director that holds the VIP is dead"
	case Slow:
		return fmt.Sprintf("%s: slow by %v", f.Site, f.Delay)
	case Lossy:
		return fmt.Sprintf("%s: %d %% of packets lost", f.Site, f.Percent)
	case Errors:
		return f.Site + ": answers errors"
	case CutPath:
		return fmt.Sprintf("%s: cannot reach the VIP of %s", f.Site, f.To)
	case CutGossip:
		switch {
		case f.Site == "":
			return "no gossip between any two sites"
		case f.To == "":
			return f.Site + ": no gossip with any other site"
		}
		return fmt.Sprintf("%s: no gossip with %s", f.Site, f.To)
	case KillNode:
		return f.Site + ": its traffic manager is dead"
	case SwapKey:
		return f.Site + ": its traffic manager has another gossip key"
	case BadConfig:
		return f.Site + ": its traffic manager is told to load a wrong configuration"
	case PauseNode:
		return f.Site + ": its traffic manager stands still"
	case SkewClock:
		return fmt.Sprintf("%s: its clock is %v ahead", f.Site, f.Delay)
	case FillDisk:
		return f.Site + ": its traffic manager's disk is full"
	case KillData:
		return f.Site + ": its databases are dead"
	}
	return f.Site + ": " + string(f.Kind)
}

// Between says that a fault that cuts sites off from each other cuts these two.
func (f Fault) Between(a, b string) bool {
	return f.Site == "" || f.Site == a && (f.To == "" || f.To == b) || f.Site == b && (f.To == "" || f.To == a)
}

// check reports what no world could make of f.
func (f Fault) check() error {
	if !slices.Contains(Kinds(), f.Kind) {
		return fmt.Errorf("fault %q: want one of %v", f.Kind, Kinds())
	}
	if f.For < time.Second || f.For > MaxFor {
		return fmt.Errorf("fault %s: for %v: want 1s..%v", f.Kind, f.For, MaxFor)
	}
	if f.Site == "" && f.Kind != CutGossip {
		return fmt.Errorf("fault %s: site: want a name", f.Kind)
	}
	return nil
}

// World is where faults are made. Its methods are called one at a time.
type World interface {
	// Name is for reports: "demo".
	Name() string
	// Can lists the kinds of faults that the world can make.
	Can() []Kind
	// Inject breaks something until it is healed or its time is over, whichever is first.
	Inject(ctx context.Context, f Fault) (Injection, error)
	// Heal ends a fault. One that has healed by itself is not an error.
	Heal(ctx context.Context, in Injection) error
}

// Booter is a World in which what was broken takes time to work again once it is healed: machines start.
type Booter interface {
	// Boots is how long that takes after a fault of the kind; 0 = no time.
	Boots(Kind) time.Duration
}

// Injection is a fault that was made.
type Injection struct {
	ID    string    `json:"id"` // given by the world
	Fault Fault     `json:"fault"`
	At    time.Time `json:"at"` // from when it may have acted
}
