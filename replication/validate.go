package replication

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// ErrPastHorizon is wrapped by [Validate] for a record that ended more than [Horizon] ago.
var ErrPastHorizon = errors.New("record past the horizon")

// ErrFuture is wrapped by [Validate] for an override whose clock is more than [MaxFuture] ahead of now.
var ErrFuture = errors.New("record from the future")

// Validate reports every reason why r may not be merged at now, joined. A record that is sound in itself but out of
// its time gives ErrPastHorizon or ErrFuture.
func Validate(r Record, now time.Time) error {
	if _, err := check(r); err != nil {
		return err
	}
	if pastHorizon(r, now) {
		return fmt.Errorf("record %q: expired %s: %w", r.Key, formatMS(r.Expires), ErrPastHorizon)
	}
	if fromFuture(r, now) {
		return fmt.Errorf("record %q: clock %s, here it is %s: %w", r.Key,
			formatMS(int64(min(r.Version.Major, math.MaxInt64))), now.UTC().Format(time.RFC3339), ErrFuture)
	}
	return nil
}

// check reports every fault that r has at any time, and returns the override it carries, if it is one.
func check(r Record) (Override, error) {
	var faults []error
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("record %q: "+format, append([]any{r.Key}, args...)...))
	}
	if len(r.Key) > MaxKeyBytes {
		return Override{}, fmt.Errorf("record key of %d bytes: want at most %d", len(r.Key), MaxKeyBytes)
	}
	if !ValidName(r.Writer) {
		fault("writer %q: want a node name", r.Writer)
	}
	if r.Version.Major == 0 {
		fault("version major 0: want at least 1")
	}
	if r.Expires < 0 {
		fault("expires %d: want 0 or unix milliseconds", r.Expires)
	}
	if len(r.Body) == 0 || len(r.Body) > MaxBodyBytes {
		fault("body of %d bytes: want 1..%d", len(r.Body), MaxBodyBytes)
	}

	var o Override
	switch r.Kind {
	case KindEvidence:
		if r.Key != EvidenceKey(r.Writer) {
			fault("kind evidence, writer %q: want key %q", r.Writer, EvidenceKey(r.Writer))
		}
		if r.Expires != 0 {
			fault("expires %d: want 0, evidence ends with its node", r.Expires)
		}
	case KindApplied:
		if r.Key != AppliedKey(r.Writer) {
			fault("kind applied, writer %q: want key %q", r.Writer, AppliedKey(r.Writer))
		}
		if r.Expires != 0 {
			fault("expires %d: want 0, an applied record ends with its node", r.Expires)
		}
		if a, err := DecodeApplied(r.Body); err != nil {
			fault("%w", err)
		} else if a.Node != r.Writer {
			fault("body names node %q: want %q", a.Node, r.Writer)
		}
	case KindOverride:
		var err error
		if o, err = DecodeOverride(r.Body); err != nil {
			fault("%w", err)
			break
		}
		if r.Key != o.Key() {
			fault("body is of %q", o.Key())
		}
		// A record may outlive its override, because joins keep the later expiry, but must not end before it.
		if r.Expires != 0 && (o.Expires == 0 || r.Expires < o.Expires) {
			fault("expires %d before its override, %d", r.Expires, o.Expires)
		}
	default:
		fault("kind %d: want 1..3", r.Kind)
	}
	return o, errors.Join(faults...)
}

func pastHorizon(r Record, now time.Time) bool {
	return r.Expires != 0 && now.UnixMilli() > satAdd(r.Expires, Horizon.Milliseconds())
}

// fromFuture looks at overrides only: the versions of evidence and applied records are no times.
func fromFuture(r Record, now time.Time) bool {
	return r.Kind == KindOverride && ahead(r.Version, now)
}

func satAdd(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

func formatMS(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.RFC3339) }
