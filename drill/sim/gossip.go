package sim

import (
	"slices"
	"time"

	"github.com/meridian-gtm/meridian/replication"
)

// gossip is what a replica keeps of the others and has to tell them. It models replication/gossip and memberlist
// below it: rounds of packets of at most packetLimit bytes to a few random members, each record sent a limited
// number of times, those sent least first; large records are announced and fetched; digests are exchanged with one
// near and one far member; members that are silent are given up, and only rejoining finds them again.
type gossip struct {
	alive  []time.Duration // by node: when it was last heard of
	levels [][]*item       // by number of transmissions
	waits  map[string]*item
	asked  map[string]request
	turn   int
}

// item is a record that waits to be sent on.
type item struct {
	record replication.Record
	size   int
	large  bool
	gone   bool // replaced by a newer one of its key
}

type request struct {
	sum   uint64
	until time.Duration
}

// The limits of replication/gossip.
const (
	packetLimit = 1192 // what memberlist fills a packet to
	inlineLimit = 1000 // larger records are announced
	announced   = 80   // bytes of an announcement
	fanout      = 4
	itemFrame   = 3 // bytes that memberlist adds to each message
)

const never = -time.Hour

func (g *gossip) reset(w *world) {
	*g = gossip{alive: make([]time.Duration, w.sc.Nodes), waits: map[string]*item{}, asked: map[string]request{}}
	for i := range g.alive {
		g.alive[i] = never
	}
}

// transmissions is how often a record is sent on before it is dropped from the queue.
func (w *world) transmissions() int {
	digits := 0
	for n := w.sc.Nodes; n > 0; n /= 10 {
		digits++
	}
	if w.sc.Nodes > cohortsFrom {
		return 2 // each reaches a whole datacenter, and is passed on there
	}
	return max(4, (12+digits-1)/digits) * digits
}

// enqueue has a record gossiped, in place of an older one of its key.
func (r *replica) enqueue(w *world, record replication.Record) {
	if old := r.waits[record.Key]; old != nil {
		old.gone = true
	}
	i := &item{record: record, size: record.EncodedLen() + 1}
	if i.size > inlineLimit {
		i.large, i.size = true, announced
	}
	i.size += itemFrame
	r.waits[record.Key] = i
	if r.levels == nil {
		r.levels = make([][]*item, w.transmissions())
	}
	r.levels[0] = append(r.levels[0], i)
}

// fill takes items for one packet, those sent least first and of these the newest.
func (r *replica) fill(limit int) (records []replication.Record, announce []replication.Entry, size int) {
	var sent []*item
	var level []int
	for k := range r.levels {
		kept := r.levels[k]
		for j := len(kept) - 1; j >= 0 && size < limit-40; j-- {
			x := kept[j]
			if !x.gone && size+x.size > limit {
				continue
			}
			copy(kept[j:], kept[j+1:])
			kept = kept[:len(kept)-1]
			if x.gone {
				continue
			}
			size += x.size
			if x.large {
				announce = append(announce, replication.Entry{Key: x.record.Key, Version: x.record.Version, Sum: x.record.Sum()})
			} else {
				records = append(records, x.record)
			}
			sent, level = append(sent, x), append(level, k)
		}
		r.levels[k] = kept
	}
	for i, x := range sent {
		if to := level[i] + 1; to < len(r.levels) {
			r.levels[to] = append(r.levels[to], x)
		} else {
			delete(r.waits, x.record.Key)
		}
	}
	return records, announce, size
}

// message is something on its way.
type message struct {
	kind     messageKind
	from     *node
	records  []replication.Record
	announce []replication.Entry
	digest   replication.Digest
	buckets  []int
	entries  []replication.Entry
	keys     []string
	alive    []time.Duration
}

type messageKind uint8

const (
	packet messageKind = iota
	digest
	entries
	want
	records
	join
	joined
)

// lives says whether gossip takes a node for alive.
func (w *world) lives(r *replica, i int) bool { return w.now-r.alive[i] < w.pace.lost }

// peers lists the living nodes of other replicas: near ones, far ones.
func (w *world) peers(n *node) (near, far []*node) {
	for i, m := range w.nodes {
		switch {
		case m.replica == n.replica || !w.lives(n.replica, i):
		case m.dc == n.dc:
			near = append(near, m)
		default:
			far = append(far, m)
		}
	}
	return near, far
}

func (w *world) gossipRound(n *node) {
	r := n.replica
	if r.members[0] != n && r.voice() != n {
		return
	}
	w.later(n, w.pace.gossip, evGossip, 0, nil)
	if len(r.waits) == 0 {
		return
	}
	near, far := w.peers(n)
	all := append(near, far...)
	for range min(fanout, len(all)) {
		i := w.chance.IntN(len(all))
		to := all[i]
		all[i] = all[len(all)-1]
		all = all[:len(all)-1]
		limit := packetLimit
		if w.sc.Nodes > cohortsFrom {
			limit *= len(r.members) // what all of them send to one datacenter goes as one
			all = slices.DeleteFunc(all, func(m *node) bool { return m.replica == to.replica })
		}
		records, announce, size := r.fill(limit)
		if size == 0 {
			return
		}
		w.checker.packet(w, n, size, limit)
		w.packet(n, to, &message{kind: packet, from: n, records: records, announce: announce}, size)
		if len(all) == 0 {
			return
		}
	}
}

// distance is the one-way delay between datacenters.
func (w *world) distance(a, b int) time.Duration {
	if a == b {
		return 250 * time.Microsecond
	}
	return time.Duration(10+7*max(a-b, b-a)) * time.Millisecond
}

