package sim

import (
	"time"

	"github.com/meridian-gtm/meridian/health"
	"github.com/meridian-gtm/meridian/replication"
)

// node is one process with its clock, its disk and its way into the network.
type node struct {
	id   int
	name string
	dc   int

	up, paused bool
	boot       uint32 // of the simulation: events of an earlier one are void
	epoch      uint64 // boot epoch, as the node knows it
	booted     time.Duration
	deferred   []event
	busy       time.Duration // when it will have done what has come
	slow       time.Duration
	noFiles    bool
	poisoned   bool

	skew    time.Duration // of the wall clock
	rate    time.Duration // that it gains in a second
	rateAt  time.Duration // when skew was last brought up to date
	gained  time.Duration // of skew, by rate
	disk    disk
	replica *replica

	observers []observer
	probed    int  // targets that have been probed
	round     bool // all have
	witness   witness

	seq, appliedSeq uint64
	publishAt       time.Duration
	appliedAt       time.Duration
}

// witness is the word of the witnesses, as in health/probe.
type witness struct {
	asked, answer bool
	at            time.Duration
}

func (w *world) newNode(i int) *node {
	n := &node{id: i, name: w.sc.nodeName(i), dc: i % w.sc.Datacenters}
	n.observers = make([]observer, len(w.fleet.Targets))
	for t, target := range w.fleet.Targets {
		n.observers[t].policy = w.fleet.Policy.Observer(n.name, target, w.probeOf)
	}
	return n
}

// wall is what the node's wall clock shows.
func (n *node) wall(now time.Duration) time.Time {
	return genesis.Add(now + n.skew + time.Duration(int64(n.rate)*int64((now-n.rateAt)/time.Millisecond)/1000))
}

// adjust sets the wall clock by jump, and has it gain so much more in every second.
func (n *node) adjust(w *world, jump, rate time.Duration) {
	gained := time.Duration(int64(n.rate) * int64((w.now-n.rateAt)/time.Millisecond) / 1000)
	n.skew += gained + jump
	n.gained += gained
	n.rate += rate
	n.rateAt = w.now
}

// boot starts the process: it loads what the disk has and answers from it at once.
func (w *world) boot(n *node, first bool) {
	r := n.replica
	w.start(n)
	*r = replica{members: r.members}
	r.reset(w)
	saved := n.disk.load(w)
	now := n.wall(w.now)
	n.epoch = max(saved.epoch+1, uint64(max(now.Unix(), 0)))
	if !w.seams.storeEpoch {
		n.epoch = saved.epoch + 1
	}
	w.merge(r, n, saved.decode())
	if len(saved.good) > 0 && w.seams.loadGood {
		if good, err := health.DecodeVerdicts(saved.good); err == nil {
			r.good = good
		}
	}
	n.disk.open(w, n)
	if !first {
		w.tell("node  %s boots, epoch %d, %d records", n.name, n.epoch, r.state.Len())
	}
	w.decide(r)
	w.checker.booted(w, n, saved)
	w.beginWork(n, true)
}

// bootMember starts a process that shares the replica of its datacenter.
func (w *world) bootMember(n *node) {
	w.start(n)
	n.epoch = uint64(n.wall(w.now).Unix())
	w.beginWork(n, false)
}

func (w *world) start(n *node) {
	n.up, n.paused, n.booted, n.busy = true, false, w.now, 0
	n.boot++
	n.deferred = nil
	n.probed, n.round, n.witness = 0, false, witness{}
	n.seq, n.appliedSeq, n.publishAt, n.appliedAt = 0, 0, w.now, w.now
	for t := range n.observers {
		n.observers[t] = observer{policy: n.observers[t].policy}
		n.observers[t].policy.Needed = false
	}
}

// beginWork sets the node's timers, each at a phase of its own.
func (w *world) beginWork(n *node, speaks bool) {
	phase := func(d time.Duration) time.Duration { return time.Duration(w.chance.Int64N(int64(d))) }
	for t := range n.observers {
		w.later(n, 0, evProbe, int32(t), nil)
	}
	w.later(n, 0, evWitness, 0, nil)
	w.later(n, phase(w.pace.pass), evPass, 0, nil)
	if !speaks {
		return
	}
	w.later(n, phase(w.pace.gossip), evGossip, 0, nil)
	w.later(n, phase(w.pace.near), evNear, 0, nil)
	w.later(n, phase(w.pace.foreign), evForeign, 0, nil)
	w.later(n, phase(w.pace.gossip), evRejoin, 0, nil)
}

// crash takes the power: what was not synced is lost.
func (w *world) crash(n *node) {
	if !n.up {
		return
	}
	n.up = false
	n.boot++
	n.deferred = nil
	n.disk.lose(w)
	w.checker.crashed(n)
}

func (w *world) pause(n *node) {
	if n.up {
		n.paused = true
	}
}

func (w *world) resume(n *node) {
	n.paused = false
	waiting := n.deferred
	n.deferred = nil
	for _, e := range waiting {
		e.at = w.now
		w.queue.push(e) // keeps its due time: it is late
	}
}

// detach gives a node of a cohort a replica of its own before a fault strikes it alone.
func (w *world) detach(n *node) {
	old := n.replica
	if len(old.members) == 1 {
		return
	}
	for i, m := range old.members {
		if m == n {
			old.members = append(old.members[:i:i], old.members[i+1:]...)
			if i == 0 {
				w.beginSpeaking(old.members[0])
			}
			break
		}
	}
	r := w.newReplica(n)
	r.good, r.warm, r.warmSince, r.lostQuorum = old.good, old.warm, old.warmSince, old.lostQuorum
	var records []replication.Record
	for record := range old.state.All() {
		records = append(records, record)
	}
	w.merge(r, n, records)
	copy(r.heard, old.heard)
	copy(r.alive, old.alive)
	w.decide(r)
	w.beginSpeaking(n)
}

// beginSpeaking has a node gossip for its replica from now on.
func (w *world) beginSpeaking(n *node) {
	w.later(n, w.pace.gossip, evGossip, 0, nil)
	w.later(n, w.pace.near, evNear, 0, nil)
	w.later(n, w.pace.foreign, evForeign, 0, nil)
	w.later(n, w.pace.rejoin, evRejoin, 0, nil)
}
