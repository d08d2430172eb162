package gossip

import (
	"context"
	"time"

	"github.com/meridian-gtm/meridian/replication"
)

// maxBatch bounds the messages that one delivery waits for.
const maxBatch = 256

// receive handles messages until ctx ends.
func (g *Gossip) receive(ctx context.Context) {
	r := receiver{g: g, asked: make(map[string]request)}
	for {
		select {
		case <-ctx.Done():
			return
		case b := <-g.inbox:
			r.handle(b)
		}
		for range maxBatch {
			select {
			case b := <-g.inbox:
				r.handle(b)
				continue
			default:
			}
			break
		}
		r.deliver()
	}
}

// receiver collects records for one delivery.
type receiver struct {
	g       *Gossip
	pending []replication.Record
	asked   map[string]request // by key
}

// request is a fetch that is under way.
type request struct {
	sum   uint64
	until time.Time
}

func (r *receiver) handle(b []byte) {
	g := r.g
	g.inboxBytes.Add(-int64(len(b)))
	m, err := decodeMessage(b)
	if err != nil {
		g.counters.malformed.Add(1)
		g.opts.Logger.Debug("gossip message", "error", err)
		return
	}
	g.counters.malformed.Add(uint64(m.broken))
	if m.from == g.opts.Name {
		return
	}
	if m.from != "" {
		g.table.heard(m.from, 0)
	}
	switch m.kind {
	case typeRecord:
		r.take(m.record)
	case typeRecords:
		r.take(m.records...)
	case typeAnnounce:
		r.fetch(m.from, m.entries[0])
	case typeBye:
		g.table.bye(m.from)
	case typeDigest:
		r.deliver() // answer with all that has come
		g.answerDigest(m)
	case typeEntries:
		r.deliver()
		g.answerEntries(m)
	case typeWant:
		var records []replication.Record
		g.store.View(func(s *replication.State) { records = s.Records(m.keys) })
		g.send(m.from, encodeRecords(records)...)
	}
}

func (r *receiver) take(records ...replication.Record) {
	r.g.store.View(func(s *replication.State) {
		for _, record := range records {
			if !s.Knows(record) {
				r.pending = append(r.pending, record)
			}
		}
	})
}

func (r *receiver) deliver() {
	if len(r.pending) == 0 {
		return
	}
	records := r.pending
	r.pending = nil
	for _, record := range records {
		delete(r.asked, record.Key)
	}
	r.g.counters.delivered.Add(uint64(len(records)))
	r.g.store.Deliver(records)
}

// fetch asks a peer for the record that it announced. An announcement comes many times; the same record is asked for
// again, perhaps of another peer, only when the answer is late.
func (r *receiver) fetch(from string, e replication.Entry) {
	now := time.Now()
	if q, ok := r.asked[e.Key]; ok && q.sum == e.Sum && now.Before(q.until) {
		return
	}
	wanted := false
	r.g.store.View(func(s *replication.State) { wanted = s.Wants(e) })
	if !wanted || replication.KindOf(e.Key) == 0 || !r.g.send(from, encodeWant(r.g.opts.Name, []string{e.Key})) {
		return
	}
	if len(r.asked) >= replication.MaxRecords {
		clear(r.asked)
	}
	r.asked[e.Key] = request{sum: e.Sum, until: now.Add(r.g.pace.refetch)}
}