// cutBetween says whether gossip from a to b is cut.
func (w *world) cutBetween(a, b *node) bool {
	if len(w.cuts) > 0 && w.cuts[[2]int{a.id, b.id}] {
		return true
	}
	if a.dc == b.dc {
		return false
	}
	return w.backbone || w.isolated[a.dc] || w.isolated[b.dc] || w.parted[a.dc] || w.parted[b.dc] || w.mute[a.dc]
}

// packet sends a datagram.
func (w *world) packet(from, to *node, m *message, size int) {
	w.stats.Packets++
	w.stats.Bytes += uint64(size)
	if w.cutBetween(from, to) || w.loss > 0 && w.chance.IntN(100) < w.loss {
		return
	}
	copies := 1
	if w.twice > 0 && w.chance.IntN(100) < w.twice {
		copies = 2
	}
	for range copies {
		w.push(event{at: w.now + w.transit(from, to), kind: evMessage, boot: to.boot, node: int32(to.id), x: m})
	}
}

func (w *world) transit(from, to *node) time.Duration {
	d := w.distance(from.dc, to.dc) + time.Duration(w.chance.Int64N(int64(time.Millisecond)))
	if from.dc != to.dc {
		d += w.delay
	}
	if w.scrambled > 0 {
		d += time.Duration(w.chance.Int64N(int64(w.scrambled)))
	}
	return d
}

// stream sends a message over a connection: it needs both directions, and loss only delays it.
func (w *world) stream(from, to *node, m *message) bool {
	if !to.up || w.cutBetween(from, to) || w.cutBetween(to, from) || w.loss >= 100 {
		return false
	}
	d := 2*w.transit(from, to) + w.transit(to, from)
	for w.loss > 0 && w.chance.IntN(100) < w.loss {
		d += 200 * time.Millisecond
	}
	if d > 10*time.Second {
		return false
	}
	for _, r := range m.records {
		w.stats.Bytes += uint64(r.EncodedLen() + 4)
	}
	w.stats.Bytes += uint64(60*(len(m.entries)+len(m.keys)) + 100)
	w.push(event{at: w.now + d, kind: evMessage, boot: to.boot, node: int32(to.id), x: m})
	return true
}

// receive handles one message.
func (w *world) receive(n *node, m *message) {
	r := n.replica
	if m.from.replica == r {
		return
	}
	w.stats.Messages++
	r.alive[m.from.id] = w.now
	switch m.kind {
	case packet:
		w.take(n, m.records)
		for _, e := range m.announce {
			w.fetch(n, m.from, e)
		}
	case records:
		for _, x := range m.records {
			delete(r.asked, x.Key)
		}
		w.take(n, m.records)
	case digest:
		if buckets := r.state.Digest().Differing(m.digest); len(buckets) > 0 {
			w.stream(n, m.from, &message{kind: entries, from: n, buckets: buckets, entries: r.state.Entries(buckets)})
		}
	case entries:
		send, ask := r.state.Diff(m.buckets, m.entries)
		if len(ask) > 0 {
			w.stream(n, m.from, &message{kind: want, from: n, keys: ask})
		}
		if len(send) > 0 {
			w.stream(n, m.from, &message{kind: records, from: n, records: send})
		}
	case want:
		if found := r.state.Records(m.keys); len(found) > 0 {
			w.stream(n, m.from, &message{kind: records, from: n, records: found})
		}
	case join:
		w.learn(r, m.alive)
		w.stream(n, m.from, &message{kind: joined, from: n, alive: append([]time.Duration(nil), r.alive...)})
	case joined:
		w.learn(r, m.alive)
	}
}

// learn takes over who else is there.
func (w *world) learn(r *replica, alive []time.Duration) {
	for i, at := range alive {
		r.alive[i] = max(r.alive[i], at)
	}
}

// fetch asks for a record that was announced.
func (w *world) fetch(n, from *node, e replication.Entry) {
	r := n.replica
	if q, ok := r.asked[e.Key]; ok && q.sum == e.Sum && w.now < q.until {
		return
	}
	if r.state.Wants(e) && w.stream(n, from, &message{kind: want, from: n, keys: []string{e.Key}}) {
		r.asked[e.Key] = request{e.Sum, w.now + w.pace.refetch}
	}
}

// reconcile exchanges digests with one member.
func (w *world) reconcile(n *node, k kind) {
	r := n.replica
	if r.voice() != n {
		return
	}
	every := w.pace.near
	near, peers := w.peers(n)
	if k == evNear {
		if len(near) > 0 {
			peers = near
		}
	} else {
		every = w.pace.foreign
	}
	w.later(n, every, k, 0, nil)
	if len(peers) > 0 && w.seams.antiEntropy {
		w.stream(n, peers[w.chance.IntN(len(peers))], &message{kind: digest, from: n, digest: r.state.Digest()})
	}
}

// rejoin tries one node of every datacenter that misses some.
func (w *world) rejoin(n *node) {
	r := n.replica
	w.later(n, w.pace.rejoin, evRejoin, 0, nil)
	if r.voice() != n {
		return
	}
	r.turn++
	if !w.seams.rejoin && w.now-n.booted > w.pace.lost {
		return
	}
	for dc := range w.sc.Datacenters {
		var absent []*node
		for i := dc; i < w.sc.Nodes; i += w.sc.Datacenters {
			if w.nodes[i].replica != r && !w.lives(r, i) {
				absent = append(absent, w.nodes[i])
			}
		}
		if len(absent) > 0 {
			alive := append([]time.Duration(nil), r.alive...)
			alive[n.id] = w.now
			w.stream(n, absent[r.turn%len(absent)], &message{kind: join, from: n, alive: alive})
		}
	}
}
