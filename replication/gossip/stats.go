package gossip

import "sync/atomic"

// Stats counts what a Gossip has done since it was made.
type Stats struct {
	PacketsIn, PacketsOut         uint64
	PacketBytesIn, PacketBytesOut uint64 // encrypted, without IP and UDP headers
	LargestPacketOut              uint64 // bytes; never more than 1200
	StreamsIn, StreamsOut         uint64
	StreamBytesIn, StreamBytesOut uint64 // without IP and TCP headers

	MessagesIn  uint64 // of this package; memberlist's own are not counted
	Malformed   uint64 // messages and records that did not decode
	Delivered   uint64 // records handed to the store
	Published   uint64 // records queued for gossip
	Announced   uint64 // of these, too large for a packet
	Exchanges   uint64 // anti-entropy rounds begun
	Overflow    uint64 // messages dropped because a queue was full
	SendErrors  uint64 // streams to peers that failed
	Oversize    uint64 // packets not sent because of more than 1200 bytes; 0 unless memberlist changed
	CutPackets  uint64 // packets and streams stopped by Faults
	Conflicts   uint64 // another node claimed a name that is taken
	Joins       uint64 // absent seeds and lost members that were reached
	QueuedItems int    // records waiting to be gossiped, at most one per key
}

type counters struct {
	packetsIn, packetsOut, packetBytesIn, packetBytesOut, largestPacketOut atomic.Uint64
	streamsIn, streamsOut, streamBytesIn, streamBytesOut                   atomic.Uint64
	messagesIn, malformed, delivered, published, announced, exchanges      atomic.Uint64
	overflow, oversize, sendErrors, cut, conflicts, joins                  atomic.Uint64
}

// Stats returns the counters.
func (g *Gossip) Stats() Stats {
	c := &g.counters
	return Stats{
		PacketsIn: c.packetsIn.Load(), PacketsOut: c.packetsOut.Load(),
		PacketBytesIn: c.packetBytesIn.Load(), PacketBytesOut: c.packetBytesOut.Load(),
		LargestPacketOut: c.largestPacketOut.Load(),
		StreamsIn:        c.streamsIn.Load(), StreamsOut: c.streamsOut.Load(),
		StreamBytesIn: c.streamBytesIn.Load(), StreamBytesOut: c.streamBytesOut.Load(),
		MessagesIn: c.messagesIn.Load(), Malformed: c.malformed.Load(), Delivered: c.delivered.Load(),
		Published: c.published.Load(), Announced: c.announced.Load(), Exchanges: c.exchanges.Load(),
		Overflow: c.overflow.Load(), Oversize: c.oversize.Load(), SendErrors: c.sendErrors.Load(), CutPackets: c.cut.Load(),
		Conflicts: c.conflicts.Load(), Joins: c.joins.Load(),
		QueuedItems: g.queue.NumQueued(),
	}
}

// raise makes v at least n.
func raise(v *atomic.Uint64, n uint64) {
	for old := v.Load(); n > old && !v.CompareAndSwap(old, n); old = v.Load() {
	}
}
