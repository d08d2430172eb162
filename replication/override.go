package replication

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Action is what an operator did to a site. Precedence, first match wins:
// freeze > isolate > force-up > drain > weight > verdict > fail-open.
type Action string

// The actions.
const (
	Freeze  Action = "freeze"   // hold the verdict as it was when the override was made
	Isolate Action = "isolate"  // never answer, not even when everything is down
	ForceUp Action = "force-up" // answer whatever the probes say
	Drain   Action = "drain"    // weight 0; answered only when nothing else is left
	Weight  Action = "weight"   // percent of the configured weight
)

// Override is one operator's decision about one site, for one service or for all. The key (service, site, action)
// has one current version; clearing is a newer version with Cleared set.
type Override struct {
	Service string `json:"service,omitempty"` // "" = every service
	Site    string `json:"site"`
	Action  Action `json:"action"`
	Percent int    `json:"percent,omitempty"` // Weight only: 0..1000 percent of the configured weight

	// FrozenLevel and FrozenWeight are the verdict a Freeze holds: "up", "partial" or "down", and 0..1000 permille.
	FrozenLevel  string `json:"frozen_level,omitempty"`
	FrozenWeight int    `json:"frozen_weight,omitempty"`

	Who     string `json:"who"`     // authenticated user, or the local account
	Why     string `json:"why"`     // reason, never empty
	Created int64  `json:"created"` // unix milliseconds
	Expires int64  `json:"expires"` // unix milliseconds; 0 = until cleared
	Cleared bool   `json:"cleared,omitempty"`
}

// rank orders the actions by precedence; smaller wins, -1 is no action.
func (a Action) rank() int {
	switch a {
	case Freeze:
		return 0
	case Isolate:
		return 1
	case ForceUp:
		return 2
	case Drain:
		return 3
	case Weight:
		return 4
	}
	return -1
}

// Limits of an override's texts and numbers.
const (
	MaxWhoBytes = 128
	MaxWhyBytes = 512
	MaxPercent  = 1000 // percent of the configured weight
	maxPermille = 1000
)

// Validate reports every fault of o, joined.
func (o Override) Validate() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf("override: "+format, args...)) }
	if o.Service != "" && !ValidName(o.Service) {
		fault("service %q: want a name, or nothing for every service", o.Service)
	}
	if !ValidName(o.Site) {
		fault("site %q: want a name", o.Site)
	}
	if o.Action.rank() < 0 {
		fault("action %q: want freeze, isolate, force-up, drain or weight", o.Action)
	}
	switch {
	case o.Action == Weight && (o.Percent < 0 || o.Percent > MaxPercent):
		fault("percent %d: want 0..%d", o.Percent, MaxPercent)
	case o.Action != Weight && o.Percent != 0:
		fault("percent %d: want none with action %q", o.Percent, o.Action)
	}
	if o.Action == Freeze {
		switch o.FrozenLevel {
		case "up", "partial", "down":
		default:
			fault("frozen_level %q: want up, partial or down", o.FrozenLevel)
		}
		if o.FrozenWeight < 0 || o.FrozenWeight > maxPermille {
			fault("frozen_weight %d: want 0..%d permille", o.FrozenWeight, maxPermille)
		}
	} else if o.FrozenLevel != "" || o.FrozenWeight != 0 {
		fault("frozen verdict: want none with action %q", o.Action)
	}
	if err := checkText("who", o.Who, MaxWhoBytes); err != nil {
		faults = append(faults, err)
	}
	if err := checkText("why", o.Why, MaxWhyBytes); err != nil {
		faults = append(faults, err)
	}
	if o.Created <= 0 {
		fault("created %d: want unix milliseconds", o.Created)
	}
	if o.Expires != 0 && o.Expires <= o.Created {
		fault("expires %d: want 0, or after created %d", o.Expires, o.Created)
	}
	return errors.Join(faults...)
}

// checkText wants some visible text: it is shown in terminals and in HTML, and who and why must be answerable.
func checkText(field, s string, limit int) error {
	switch {
	case strings.TrimSpace(s) == "":
		return fmt.Errorf("override: %s is empty: want 1..%d bytes", field, limit)
	case len(s) > limit:
		return fmt.Errorf("override: %s of %d bytes: want 1..%d", field, len(s), limit)
	case !utf8.ValidString(s):
		return fmt.Errorf("override: %s %q: want UTF-8", field, s)
	case strings.ContainsFunc(s, unicode.IsControl):
		return fmt.Errorf("override: %s %q: want no control characters", field, s)
	}
	return nil
}

// NewOverride returns the record with which writer publishes o. Clearing an override is the same decision once
// more, with Cleared set and a newer version; its Expires stays, so that the clearing is remembered as long as
// anybody may still hold what it cleared.
func NewOverride(o Override, writer string, v Version) (Record, error) {
	if err := o.Validate(); err != nil {
		return Record{}, err
	}
	body, err := json.Marshal(o)
	if err != nil {
		return Record{}, fmt.Errorf("override: %w", err)
	}
	r := Record{Kind: KindOverride, Key: o.Key(), Writer: writer, Version: v, Expires: o.Expires, Body: body}
	_, err = check(r)
	return r, err
}

// DecodeOverride reads and validates the body of an override record. Fields it does not know are ignored, so that
// a newer node can say more to an older one.
func DecodeOverride(body []byte) (Override, error) {
	if len(body) > MaxOverrideBytes {
		return Override{}, fmt.Errorf("override of %d bytes: want at most %d", len(body), MaxOverrideBytes)
	}
	var o Override
	if err := json.Unmarshal(body, &o); err != nil {
		return Override{}, fmt.Errorf("override: %w", err)
	}
	return o, o.Validate()
}

// InForce reports whether o acts at now: neither cleared nor expired. An override ends at its expiry, not after it.
func (o Override) InForce(now time.Time) bool {
	return !o.Cleared && (o.Expires == 0 || now.UnixMilli() < o.Expires)
}

// Deciding returns the override that decides for a site of a service, among overrides in force: the first action
// by precedence, and of equal actions the one for this service before the one for every service.
func Deciding(inForce []Override, service, site string) (Override, bool) {
	var best Override
	found := false
	for _, o := range inForce {
		if o.Site != site || (o.Service != "" && o.Service != service) {
			continue
		}
		if !found || o.Action.rank() < best.Action.rank() ||
			(o.Action == best.Action && o.Service != "" && best.Service == "") {
			best, found = o, true
		}
	}
	return best, found
}
