package control

import (
	"net/netip"
	"time"

	"github.com/meridian-gtm/meridian/dnsserver/steer"
	"github.com/meridian-gtm/meridian/health"
	"github.com/meridian-gtm/meridian/replication"
)

// Status is one node's account of itself and of what it holds true about the fleet.
type Status struct {
	Node       string    `json:"node"`
	Datacenter string    `json:"datacenter"`
	Version    string    `json:"version"`
	Started    time.Time `json:"started"`
	BootEpoch  uint64    `json:"boot_epoch"`
	Mode       string    `json:"mode"`    // health mode: "normal", "warm", "minority-hold", ...
	Epoch      string    `json:"epoch"`   // digest of everything that decides answers
	Summary    string    `json:"summary"` // one sentence for a person who was just woken up

	Config   ConfigStatus           `json:"config"`
	Services []ServiceStatus        `json:"services"`
	Sites    []SiteStatus           `json:"sites"`
	Members  []Member               `json:"members"`
	Override []replication.Override `json:"overrides"`
	Alarms   []string               `json:"alarms"` // what needs a person; empty when all is well
}

// ConfigStatus says which configuration runs, and whether the last attempt to change it worked.
type ConfigStatus struct {
	File      string    `json:"file"`
	Hash      string    `json:"hash"`    // of the fleet-wide part; equal on every node of a healthy fleet
	Loaded    time.Time `json:"loaded"`  // when the running configuration was read
	LastError string    `json:"error"`   // why the last reload was refused; "" = it was not
	Zones     []Zone    `json:"zones"`   //
	Geo       string    `json:"geo"`     // databases in use, for people
	GeoError  string    `json:"geo_err"` // why the last geo reload was refused
}

// Zone is one served zone.
type Zone struct {
	Origin string `json:"origin"`
	Serial uint32 `json:"serial"`
	Digest string `json:"digest"`
}

// ServiceStatus is one service per address family.
type ServiceStatus struct {
	Service       string   `json:"service"`
	Family        string   `json:"family"` // "v4" or "v6"
	Available     []string `json:"available"`
	Total         int      `json:"total"`
	Capacity      uint64   `json:"capacity"`       // of the available sites; 0 = not stated
	CapacityTotal uint64   `json:"capacity_total"` //
	AllDown       bool     `json:"all_down"`       // the all-down policy answers now
}

// SiteStatus is one site with the verdicts on each of its targets.
type SiteStatus struct {
	Site       string                 `json:"site"`
	Datacenter string                 `json:"datacenter"`
	V4         netip.Addr             `json:"v4"`
	V6         netip.Addr             `json:"v6"`
	Capacity   uint32                 `json:"capacity"` // as configured; 0 = not stated
	Level      health.Level           `json:"level"`    // worst of the targets
	Weight     uint16                 `json:"weight"`   // permille, least of the targets
	Targets    []steer.TargetVerdict  `json:"targets"`
	Observers  []ObserverOpinion      `json:"observers"`
	Overrides  []replication.Override `json:"overrides,omitempty"`
}

// ObserverOpinion is what one node's evidence says about one target.
type ObserverOpinion struct {
	Node       string        `json:"node"`
	Datacenter string        `json:"datacenter"`
	Target     health.Target `json:"target"`
	State      string        `json:"state"`
	Age        time.Duration `json:"age"`    // in that state
	Silent     time.Duration `json:"silent"` // since the observer was last heard
	RTT        time.Duration `json:"rtt"`
	Reason     string        `json:"reason,omitempty"`
}

// Member is one node as this node hears it.
type Member struct {
	Node       string        `json:"node"`
	Datacenter string        `json:"datacenter"`
	Address    string        `json:"address"`
	State      string        `json:"state"`      // gossip liveness: "alive", "failed", "left"; "unknown" when only its records are
	Heard      bool          `json:"heard"`      // its evidence is fresh
	Silent     time.Duration `json:"silent"`     // since its evidence last advanced; 0 when there is none
	Epoch      string        `json:"epoch"`      // plan it answers with
	ConfigHash string        `json:"config"`     //
	Mode       string        `json:"mode"`       //
	Overrides  string        `json:"overrides"`  // digest of the overrides it has in force
	ClockSkew  time.Duration `json:"clock_skew"` // its wall clock less ours, roughly; decides nothing
	Version    string        `json:"version"`
	DNS        string        `json:"dns"`
	Self       bool          `json:"self"`
}

