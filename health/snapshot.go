package health

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// TargetVerdict names the target that a verdict is about. It is the element of lists in JSON, where a target cannot
// be a key.
type TargetVerdict struct {
	Target  Target  `json:"target"`
	Verdict Verdict `json:"verdict"`
}

// EncodeVerdicts writes verdicts as a JSON list, sorted by target, for the snapshot that a restart begins from.
func EncodeVerdicts(verdicts map[Target]Verdict) ([]byte, error) {
	list := make([]TargetVerdict, 0, len(verdicts))
	for _, t := range slices.SortedFunc(maps.Keys(verdicts), Target.Compare) {
		list = append(list, TargetVerdict{t, verdicts[t]})
	}
	return json.Marshal(list)
}

// DecodeVerdicts reads what [EncodeVerdicts] wrote. It returns all faults, joined, and then no verdicts: half a past
// is worse than none.
func DecodeVerdicts(b []byte) (map[Target]Verdict, error) {
	var list []TargetVerdict
	if err := json.Unmarshal(b, &list); err != nil {
		return nil, fmt.Errorf("verdicts: %w", err)
	}
	verdicts := make(map[Target]Verdict, len(list))
	var faults []error
	for i, tv := range list {
		t, v := tv.Target, tv.Verdict
		_, twice := verdicts[t]
		switch {
		case t.Site == "" || t.Check == "" || t.Family != V4 && t.Family != V6:
			faults = append(faults, fmt.Errorf("verdicts[%d]: target %v: want site, check and family 4 or 6", i, t))
		case twice:
			faults = append(faults, fmt.Errorf("verdicts[%d]: target %v: want it once", i, t))
		case v.Weight > FullWeight:
			faults = append(faults, fmt.Errorf("verdicts[%d]: weight %d: want 0..%d", i, v.Weight, FullWeight))
		case v.Age < 0:
			faults = append(faults, fmt.Errorf("verdicts[%d]: age %v: want 0 or more", i, v.Age))
		}
		verdicts[t] = v
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	return verdicts, nil
}
