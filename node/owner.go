package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/meridian-gtm/meridian/control"
	"github.com/meridian-gtm/meridian/health"
	"github.com/meridian-gtm/meridian/replication"
)

const (
	// tick is how often time alone may change a verdict: holds end, ramps climb, evidence goes stale.
	tick = 250 * time.Millisecond
	// appliedEvery is how often a node says what it runs although nothing changed.
	appliedEvery = 5 * time.Second
)

var errStopped = errors.New("node has stopped")

// own folds events into the state, one at a time, until ctx ends.
func (n *Node) own(ctx context.Context) error {
	defer close(n.stopped)
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case f := <-n.calls:
			f()
		case <-n.prober.Changed():
			now := time.Now()
			n.publishEvidence(now)
			n.decide(now)
		case records := <-n.store.received:
			n.receive(records, time.Now())
		case <-ticker.C:
			n.pass(time.Now())
		}
	}
}

// call has the owner run f and returns its error.
func (n *Node) call(ctx context.Context, f func() error) error {
	done := make(chan error, 1)
	select {
	case n.calls <- func() { done <- f() }:
		return <-done
	case <-ctx.Done():
		return ctx.Err()
	case <-n.stopped:
		return errStopped
	}
}

// pass does what is due by time alone.
func (n *Node) pass(now time.Time) {
	if !now.Before(n.publishAt) {
		n.publishEvidence(now)
	}
	if now.Sub(n.appliedAt) >= appliedEvery {
		n.publishApplied(now)
	}
	for _, r := range n.store.housekeep(now) {
		n.arrived(r, now)
	}
	n.noteMembers(now)
	n.decide(now)
}

// receive folds in what other nodes say.
func (n *Node) receive(records []replication.Record, now time.Time) {
	changed, refused := n.store.merge(records, now)
	if len(refused) > 0 {
		n.refused.Add(uint64(len(refused)))
		n.log.Warn("records refused", "records", len(refused), "first", refused[0])
	}
	if len(changed) == 0 {
		return
	}
	for _, r := range changed {
		n.tell(r) // gossip does not relay: what is news here may be news to the next
		n.arrived(r, now)
	}
	n.changed.wake()
	n.decide(now)
}

// arrived acts on one record that changed the state.
func (n *Node) arrived(r replication.Record, now time.Time) {
	switch r.Kind {
	case replication.KindOverride:
		if o, err := replication.DecodeOverride(r.Body); err == nil && (o.Cleared || o.InForce(now)) {
			n.noteOverride(o, now)
		}
		n.saveSoon()
		n.publishApplied(now)
	case replication.KindApplied:
		if a, err := replication.DecodeApplied(r.Body); err == nil {
			n.skew[a.Node] = time.UnixMilli(a.ClockMS).Sub(now)
		}
	case replication.KindEvidence:
		e, _ := n.store.evidenceOf(replication.NodeOf(r.Key))
		for _, t := range e.Targets {
			if t.State == health.StateSuspect && t.Age < time.Second {
				n.prober.Poke(t.Target)
			}
		}
	}
}

// heartbeat is the longest pause between two publications of evidence: several fit into the stale limit.
func (n *Node) heartbeat() time.Duration {
	return min(2*time.Second, n.setup.fleet.Policy.Stale/5)
}

// publishEvidence tells everybody what this node's probes show.
func (n *Node) publishEvidence(now time.Time) {
	n.publishAt = now.Add(n.heartbeat())
	n.seq++
	blind := len(n.setup.config.Witnesses) > 0 && !n.prober.Witnessed()
	e := health.Evidence{
		Node: n.name, Datacenter: n.datacenter, Epoch: n.bootEpoch, Seq: n.seq,
		Isolated: blind && n.alone(now), Blind: blind, Warm: !n.prober.Round(), Score: n.gossip.HealthScore(),
		Targets: n.prober.Evidence(),
	}
	r, err := newEvidence(e)
	if err == nil {
		err = n.publish(r, now)
	}
	n.fault(partEvidence, err)
}

// newEvidence makes the record of e. Reasons give way when it gets too long: without them it fits, see
// setup.reportable, and an outage that makes many of them must not silence those who see it.
func newEvidence(e health.Evidence) (replication.Record, error) {
	body, err := e.AppendBinary(nil)
	if err != nil {
		for i := range e.Targets {
			e.Targets[i].Reason = ""
		}
		body, err = e.AppendBinary(nil)
	}
	if err != nil {
		return replication.Record{}, err
	}
	return replication.NewEvidence(e.Node, replication.Version{Major: e.Epoch, Minor: e.Seq}, body)
}

// alone says that no other datacenter is heard.
func (n *Node) alone(now time.Time) bool {
	for _, o := range n.store.observed(now) {
		if o.Evidence.Datacenter != n.datacenter && o.Silent < n.setup.fleet.Policy.Stale {
			return false
		}
	}
	return true
}

// publishApplied tells everybody what this node answers with.
func (n *Node) publishApplied(now time.Time) {
	n.appliedAt = now
	n.appliedSeq++
	r, err := replication.NewApplied(replication.Applied{
		Node: n.name, Datacenter: n.datacenter, PlanEpoch: n.epoch, ConfigHash: n.setup.hash,
		Mode: string(n.decision.Mode), Overrides: n.store.overridesDigest(), ClockMS: now.UnixMilli(),
		Version: n.version, DNS: n.dns.Addrs()[0].String(),
	}, replication.Version{Major: n.bootEpoch, Minor: n.appliedSeq})
	if err == nil {
		err = n.publish(r, now)
	}
	n.fault(partApplied, err)
}

// publish merges an own record and tells the others.
func (n *Node) publish(r replication.Record, now time.Time) error {
	if _, refused := n.store.merge([]replication.Record{r}, now); len(refused) > 0 {
		return errors.Join(refused...)
	}
	if !n.store.holds(r) {
		return fmt.Errorf("%s: a newer one is known: another node has this one's name, or its clock was set back", r.Key)
	}
	n.tell(r)
	n.changed.wake()
	return nil
}

// noteMembers makes events of nodes that come and go.
func (n *Node) noteMembers(now time.Time) {
	for _, m := range n.gossip.Members() {
		if m.Self || n.peers[m.Name] == m.State {
			continue
		}
		n.peers[m.Name] = m.State
		n.event(control.Event{Time: now, Kind: "member", Text: fmt.Sprintf("%s of %s is %s", m.Name, m.Datacenter, m.State)})
		n.log.Info("member", "peer", m.Name, "datacenter", m.Datacenter, "state", string(m.State))
	}
}

// tell gossips a record that has been merged.
func (n *Node) tell(r replication.Record) {
	if err := n.gossip.Publish(r); err != nil {
		n.log.Error("record is not gossiped", "key", r.Key, "err", err)
	}
}
