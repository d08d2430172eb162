package health

import "time"

// Level is the cluster's word on a target.
type Level uint8

// The levels. Unknown means that nobody has said anything usable yet: such a site is answered only while no site
// of its pool is known to be better.
const (
	Unknown Level = iota
	Up
	Partial
	Down
)

// String returns "unknown", "up", "partial" or "down".
func (l Level) String() string {
	switch l {
	case Up:
		return "up"
	case Partial:
		return "partial"
	case Down:
		return "down"
	default:
		return "unknown"
	}
}

// MarshalText makes a level its name in JSON.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText reads a name; anything unknown is Unknown.
func (l *Level) UnmarshalText(b []byte) error {
	switch string(b) {
	case "up":
		*l = Up
	case "partial":
		*l = Partial
	case "down":
		*l = Down
	default:
		*l = Unknown
	}
	return nil
}

// FullWeight is the weight of a settled Up target.
const FullWeight = 1000

// Verdict is what the fleet holds true about one target.
type Verdict struct {
	Level  Level  `json:"level"`
	Weight uint16 `json:"weight"` // permille of the configured share, 0..1000; ramps and Partial lower it

	// AvoidRegions are the regions whose own datacenters alone cannot reach the target: only their clients steer
	// away. Sorted.
	AvoidRegions []string `json:"avoid_regions,omitempty"`

	TTL    uint32        `json:"ttl"`             // seconds; the longest that an answer resting on this verdict may live
	Age    time.Duration `json:"age"`             // how long the level has held: median of the voters
	Votes  []Vote        `json:"votes,omitempty"` // one per configured datacenter, sorted by name
	Reason string        `json:"reason"`          // short, for people: "down: 2 of 2 foreign datacenters"
	Held   bool          `json:"held,omitempty"`  // last known good, not the word of present evidence
}

// Vote is one datacenter's say on one target.
type Vote struct {
	Datacenter string        `json:"datacenter"`
	U          int           `json:"u"`       // 0 down, 1 split, 2 up; meaningful when Counted
	Counted    bool          `json:"counted"` // false: no fresh, trusted observer there has an opinion
	Own        bool          `json:"own"`     // the site's own datacenter: can neither pull nor veto alone
	NotDown    int           `json:"not_down"`
	Voters     int           `json:"voters"`
	Age        time.Duration `json:"age"` // silence of its freshest observer
	Reason     string        `json:"reason,omitempty"`
}
