package node

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/meridian-gtm/meridian/control"
	"github.com/meridian-gtm/meridian/health"
)

// The parts of a node that may be at fault.
const (
	partReload   = "reload"   // the configuration that was asked for is refused
	partGeo      = "geo"      // the geo files are refused
	partSnapshot = "snapshot" // what an earlier boot stored was damaged
	partDisk     = "disk"     // the state cannot be stored
	partEvidence = "evidence" // this node's evidence is not heard
	partApplied  = "applied"  // nor what it says about itself
	partPlan     = "plan"     // no plan can be made
	partTLS      = "tls"      // the certificate of DNS over TLS is refused
)

var parts = []string{partApplied, partDisk, partEvidence, partGeo, partPlan, partReload, partSnapshot, partTLS}

// fault sets or, with a nil error, clears what is wrong with a part of the node. Faults are alarms.
func (n *Node) fault(part string, err error) {
	if err == nil {
		delete(n.faults, part)
	} else {
		n.faults[part] = err.Error()
	}
}

// alarms lists what needs a person, sorted by code and subject.
func (n *Node) alarms(now time.Time) []health.Alarm {
	out := slices.Clone(n.decision.Alarms)
	for part, text := range n.faults {
		out = append(out, health.Alarm{Code: "fault", Subject: part, Text: part + ": " + text})
	}
	if parked := n.store.parked(); parked > 0 {
		out = append(out, health.Alarm{Code: "clock",
			Text: fmt.Sprintf("%d overrides come from the future and wait: a node's clock is wrong", parked)})
	}
	if a, ok := n.pairAlarm(now); ok {
		out = append(out, a)
	}
	for name, a := range n.store.appliedBy() {
		if a.ConfigHash != n.setup.hash && n.fresh(name) {
			out = append(out, health.Alarm{Code: "config", Subject: name, Text: fmt.Sprintf(
				"%s runs another configuration: %s, here %s", name, a.ConfigHash, n.setup.hash)})
		}
	}
	slices.SortFunc(out, func(a, b health.Alarm) int {
		return cmp.Or(strings.Compare(a.Code, b.Code), strings.Compare(a.Subject, b.Subject), strings.Compare(a.Text, b.Text))
	})
	return out
}

// fresh says whether a node has been heard within the stale limit.
func (n *Node) fresh(name string) bool {
	return slices.ContainsFunc(n.view.Observers, func(o health.Observer) bool {
		return o.Node == name && o.Silent < n.setup.fleet.Policy.Stale
	})
}

// noteAlarms makes events of the alarms that came and went. One whose text alone changes is the same alarm.
func (n *Node) noteAlarms(now time.Time) {
	before := n.alarmed
	n.alarmed = n.alarms(now)
	for _, a := range n.alarmed {
		if !hasAlarm(before, a) {
			n.event(control.Event{Time: now, Kind: "alarm", Text: a.Text})
			n.log.Warn("alarm", "code", a.Code, "subject", a.Subject, "text", a.Text)
		}
	}
	for _, a := range before {
		if !hasAlarm(n.alarmed, a) {
			n.event(control.Event{Time: now, Kind: "alarm", Text: "over: " + a.Text})
			n.log.Info("alarm is over", "code", a.Code, "subject", a.Subject)
		}
	}
}

func hasAlarm(list []health.Alarm, a health.Alarm) bool {
	return slices.ContainsFunc(list, func(b health.Alarm) bool { return b.Code == a.Code && b.Subject == a.Subject })
}
