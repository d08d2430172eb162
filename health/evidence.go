package health

import "time"

// State is an observer's opinion of one target.
type State uint8

// The observer states. Suspect and Recovering still hold the previous opinion: Suspect votes not-Down, Recovering
// votes Down.
const (
	StateUnknown State = iota
	StateUp
	StateSuspect
	StateDown
	StateRecovering
)

// String returns "unknown", "up", "suspect", "down" or "recovering".
func (s State) String() string {
	switch s {
	case StateUp:
		return "up"
	case StateSuspect:
		return "suspect"
	case StateDown:
		return "down"
	case StateRecovering:
		return "recovering"
	default:
		return "unknown"
	}
}

// MarshalText makes a state its name in JSON.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads a name; anything unknown is StateUnknown.
func (s *State) UnmarshalText(b []byte) error {
	*s = StateUnknown
	for _, named := range []State{StateUp, StateSuspect, StateDown, StateRecovering} {
		if string(b) == named.String() {
			*s = named
		}
	}
	return nil
}

// TargetEvidence is what one node says about one target.
type TargetEvidence struct {
	Target Target
	State  State
	Soft   bool          // the failure is soft: readiness, latency, loss, certificate age
	Age    time.Duration // how long the target has been in State when the record was published
	Held   time.Duration // how long the opinion behind it has held: Up through Suspect, Down through Recovering
	Back   bool          // the opinion up followed a down: the target is returning, not new
	RTT    time.Duration // smoothed; 0 = none yet
	Policy uint32        // hash of the check's definition: evidence of a newer definition alone may abstain
	Reason string        // short, for people
}

// Evidence is everything one node says about the targets. The node is its only writer; (Epoch, Seq) orders its
// versions.
type Evidence struct {
	Node       string
	Datacenter string
	Epoch      uint64 // boot count of the writer, durable
	Seq        uint64 // grows by one with every publication of a boot
	Isolated   bool   // own witnesses fail and no foreign gossip is heard
	Blind      bool   // own witnesses fail, heard or not; false when there are none
	Warm       bool   // just started: opinions abstain until a first full probe round
	Score      int    // memberlist's health score of the writer; 0 = healthy
	Targets    []TargetEvidence
}

// Observed is one node's latest evidence as this node holds it.
type Observed struct {
	Evidence Evidence
	// Silent is how long ago this node last saw the writer's (Epoch, Seq) advance, on this node's own monotonic
	// clock. It ages every TargetEvidence.Age and decides freshness.
	Silent time.Duration
}
