package replication

// Kind says what a record carries and who may write it.
type Kind uint8

// The record kinds. Their numbers are on the wire and on disk.
const (
	KindEvidence Kind = 1 // body: health.Evidence, written by its node only
	KindApplied  Kind = 2 // body: Applied, written by its node only
	KindOverride Kind = 3 // body: Override, written by an operator through any node
)

// Version orders the records of one key. For evidence and applied records Major is the writer's boot epoch and
// Minor its sequence number. For overrides Major is the hybrid logical clock's time in unix milliseconds and
// Minor its counter; equal clocks are broken by the writer's name.
type Version struct {
	Major uint64
	Minor uint64
}

// Record is one versioned value. Records are immutable once made: Body must not be changed.
type Record struct {
	Kind    Kind
	Key     string // "evidence/NODE", "applied/NODE", "override/SERVICE/SITE/ACTION"
	Writer  string // node name
	Version Version
	Expires int64 // unix milliseconds after which the record has no effect; 0 = never
	Body    []byte
}

// Applied is what a node says about itself: what it is running, for status and for operators who wait for a change
// to have reached everybody.
type Applied struct {
	Node       string `json:"node"`
	Datacenter string `json:"datacenter"`
	PlanEpoch  string `json:"plan_epoch"`  // digest of everything that decides answers
	ConfigHash string `json:"config_hash"` // digest of the fleet-wide part of the configuration
	Mode       string `json:"mode"`        // health mode: "normal", "warm", "minority-hold", ...
	Overrides  string `json:"overrides"`   // digest of the overrides in force: equal digests mean that a change has arrived
	ClockMS    int64  `json:"clock_ms"`    // writer's wall clock when published, unix ms: shows offsets, decides nothing
	Version    string `json:"version"`     // program version
	API        string `json:"api"`         // host:port of its control API, "" when it is loopback only
	DNS        string `json:"dns"`         // host:port of its first DNS listener
}
