package gossip

import (
	"bytes"
	"fmt"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/meridian-gtm/meridian/replication"
)

const (
	inboxMessages = 4096
	inboxBytes    = 16 << 20
)

// delegate takes memberlist's calls. They come on its packet path and under its locks: all copy and return.
type delegate struct{ g *Gossip }

var (
	_ memberlist.Delegate         = delegate{}
	_ memberlist.EventDelegate    = delegate{}
	_ memberlist.AliveDelegate    = delegate{}
	_ memberlist.PingDelegate     = delegate{}
	_ memberlist.ConflictDelegate = delegate{}
)

func (d delegate) NodeMeta(int) []byte { return encodeMeta(d.g.opts.Datacenter, d.g.opts.Meta) }

func (d delegate) NotifyMsg(b []byte) {
	g := d.g
	g.counters.messagesIn.Add(1)
	if len(b) == 0 || len(b) > maxMessage {
		g.counters.malformed.Add(1)
		return
	}
	if g.inboxBytes.Add(int64(len(b))) > inboxBytes {
		g.inboxBytes.Add(-int64(len(b)))
		g.counters.overflow.Add(1)
		return
	}
	select {
	case g.inbox <- bytes.Clone(b):
	default:
		g.inboxBytes.Add(-int64(len(b)))
		g.counters.overflow.Add(1)
	}
}

// GetBroadcasts adapts the number of transmissions to the size of the fleet. The queue reads its RetransmitMult in no
// other call.
func (d delegate) GetBroadcasts(overhead, limit int) [][]byte {
	d.g.queueMu.Lock()
	defer d.g.queueMu.Unlock()
	d.g.queue.RetransmitMult = retransmitMult(d.g.table.alive())
	return d.g.queue.GetBroadcasts(overhead, limit)
}

// LocalState and MergeRemoteState make each push/pull an exchange of digests.
func (d delegate) LocalState(bool) []byte { return d.g.digest() }

func (d delegate) MergeRemoteState(b []byte, _ bool) { d.NotifyMsg(b) }

func (d delegate) NotifyJoin(n *memberlist.Node)   { d.g.table.up(n) }
func (d delegate) NotifyUpdate(n *memberlist.Node) { d.g.table.up(n) }
func (d delegate) NotifyLeave(n *memberlist.Node)  { d.g.table.down(n.Name) }

// NotifyAlive keeps nodes out whose names or metadata this one could not work with.
func (d delegate) NotifyAlive(n *memberlist.Node) error {
	if !replication.ValidName(n.Name) {
		return fmt.Errorf("name %q: want a node name", n.Name)
	}
	if dc, _, ok := decodeMeta(n.Meta); !ok || !replication.ValidName(dc) {
		return fmt.Errorf("metadata %x: want a datacenter", n.Meta)
	}
	return nil
}

func (d delegate) AckPayload() []byte { return nil }

func (d delegate) NotifyPingComplete(n *memberlist.Node, rtt time.Duration, _ []byte) {
	d.g.table.heard(n.Name, rtt)
}

func (d delegate) NotifyConflict(existing, other *memberlist.Node) {
	if n := d.g.counters.conflicts.Add(1); n%100 != 1 {
		return // it goes on with every message of the other
	}
	d.g.opts.Logger.Error("gossip: two nodes have one name", "name", existing.Name,
		"known", existing.Address(), "other", other.Address())
}
