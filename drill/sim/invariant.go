package sim

import (
	"fmt"
	"slices"
	"time"
)

// Invariant is something that holds in every run: always, or once the fleet has been left alone for a while.
type Invariant struct {
	Name string `json:"name"`
	Doc  string `json:"doc"`
	Live bool   `json:"live"` // looked at only after quiet
}

// Invariants lists all that are checked.
func Invariants() []Invariant { return slices.Clone(invariants[:]) }

var invariants = [...]Invariant{
	// Answers.
	{"answer-never-empty", "every node answers every steered name with at least one address", false},
	{"answers-flow", "a running node has a plan from its first moment, whatever gossip, disk and peers do", false},
	{"isolated-never-answered", "the address of an isolated site is in no answer", false},
	{"drained-answers-last", "a drained site is not answered while another is available", false},
	{"ttl-in-range", "every TTL is within its service's range", false},
	{"unsettled-is-short", "a verdict that is in doubt, held, young or of a warm node has the short TTL", false},

	// Verdicts.
	{"equal-inputs-equal-verdicts", "the same evidence in another order gives the same bytes", false},
	{"reasons-replay", "the votes in a verdict lead to its level", false},
	{"votes-match-evidence", "the votes in a verdict are the counts of the evidence", false},
	{"more-observers-change-nothing", "multiplying the nodes of a datacenter changes no verdict", false},
	{"half-reach-keeps", "a site that half of the voting foreign datacenters reach is not pulled", false},
	{"pull-is-corroborated", "one foreign datacenter alone pulls only with the site's own, or after the hold", false},
	{"nothing-wrong-nothing-pulled", "a site that every probe could reach is down on no node, whatever befell nodes, links, clocks and disks", false},
	{"poison-moves-nothing", "a bad check definition in one datacenter changes no answer while another reaches the site", false},
	{"soft-pulls-keep-capacity", "a soft pull leaves the demand with headroom, and a site", false},
	{"brake-holds", "most of a pool at once is believed only when all see it, after the hold", false},
	{"ramp-is-followed", "a site that returns starts small and does not reach its full weight early", false},

	// Quorum.
	{"quorum-of-the-configured", "quorum is more than half of the configured datacenters, of those that are heard", false},
	{"mode-follows-quorum", "a node's mode is what its quorum, its clock and its witnesses say", false},
	{"minority-waits", "without quorum nothing is pulled before the hold ends, nor ever while witnesses are silent", false},
	{"minority-is-unanimous", "without quorum a site that somebody heard reaches is not pulled", false},
	{"minority-leaves-one", "without quorum the last site is not pulled", false},
	{"heard-is-fresh", "an observer that was heard within the stale limit is not called stale", false},
	{"silence-does-not-count", "an observer that has been silent for the stale limit does not vote", false},

	// Observers.
	{"no-false-observation", "no node holds or says down what it could always reach, paused, slow or short of files as it was", false},
	{"damping-delays-no-pull", "an observer sees a dead target within its bound, however often it has flapped", false},
	{"warm-abstains", "evidence is warm until every target has been probed", false},

	// Records.
	{"versions-never-go-down", "what a node holds of a key never becomes older", false},
	{"future-is-parked", "an override from more than a minute ahead is not merged", false},
	{"expired-never-acts", "an expired or cleared override is in no plan", false},
	{"clock-goes-forward", "a new override is later than all that its node knew", false},
	{"own-word-is-newest", "no node finds itself outranked in its own records", false},
	{"epoch-grows", "every boot of a node has a greater epoch", false},
	{"acknowledged-survives", "an acknowledged override survives crash and power loss", false},
	{"restart-remembers", "a restarted node begins with the verdicts that it had stored", false},
	{"records-encode", "everything that is published can be read", false},
	{"packets-fit", "no datagram is above 1200 bytes", false},
	{"queues-are-bounded", "queues hold at most one record of a key, states at most what is configured", false},

	// After quiet.
	{"overrides-converge", "nodes that are connected hold equal overrides 30 s after the last change", true},
	{"evidence-flows", "nodes that are connected hear each other within the stale limit 30 s after the last change", true},
	{"verdicts-agree", "nodes that have long been left alone hold equal levels", true},
	{"well-means-up", "a fleet that nothing ails holds every site up", true},
	{"dead-sites-leave", "a site dead for everybody is out of all answers in 12 s, 5 s with the fast policy", true},
	{"clients-leave-the-dead", "a client that obeys TTLs has left a dead site one TTL later", true},
	{"fail-open-ends", "when all are down and one comes back, it is answered after its rise", true},
}

// Violation is an invariant that did not hold.
type Violation struct {
	Invariant string        `json:"invariant"`
	At        time.Duration `json:"at"`
	Node      string        `json:"node,omitempty"`
	Text      string        `json:"text"`
}

// String returns "23.4s a1 brake-holds: text".
func (v Violation) String() string {
	return fmt.Sprintf("%v %s %s: %s", v.At, v.Node, v.Invariant, v.Text)
}

// fail notes a violation, the first of each invariant.
func (c *checker) fail(w *world, n *node, invariant, format string, args ...any) {
	if !slices.ContainsFunc(invariants[:], func(i Invariant) bool { return i.Name == invariant }) {
		panic("no invariant " + invariant)
	}
	if slices.ContainsFunc(c.violations, func(v Violation) bool { return v.Invariant == invariant }) {
		return
	}
	v := Violation{Invariant: invariant, At: w.now, Text: fmt.Sprintf(format, args...)}
	if n != nil {
		v.Node = n.name
	}
	c.violations = append(c.violations, v)
	w.tell("VIOLATION %s", v)
}
