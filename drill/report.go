package drill

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// Outcome is how a drill ended.
type Outcome string

// The outcomes.
const (
	Passed  Outcome = "passed"
	Failed  Outcome = "failed"  // a limit was not kept
	Aborted Outcome = "aborted" // a guard or a person stopped it
)

// Format is the version of the report's form.
const Format = 1

// Report is the account of one drill.
type Report struct {
	Format      int      `json:"format"`
	Plan        Plan     `json:"plan"`
	What        string   `json:"what"`
	Expect      Expect   `json:"expect"`
	Who         string   `json:"who,omitempty"`
	Forced      string   `json:"forced,omitempty"` // the reason given for playing it although interlocks did not hold
	Outcome     Outcome  `json:"outcome"`
	Checks      []Check  `json:"checks"`
	Facts       Facts    `json:"facts"`
	Metrics     Metrics  `json:"metrics"`
	Orders      *Orders  `json:"orders,omitempty"` // nil without a witness
	Assumptions []string `json:"assumptions"`
	Timeline    Timeline `json:"timeline"`
	Told        []Told   `json:"told"` // events of the nodes
}

// longest is more than any drill takes.
const longest = 48 * time.Hour

// maxReport bounds a report that is read, in bytes.
const maxReport = 256 << 20

// ReadReport reads what was written as JSON.
func ReadReport(r io.Reader) (*Report, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxReport+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxReport {
		return nil, fmt.Errorf("report: more than %d bytes", maxReport)
	}
	var out Report
	if err := json.Unmarshal(b, &out); err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	return &out, out.check()
}

// check reports what the rest of the package relies on.
func (r *Report) check() error {
	var faults []error
	if r.Format != Format {
		faults = append(faults, fmt.Errorf("format %d: want %d", r.Format, Format))
	}
	if r.Plan.Drill == "" {
		faults = append(faults, errors.New("no drill named"))
	}
	t := &r.Timeline
	for _, s := range t.Series {
		if s.Client < 0 || s.Client >= len(t.Clients) {
			faults = append(faults, fmt.Errorf("series of client %d: want 0..%d", s.Client, len(t.Clients)-1))
		}
	}
	for _, at := range []time.Duration{t.Broken, t.Healed, t.End} {
		if at < 0 || at > longest {
			faults = append(faults, fmt.Errorf("timeline: time %v: want 0s..%v", at, longest))
		}
	}
	if len(faults) > 0 {
		return fmt.Errorf("report: %w", errors.Join(faults...))
	}
	return nil
}

// assumptions says what of a report was not measured.
func assumptions(t Timeline) []string {
	list := []string{
		"Errors and loads of clients with caches are computed from the answers that were measured, for 70 % of clients that obey the TTL, " +
			"20 % that keep an answer 60 s at least, 8 % that keep it 300 s at least, and 2 % that never ask again. This mix is an assumption.",
		fmt.Sprintf("The demand before the drill is assumed to be %d %% of the capacity of all sites, spread over the client networks by their weights.", Demand),
		"Clients are assumed to ask every node equally often.",
		"A lost site and one that answers errors are counted as an error for each of their clients; a slow or lossy one is not.",
	}
	known := false
	for _, s := range t.Sites {
		known = known || s.Capacity > 0
	}
	if !known {
		list = append(list, "No site states a capacity: loads are not known.")
	}
	return list
}