// Explanation accounts for one answer.
type Explanation struct {
	Node   string       `json:"node"`
	Name   string       `json:"name"`
	Type   string       `json:"type"`
	Zone   string       `json:"zone"`
	RCode  string       `json:"rcode"`
	Static []string     `json:"static,omitempty"` // records from the zone file, a CNAME chain included
	Trace  *steer.Trace `json:"trace,omitempty"`  // how a steered answer was chosen; nil for a static one
}

// Top is what a node was asked most, as a sample of its queries tells.
type Top struct {
	Node   string    `json:"node"`
	By     string    `json:"by"`     // ByName, ByClient or ByType
	Sample int       `json:"sample"` // one of so many queries was counted; counts are multiplied by it
	Since  time.Time `json:"since"`
	Until  time.Time `json:"until"`
	Total  uint64    `json:"total"` // queries, those that are not listed included
	Items  []TopItem `json:"items"` // most first
	// Estimated says that there is more than the node keeps in mind, so that small counts are rough.
	Estimated bool `json:"estimated"`
}

// TopItem is a name, a client network or a type.
type TopItem struct {
	Key   string  `json:"key"`
	Count uint64  `json:"count"`
	Share float64 `json:"share"` // of all queries, 0..1
}

// Queries is how much client networks ask a node's services, as a sample of its queries tells.
type Queries struct {
	Node      string       `json:"node"`
	Sample    int          `json:"sample"` // as in Top
	Since     time.Time    `json:"since"`
	Until     time.Time    `json:"until"`
	Total     uint64       `json:"total"`     // of the counts
	Estimated bool         `json:"estimated"` // as in Top; sums over many networks are right on average all the same
	Counts    []QueryCount `json:"counts"`    // most first
}

// QueryCount is one client network, at most a /24 or a /48, and one service.
type QueryCount struct {
	Client  netip.Prefix `json:"client"`
	Service string       `json:"service"`
	Count   uint64       `json:"count"`
}

// Ack says how far a change must have come before the call returns.
type Ack string

// The acknowledge levels. A change is on this node's disk before any of them is met.
const (
	AckLocal    Ack = "local"    // durable and in force here
	AckMajority Ack = "majority" // in force on more than half of the known nodes; default
	AckAll      Ack = "all"      // in force on every known node
)

// Change is a request to set or clear one override.
type Change struct {
	Override replication.Override `json:"override"` // Cleared = true clears (service, site, action)
	DryRun   bool                 `json:"dry_run"`  // preview only
	Force    bool                 `json:"force"`    // even if a pool would be left empty
	Ack      Ack                  `json:"ack"`
	Wait     time.Duration        `json:"wait"` // for the acknowledge level; 0 = 5 s; at most 1 min
}

// Outcome is what a change did, or would do.
type Outcome struct {
	Applied  bool                 `json:"applied"`
	Override replication.Override `json:"override"`
	Pools    []PoolChange         `json:"pools"`             // services whose available sites change
	Refused  string               `json:"refused,omitempty"` // why it was not applied
	Nodes    []NodeAck            `json:"nodes,omitempty"`
	Acked    bool                 `json:"acked"` // the acknowledge level was met in time
	// SafeAfter is when no client that obeys the TTL it was given can still hold an answer from before the change, as
	// far as the nodes go that have it in force; zero when the change makes no difference to answers.
	SafeAfter time.Time `json:"safe_after,omitzero"`
}

// PoolChange is one service and family before and after a change.
type PoolChange struct {
	Service        string   `json:"service"`
	Family         string   `json:"family"`
	Before         []string `json:"before"`
	After          []string `json:"after"`
	CapacityBefore uint64   `json:"capacity_before"`
	CapacityAfter  uint64   `json:"capacity_after"`
}

// NodeAck is one node's progress with a change.
type NodeAck struct {
	Node    string `json:"node"`
	Applied bool   `json:"applied"`
	Alive   bool   `json:"alive"`
}

// Event is something that happened on this node. IDs grow by one and start anew with each boot.
type Event struct {
	ID   uint64    `json:"id"`
	Time time.Time `json:"time"`
	Kind string    `json:"kind"` // "verdict", "override", "config", "geo", "mode", "member", "tls" or "alarm"
	Site string    `json:"site,omitempty"`
	Text string    `json:"text"`
}

// ReloadResult is what a reload did.
type ReloadResult struct {
	Hash    string `json:"hash"`
	Changed bool   `json:"changed"`
}
