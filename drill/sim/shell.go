package sim

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/meridian-gtm/meridian/dnsserver/steer"
	"github.com/meridian-gtm/meridian/health"
	"github.com/meridian-gtm/meridian/replication"
)

// replica is what the owner goroutine of a node holds, and what this file does with it is what package node does
// around the cores: merge, mergeOne, observed and housekeep of its store.go; publishEvidence, alone, receive and
// arrived of owner.go; decide of decide.go; compile and same of plan.go.
//
// In fleets above cohortsFrom nodes those of one datacenter share one, as long as no fault strikes one of them
// alone: what they hold differs by milliseconds of their LAN only, and a thousand copies of it would cost a
// thousand times as much.
type replica struct {
	members []*node // the first that runs speaks for all

	state      replication.State
	heard      []heard // by node
	good       map[health.Target]health.Verdict
	view       health.View
	decision   health.Decision
	lostQuorum time.Duration // when; -1 = quorate
	warm       bool
	warmSince  time.Duration
	started    time.Duration

	inputs    compiled
	plan      *steer.Plan
	foldAt    time.Duration // of the latest decision
	cleanedAt time.Duration

	gossip
}

// heard is a node's latest evidence and when it came.
type heard struct {
	*health.Evidence
	said *decoded
	at   time.Duration
}

// decoded is evidence as those who get the same bytes share it, with what all of them would ask of it.
type decoded struct {
	of       *byte // the first of its bytes, which tells it from all others
	evidence health.Evidence
	says     string // equal for evidence that says the same, but for ages
	doubts   []int  // targets that it has just begun to suspect
}

// latest are a writer's latest publications, decoded.
type latest struct {
	all  [8]*decoded
	next int
}

// compiled is what a plan was made of.
type compiled struct {
	verdicts  map[health.Target]health.Verdict
	at        time.Duration
	overrides []replication.Override
}

func (w *world) newReplica(n *node) *replica {
	r := &replica{members: []*node{n}}
	r.reset(w)
	n.replica = r
	return r
}

func (r *replica) reset(w *world) {
	r.heard = make([]heard, w.sc.Nodes)
	r.good = map[health.Target]health.Verdict{}
	r.lostQuorum, r.warm, r.started, r.warmSince, r.foldAt = -1, true, w.now, w.now, w.now
	r.gossip.reset(w)
}

// voice is the member that speaks, nil when none runs.
func (r *replica) voice() *node {
	for _, n := range r.members {
		if n.up && !n.paused {
			return n
		}
	}
	return nil
}

// tick does what is due by time alone.
func (w *world) tick(n *node) {
	w.later(n, w.pace.pass, evPass, 0, nil)
	if w.now >= n.publishAt {
		w.publishEvidence(n)
	}
	r := n.replica
	if r.voice() != n {
		return
	}
	if w.now-n.appliedAt >= w.pace.applied && w.sc.Nodes <= cohortsFrom {
		w.publishApplied(n)
	}
	if w.now-r.cleanedAt >= w.pace.housekeeping {
		r.cleanedAt = w.now
		w.housekeep(r, n)
	}
	w.decide(r)
}

// publishEvidence tells everybody what the node's probes show.
func (w *world) publishEvidence(n *node) {
	n.publishAt = w.now + w.pace.heartbeat
	n.seq++
	blind := !n.witnessed(w.now)
	e := health.Evidence{
		Node: n.name, Datacenter: datacenterName(n.dc), Epoch: n.epoch, Seq: n.seq,
		Isolated: blind && w.alone(n), Blind: blind, Warm: !n.round,
		Targets: make([]health.TargetEvidence, len(n.observers)),
	}
	for t := range n.observers {
		o := &n.observers[t]
		e.Targets[t] = o.state.Evidence(w.fleet.Targets[t], w.now, o.policy)
	}
	w.seams.publish(w, n, &e)
	w.checker.published(w, n, &e)
	body, err := e.AppendBinary(nil)
	if err != nil {
		w.checker.fail(w, n, "records-encode", "evidence: %v", err)
		return
	}
	r, err := replication.NewEvidence(n.name, replication.Version{Major: e.Epoch, Minor: e.Seq}, body)
	if err != nil {
		w.checker.fail(w, n, "records-encode", "evidence: %v", err)
		return
	}
	w.publish(n, r)
}

