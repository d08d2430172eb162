package sim

import (
	"io"
	"time"
)

// Result is what a run has shown.
type Result struct {
	Seed       uint64        `json:"seed"`
	Violations []Violation   `json:"violations"` // the first of each invariant, in order
	Stats      Stats         `json:"stats"`
	Hash       string        `json:"hash"` // of everything that happened
	Virtual    time.Duration `json:"virtual"`
}

// Stats count what happened.
type Stats struct {
	Events       uint64 `json:"events"`
	Steps        uint64 `json:"steps"` // of observers
	Probes       uint64 `json:"probes"`
	Merges       uint64 `json:"merges"`
	Decisions    uint64 `json:"decisions"`
	Transitions  uint64 `json:"transitions"` // of verdicts, on all nodes
	Compilations uint64 `json:"compilations"`
	Packets      uint64 `json:"packets"`
	Messages     uint64 `json:"messages"`
	Bytes        uint64 `json:"bytes"` // of gossip and anti-entropy, without encryption and headers
	Queries      uint64 `json:"queries"`
	Acks         uint64 `json:"acks"`
}

// Options of a run.
type Options struct {
	Trace       io.Writer // a line for everything of note; nil = none
	StopAtFirst bool      // end with the first violation
}

// Run plays a valid scenario. It is deterministic, and may be called by several goroutines at once.
func Run(s Scenario, o Options) Result { return run(s, o, sound()) }

func run(s Scenario, o Options, x seams) Result {
	w := newWorld(s, x, o.Trace)
	w.run(o.StopAtFirst)
	return Result{
		Seed: s.Seed, Violations: w.checker.violations, Stats: w.stats, Hash: w.trace.sum(), Virtual: w.now,
	}
}

// Plus adds two counts.
func (s Stats) Plus(t Stats) Stats {
	return Stats{
		Events: s.Events + t.Events, Steps: s.Steps + t.Steps, Probes: s.Probes + t.Probes, Merges: s.Merges + t.Merges,
		Decisions: s.Decisions + t.Decisions, Transitions: s.Transitions + t.Transitions,
		Compilations: s.Compilations + t.Compilations, Packets: s.Packets + t.Packets, Messages: s.Messages + t.Messages,
		Bytes: s.Bytes + t.Bytes, Queries: s.Queries + t.Queries, Acks: s.Acks + t.Acks,
	}
}
