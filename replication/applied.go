package replication

import (
	"encoding/json"
	"errors"
	"fmt"
)

const (
	maxAppliedBytes = 4 << 10
	maxAppliedText  = 256 // each of its texts
)

// Validate reports every fault of a, joined.
func (a Applied) Validate() error {
	var faults []error
	if !ValidName(a.Node) {
		faults = append(faults, fmt.Errorf("applied: node %q: want a name", a.Node))
	}
	if !ValidName(a.Datacenter) {
		faults = append(faults, fmt.Errorf("applied: datacenter %q: want a name", a.Datacenter))
	}
	for _, f := range []struct{ name, text string }{
		{"plan_epoch", a.PlanEpoch}, {"config_hash", a.ConfigHash}, {"mode", a.Mode},
		{"version", a.Version}, {"api", a.API}, {"dns", a.DNS},
	} {
		if len(f.text) > maxAppliedText {
			faults = append(faults, fmt.Errorf("applied: %s of %d bytes: want at most %d", f.name, len(f.text),
				maxAppliedText))
		}
	}
	return errors.Join(faults...)
}

// NewApplied returns the record with which a.Node publishes a.
func NewApplied(a Applied, v Version) (Record, error) {
	if err := a.Validate(); err != nil {
		return Record{}, err
	}
	body, err := json.Marshal(a)
	if err != nil {
		return Record{}, fmt.Errorf("applied: %w", err)
	}
	r := Record{Kind: KindApplied, Key: AppliedKey(a.Node), Writer: a.Node, Version: v, Body: body}
	_, err = check(r)
	return r, err
}

// DecodeApplied reads and validates the body of an applied record. Fields it does not know are ignored.
func DecodeApplied(body []byte) (Applied, error) {
	if len(body) > maxAppliedBytes {
		return Applied{}, fmt.Errorf("applied of %d bytes: want at most %d", len(body), maxAppliedBytes)
	}
	var a Applied
	if err := json.Unmarshal(body, &a); err != nil {
		return Applied{}, fmt.Errorf("applied: %w", err)
	}
	return a, a.Validate()
}

// NewEvidence returns the record with which node publishes its encoded evidence.
func NewEvidence(node string, v Version, body []byte) (Record, error) {
	r := Record{Kind: KindEvidence, Key: EvidenceKey(node), Writer: node, Version: v, Body: body}
	_, err := check(r)
	return r, err
}