// alone says that no other datacenter is heard.
func (w *world) alone(n *node) bool {
	for i, h := range n.replica.heard {
		if h.Evidence != nil && w.nodes[i].dc != n.dc && w.now-h.at < w.fleet.Policy.Stale {
			return false
		}
	}
	return true
}

func (w *world) publishApplied(n *node) {
	n.appliedAt = w.now
	n.appliedSeq++
	epoch := ""
	if n.replica.plan != nil {
		epoch = n.replica.plan.Epoch()
	}
	r, err := replication.NewApplied(replication.Applied{
		Node: n.name, Datacenter: datacenterName(n.dc), PlanEpoch: epoch, Mode: string(n.replica.decision.Mode),
		ClockMS: n.wall(w.now).UnixMilli(),
	}, replication.Version{Major: n.epoch, Minor: n.appliedSeq})
	if err != nil {
		w.checker.fail(w, n, "records-encode", "applied: %v", err)
		return
	}
	w.publish(n, r)
}

// publish merges an own record and tells the others.
func (w *world) publish(n *node, r replication.Record) {
	w.merge(n.replica, n, []replication.Record{r})
	have, ok := n.replica.state.Get(r.Key)
	if !ok || have.Version != r.Version || have.Writer != r.Writer {
		w.checker.outranked(w, n, r, have)
		return
	}
	n.replica.enqueue(w, r)
}

// merge folds in records that are new here and returns those that changed the state.
func (w *world) merge(r *replica, n *node, records []replication.Record) (changed []replication.Record) {
	wall := n.wall(w.now)
	for _, record := range records {
		var evidence *decoded
		writer := -1
		switch record.Kind {
		case replication.KindEvidence:
			writer = w.sc.nodeNumber(replication.NodeOf(record.Key))
			evidence = w.decode(writer, record.Body)
			if evidence == nil {
				w.checker.fail(w, n, "records-encode", "%s does not decode", record.Key)
				continue
			}
		case replication.KindApplied:
			writer = w.sc.nodeNumber(replication.NodeOf(record.Key))
		}
		w.stats.Merges++
		outcome, err := w.seams.merge(w, r, record, wall)
		if err != nil || outcome != replication.Changed {
			continue
		}
		held, ok := r.state.Get(record.Key)
		w.checker.merged(w, r, n, held, ok, record)
		if evidence != nil {
			r.heard[writer] = heard{&evidence.evidence, evidence, w.now}
		}
		if writer >= 0 {
			r.alive[writer] = w.now
		}
		changed = append(changed, held)
	}
	return changed
}

// decode reads evidence, once for all who get the same bytes.
func (w *world) decode(writer int, body []byte) *decoded {
	l := &w.decoded[writer]
	for _, d := range l.all {
		if d != nil && d.of == &body[0] {
			return d
		}
	}
	e, err := health.DecodeEvidence(body)
	if err != nil {
		return nil
	}
	d := &decoded{of: &body[0], evidence: e, says: gist(&e)}
	for t := range e.Targets {
		if t < len(w.fleet.Targets) && e.Targets[t].Target == w.fleet.Targets[t] {
			e.Targets[t].Target = w.fleet.Targets[t] // the same text in memory compares faster
		}
		if e.Targets[t].State == health.StateSuspect && e.Targets[t].Age < time.Second {
			d.doubts = append(d.doubts, t)
		}
	}
	l.all[l.next] = d
	l.next = (l.next + 1) % len(l.all)
	return d
}

