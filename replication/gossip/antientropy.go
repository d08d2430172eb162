package gossip

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/meridian-gtm/meridian/replication"
)

// reconcile exchanges digests with one near peer and one of another datacenter, each at its own interval.
//
//	A -> B  digest                      stops here when both are equal
//	B -> A  entries of the buckets that differ
//	A -> B  records B lacks, and which A wants
//	B -> A  those records
func (g *Gossip) reconcile(ctx context.Context) {
	near, foreign := time.NewTicker(g.pace.near), time.NewTicker(g.pace.foreign)
	defer near.Stop()
	defer foreign.Stop()
	for {
		var peers []string
		select {
		case <-ctx.Done():
			return
		case <-near.C:
			same, others := g.peers()
			if peers = same; len(peers) == 0 {
				peers = others // alone in its datacenter: all are equally far
			}
		case <-foreign.C:
			_, peers = g.peers()
		}
		if len(peers) == 0 {
			continue
		}
		g.counters.exchanges.Add(1)
		g.send(peers[rand.IntN(len(peers))], g.digest())
	}
}

// peers returns the names of the alive peers in this datacenter and in others.
func (g *Gossip) peers() (near, foreign []string) {
	for _, m := range g.table.list() {
		switch {
		case m.Self || m.State != Alive:
		case m.Datacenter == g.opts.Datacenter:
			near = append(near, m.Name)
		default:
			foreign = append(foreign, m.Name)
		}
	}
	return near, foreign
}

func (g *Gossip) digest() []byte {
	var d replication.Digest
	g.store.View(func(s *replication.State) { d = s.Digest() })
	return encodeDigest(g.opts.Name, d)
}

func (g *Gossip) answerDigest(m message) {
	var buckets []int
	var entries []replication.Entry
	g.store.View(func(s *replication.State) {
		if buckets = s.Digest().Differing(m.digest); len(buckets) > 0 {
			entries = s.Entries(buckets)
		}
	})
	if len(buckets) > 0 {
		g.send(m.from, encodeEntries(g.opts.Name, buckets, entries))
	}
}

func (g *Gossip) answerEntries(m message) {
	var records []replication.Record
	var want []string
	g.store.View(func(s *replication.State) { records, want = s.Diff(m.buckets, m.entries) })
	var messages [][]byte
	if len(want) > 0 {
		messages = append(messages, encodeWant(g.opts.Name, want))
	}
	if messages = append(messages, encodeRecords(records)...); len(messages) > 0 {
		g.send(m.from, messages...)
	}
}
