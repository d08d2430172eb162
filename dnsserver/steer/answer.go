package steer

import (
	"net/netip"

	"github.com/meridian-gtm/meridian/geo"
	"github.com/meridian-gtm/meridian/health"
	"github.com/meridian-gtm/meridian/replication"
)

// Inputs is everything a plan is a function of. Compile keeps no reference to the maps and slices.
type Inputs struct {
	Datacenters []Datacenter
	Sites       []Site
	Services    []Service
	World       *geo.World // nil = nothing is known about any client
	Verdicts    map[health.Target]health.Verdict
	// Overrides are those in force: the caller has dropped cleared and expired ones.
	Overrides []replication.Override
}

// Client is who asks.
type Client struct {
	Addr netip.Addr // ECS address (masked to its source prefix) or the resolver's own; 4-in-6 is unmapped
	ECS  bool       // Addr came from an ECS option
}

// Answer is what a service gives a client.
type Answer struct {
	Addrs []netip.Addr // in order; empty = NODATA
	TTL   uint32       // seconds
	// Scope is the ECS scope prefix-length in bits of Client.Addr's family: every client in it gets this decision.
	// 0 = everybody does.
	Scope uint8
	// Cause says what kind of decision it was, for counters.
	Cause Cause
	// Sites are those of Addrs, for counters: bit i is number i of [Plan.Sites], bit 63 every one from there on. No bit
	// stands for an address of the last resort.
	Sites uint64
}

// SiteNames are the names of a service's sites, in the order of [Answer.Sites]. They do not change.
type SiteNames []string

// MaxSites is how many sites of a service [Answer.Sites] tells apart.
const MaxSites = 64

// Cause is the kind of an answer.
type Cause uint8

// The causes.
const (
	CausePolicy   Cause = iota // normal: the policy tree over available sites
	CauseAllDown               // the service's all-down policy
	CauseNoFamily              // no site of the service has this address family: NODATA
)

// String returns the cause as logs and metrics have it.
func (c Cause) String() string {
	switch c {
	case CauseAllDown:
		return "all-down"
	case CauseNoFamily:
		return "no-family"
	default:
		return "policy"
	}
}

// Trace is the full account of one decision. The CLI, API and golden tests show it; it is made by the same
// resolution as the answer.
type Trace struct {
	Name    string       `json:"name,omitempty"` // steered name, filled by the caller
	Type    string       `json:"type"`           // "A" or "AAAA"
	Service string       `json:"service"`
	Client  netip.Prefix `json:"client"`
	Source  string       `json:"source"` // "ecs" or "resolver"

	Place       geo.Place    `json:"place"`
	PlacePrefix netip.Prefix `json:"place_prefix"`
	Region      string       `json:"region,omitempty"` // region of the datacenter nearest to the client

	Steps      []string    `json:"steps"` // one line per policy node that decided, outermost first
	Candidates []Candidate `json:"candidates"`
	AllDown    AllDown     `json:"all_down,omitempty"` // set when the all-down policy answered

	Answer []netip.Addr `json:"answer"`
	Sites  []string     `json:"sites"` // of the answer, same order; "last-resort" for such an address
	TTL    uint32       `json:"ttl"`
	Scope  uint8        `json:"scope"`
	Epoch  string       `json:"epoch"`
}

// Candidate is one site of the service and what became of it.
type Candidate struct {
	Site       string                `json:"site"`
	Datacenter string                `json:"datacenter"`
	Addr       netip.Addr            `json:"addr"`
	DistanceKM float64               `json:"distance_km,omitempty"` // from the client's place, when located
	Available  bool                  `json:"available"`
	Chosen     bool                  `json:"chosen"`
	Weight     uint16                `json:"weight"` // permille after precedence
	Why        string                `json:"why"`    // "verdict up", "drain by ana: disk swap", ...
	Override   *replication.Override `json:"override,omitempty"`
	Verdicts   []TargetVerdict       `json:"verdicts,omitempty"`
}

// TargetVerdict names the target a verdict is about.
type TargetVerdict struct {
	Target  health.Target  `json:"target"`
	Verdict health.Verdict `json:"verdict"`
}