// gist is what evidence says, as bytes, without what changes from one publication to the next by time alone.
func gist(e *health.Evidence) string {
	bit := func(b bool) byte {
		if b {
			return 1
		}
		return 0
	}
	b := make([]byte, 0, 11+8*len(e.Targets))
	b = append(b, bit(e.Isolated), bit(e.Blind), bit(e.Warm))
	b = binary.BigEndian.AppendUint64(b, e.Epoch)
	for i := range e.Targets {
		t := &e.Targets[i]
		b = append(b, byte(t.State), bit(t.Soft), bit(t.Back))
		b = binary.BigEndian.AppendUint32(b, t.Policy)
	}
	return string(b)
}

// take folds in what others say. The owner decides at once on news; what only says that its writer lives waits for
// the next tick.
func (w *world) take(n *node, records []replication.Record) {
	r := n.replica
	records = w.unknown(r, records)
	if len(records) == 0 {
		return
	}
	was := make([]*decoded, len(records))
	for i, record := range records {
		if record.Kind == replication.KindEvidence {
			was[i] = r.heard[w.sc.nodeNumber(replication.NodeOf(record.Key))].said
		}
	}
	changed := w.merge(r, n, records)
	news := false
	for _, record := range changed {
		if w.seams.relay {
			r.enqueue(w, record) // gossip does not relay: what is news here may be news to the next
		}
		news = w.arrived(n, record) || news
	}
	if !news {
		for i, record := range records {
			if record.Kind == replication.KindEvidence {
				now := r.heard[w.sc.nodeNumber(replication.NodeOf(record.Key))].said
				news = news || now != was[i] && (was[i] == nil || now == nil || was[i].says != now.says)
			}
		}
	}
	if news && w.now-r.foldAt >= w.pace.fold {
		w.decide(r)
	}
}

// unknown returns the records that r does not know. Most packets repeat what is known: they cost nothing.
// The result lasts until the next call.
func (w *world) unknown(r *replica, records []replication.Record) []replication.Record {
	news := w.news[:0]
	for i := range records {
		if !r.holds(w, &records[i]) && !w.seams.knows(r, records[i]) {
			news = append(news, records[i])
		}
	}
	w.news = news
	return news
}

// holds says whether evidence is, to the byte in memory, what r heard last: then nothing needs to be looked up.
func (r *replica) holds(w *world, record *replication.Record) bool {
	if record.Kind != replication.KindEvidence {
		return false
	}
	i := w.sc.nodeNumber(replication.NodeOf(record.Key))
	return i >= 0 && r.heard[i].said != nil && r.heard[i].said.of == &record.Body[0]
}

// arrived acts on one record that changed the state, and says whether it is news.
func (w *world) arrived(n *node, record replication.Record) bool {
	r := n.replica
	switch record.Kind {
	case replication.KindOverride:
		w.saveSoon(r)
		return true
	case replication.KindEvidence:
		h := r.heard[w.sc.nodeNumber(replication.NodeOf(record.Key))]
		if h.said == nil {
			break
		}
		for _, t := range h.said.doubts {
			for _, m := range r.members {
				if m.up && !m.paused {
					w.stepObserver(m, t, health.Event{Kind: health.EventAlert})
				}
			}
		}
	}
	return false
}

// housekeep merges what was parked and is due, and forgets what has been over or silent for long.
func (w *world) housekeep(r *replica, n *node) {
	for _, record := range r.state.Release(n.wall(w.now)) {
		w.arrived(n, record)
	}
	gone := r.state.Collect(n.wall(w.now), w.now, func(node string) time.Duration {
		return w.now - r.alive[w.sc.nodeNumber(node)]
	})
	for _, key := range gone {
		if i := w.sc.nodeNumber(replication.NodeOf(key)); i >= 0 {
			r.heard[i] = heard{}
		}
	}
}

// observed returns all evidence with its silence, by name.
func (w *world) observed(r *replica) []health.Observed {
	out := make([]health.Observed, 0, len(r.heard))
	for _, i := range w.byName {
		if h := r.heard[i]; h.Evidence != nil {
			out = append(out, health.Observed{Evidence: *h.Evidence, Silent: w.seams.silent(w, r, h)})
		}
	}
	return out
}

// warmFor is how long a node that has just started may stay in warm mode without a full probe round, or without a word of
// some datacenter.
const warmFor = 20 * time.Second

// decide makes verdicts of all evidence and has the plan follow them.
func (w *world) decide(r *replica) {
	n := r.voice()
	if n == nil {
		return
	}
	w.stats.Decisions++
	observed := w.observed(r)
	view := w.seams.aggregate(observed, w.fleet)
	if view.Quorate {
		r.lostQuorum = -1
	} else if r.lostQuorum < 0 {
		r.lostQuorum = w.now
	}
	if w.now-r.foldAt >= w.fleet.Policy.Stale {
		r.warm, r.warmSince = true, w.now // it stood still until all that it had heard was stale
	}
	if r.warm && (view.Complete(w.fleet) && n.round || w.now-r.warmSince >= warmFor) {
		r.warm = false
	}
	prior := health.Prior{Verdicts: r.good, Witnessed: n.witnessed(w.now), Warm: r.warm}
	if !view.Quorate {
		prior.QuorumLost = w.now - r.lostQuorum
	}
	before := r.decision
	r.view, r.decision = view, w.seams.decide(view, prior, w.fleet)
	r.good = r.decision.Good
	r.foldAt = w.now
	for t, target := range w.fleet.Targets {
		needed := r.decision.Needed[target]
		for _, m := range r.members {
			m.observers[t].policy.Needed = needed
		}
	}
	for _, t := range w.fleet.Targets {
		old, now := before.Verdicts[t], r.decision.Verdicts[t]
		if old.Level != now.Level || !slices.Equal(old.AvoidRegions, now.AvoidRegions) {
			w.stats.Transitions++
			w.tell("%-5s %s %s %v -> %v: %s", n.name, r.decision.Mode, t, old.Level, now.Level, now.Reason)
			w.saveSoon(r)
		}
	}
	w.checker.decided(w, r, n, observed, prior, before)
	w.compile(r, n)
}

// sameMoment is how far apart two sites may have gone down for their order to be of no account.
const sameMoment = 250 * time.Millisecond

func (w *world) sameInputs(b, c *compiled) bool {
	if !slices.Equal(c.overrides, b.overrides) {
		return false
	}
	for _, t := range w.fleet.Targets {
		v, u := c.verdicts[t], b.verdicts[t]
		if v.Level != u.Level || v.Weight != u.Weight || v.TTL != u.TTL || !slices.Equal(v.AvoidRegions, u.AvoidRegions) {
			return false
		}
		if v.Level == health.Down && ((b.at-u.Age)-(c.at-v.Age)).Abs() > sameMoment {
			return false
		}
	}
	return true
}

// compile makes the plan of what is in force when that is different.
func (w *world) compile(r *replica, n *node) {
	c := compiled{r.decision.Verdicts, w.now, w.seams.overrides(w, r, n.wall(w.now))}
	if r.plan != nil && w.sameInputs(&r.inputs, &c) {
		return
	}
	in := w.inputs
	in.Verdicts, in.Overrides = c.verdicts, c.overrides
	w.stats.Compilations++
	plan, err := steer.Compile(in, r.plan)
	if err != nil {
		w.checker.fail(w, n, "answers-flow", "no plan: %v", err)
		return
	}
	fresh := r.plan == nil || plan.Epoch() != r.plan.Epoch()
	r.inputs, r.plan = c, plan
	if fresh {
		w.trace.add(fmt.Appendf(w.trace.buffer, "%s %s\n", n.name, plan.Epoch()))
		w.checker.planned(w, r, n)
		if w.sc.Nodes <= cohortsFrom && n.seq > 0 {
			w.publishApplied(n)
		}
	}
}
