package gossip

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/memberlist"
	"golang.org/x/sync/errgroup"

	"github.com/meridian-gtm/meridian/replication"
)

// Store is the owner of the records.
type Store interface {
	// View calls f with the state, which f reads and does not keep; nothing else changes it meanwhile. It may be
	// called from several goroutines.
	View(f func(*replication.State))

	// Deliver hands over records from peers: of sound form, not yet known when they came, not validated. The owner
	// merges them and publishes those that changed its state. Calls do not overlap; one that takes long holds up
	// gossip, not memberlist.
	Deliver(records []replication.Record)
}

// Gossip exchanges a store's records with other nodes. Its methods may be called concurrently.
type Gossip struct {
	opts  Options
	pace  pace
	store Store
	table *members

	keyringMu sync.Mutex
	keyring   *memberlist.Keyring // nil = unencrypted

	queueMu sync.Mutex
	queue   memberlist.TransmitLimitedQueue

	inbox      chan []byte
	inboxBytes atomic.Int64
	outbox     *outbox
	counters   counters

	running    atomic.Bool
	ready      chan struct{} // closed once memberlist runs
	memberlist *memberlist.Memberlist
	addr       netip.AddrPort
}

const (
	label = "meridian" // keeps other memberlist fleets apart, with or without a common key

	// memberlist fills packets up to its limit, and adds a checksum and a part header beyond it.
	packetFill = maxPacket - 8
)

// New checks opts, reporting every fault, and returns a Gossip that does nothing yet.
func New(store Store, opts Options) (*Gossip, error) {
	opts = opts.withDefaults()
	if err := opts.validate(); err != nil {
		return nil, err
	}
	g := &Gossip{
		opts: opts, pace: opts.Profile.pace(), store: store, table: newMembers(opts.Name),
		inbox: make(chan []byte, inboxMessages), outbox: newOutbox(), ready: make(chan struct{}),
	}
	g.queue.NumNodes = g.table.alive
	if len(opts.Keyring) > 0 {
		ring, err := memberlist.NewKeyring(opts.Keyring, opts.Keyring[0])
		if err != nil {
			return nil, fmt.Errorf("gossip: keyring: %w", err)
		}
		g.keyring = ring
	}
	return g, nil
}

// Run joins the fleet and stays in it until ctx ends; then it says goodbye and returns nil. An address that cannot be
// bound is an error at once; peers that cannot be reached never are. It can be called once.
func (g *Gossip) Run(ctx context.Context) error {
	if g.running.Swap(true) {
		return errors.New("gossip: already run")
	}
	// Work goes on while goodbyes are said.
	working, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	if err := g.start(working); err != nil {
		return err
	}
	close(g.ready)
	g.opts.Logger.Info("gossip runs", "address", g.addr, "encrypted", g.keyring != nil, "seeds", len(g.opts.Seeds))

	var group errgroup.Group
	for _, loop := range []func(context.Context){g.receive, g.reconcile, g.rejoin} {
		group.Go(func() error { loop(working); return nil })
	}
	<-ctx.Done()
	g.leave()
	stop()
	_ = group.Wait() // loops return no error
	err := g.memberlist.Shutdown()
	g.outbox.wait()
	return err
}

func (g *Gossip) start(ctx context.Context) error {
	logger := newMemberlistLogger(g.opts.Logger)
	inner := g.opts.Transport
	if inner == nil {
		bound, err := listen(g.opts.Bind, logger)
		if err != nil {
			return fmt.Errorf("gossip: listen %s: %w", g.opts.Bind, err)
		}
		inner = bound
		if g.opts.Bind.Port() == 0 {
			g.opts.Bind = netip.AddrPortFrom(g.opts.Bind.Addr(), uint16(bound.GetAutoBindPort()))
		}
	}
	if g.opts.Advertise.Port() == 0 {
		g.opts.Advertise = netip.AddrPortFrom(g.opts.Advertise.Addr(), g.opts.Bind.Port())
	}
	g.addr = plain(g.opts.Advertise)
	t := newTransport(inner, g.opts.Faults, &g.counters, g.opts.Bind.Addr(), g.pace.stream)
	if g.opts.Transport == nil {
		t.dial = dialFrom(ctx, g.opts.Bind.Addr())
	}

	conf := memberlist.DefaultWANConfig()
	conf.Name = g.opts.Name
	conf.Label = label
	conf.Transport = t
	conf.BindAddr, conf.BindPort = g.opts.Bind.Addr().String(), int(g.opts.Bind.Port())
	conf.AdvertiseAddr, conf.AdvertisePort = g.addr.Addr().String(), int(g.addr.Port())
	conf.TCPTimeout = g.pace.stream
	conf.RetransmitMult = retransmitMult(len(g.opts.Seeds) + 1)
	conf.GossipInterval, conf.GossipNodes = g.pace.gossip, 4
	conf.GossipToTheDeadTime = g.pace.toTheDead
	conf.ProbeInterval, conf.ProbeTimeout = g.pace.probe, g.pace.probeTimeout
	conf.SuspicionMult = g.pace.suspicion
	conf.PushPullInterval = g.pace.pushPull
	conf.DeadNodeReclaimTime = g.pace.reclaim
	conf.EnableCompression = false // records are small, and compressed input can be made to grow
	conf.UDPBufferSize = packetFill
	conf.Keyring = g.keyring
	conf.Logger = logger
	d := delegate{g}
	conf.Delegate, conf.Events, conf.Alive, conf.Ping, conf.Conflict = d, d, d, d, d
	conf.DelegateProtocolVersion, conf.DelegateProtocolMin, conf.DelegateProtocolMax = 1, 1, 1

	m, err := memberlist.Create(conf)
	if err != nil {
		return errors.Join(fmt.Errorf("gossip: %w", err), t.Shutdown())
	}
	g.memberlist = m
	return nil
}

// leave lets peers know that this node goes on purpose, so that none suspects it.
func (g *Gossip) leave() {
	g.enqueue("bye/"+g.opts.Name, begin(typeBye, g.opts.Name))
	if err := g.memberlist.Leave(g.opts.LeaveTimeout); err != nil {
		g.opts.Logger.Warn("gossip leaves without a goodbye", "error", err)
	}
}

// Publish sends records to all nodes, in place of older ones of the same keys that still wait. The store must hold
// them already, because peers fetch the large ones from it. Publish may be called before Run, and never blocks. Its
// errors are records that do not encode.
func (g *Gossip) Publish(records ...replication.Record) error {
	var faults []error
	for _, r := range records {
		b, err := r.AppendBinary(append(make([]byte, 0, 1+r.EncodedLen()), typeRecord))
		if err != nil {
			faults = append(faults, fmt.Errorf("gossip: %w", err))
			continue
		}
		if len(b) > maxInline {
			b = appendEntry(begin(typeAnnounce, g.opts.Name), replication.Entry{Key: r.Key, Version: r.Version, Sum: r.Sum()})
			g.counters.announced.Add(1)
		}
		g.counters.published.Add(1)
		g.enqueue(r.Key, b)
	}
	return errors.Join(faults...)
}

func (g *Gossip) enqueue(name string, b []byte) { g.queue.QueueBroadcast(&broadcast{name, b}) }

// broadcast is one item of the queue. Items replace older ones of their name.
type broadcast struct {
	name string
	b    []byte
}

var _ memberlist.NamedBroadcast = (*broadcast)(nil)

func (b *broadcast) Name() string    { return b.name }
func (b *broadcast) Message() []byte { return b.b }
func (b *broadcast) Finished()       {}

// Invalidates is not asked for named broadcasts, but must agree with Name.
func (b *broadcast) Invalidates(other memberlist.Broadcast) bool {
	o, ok := other.(*broadcast)
	return ok && o.name == b.name
}

// Ready is closed once Run listens.
func (g *Gossip) Ready() <-chan struct{} { return g.ready }

// Addr is the advertised address; with port 0 in the options it is known once Ready is closed, and zero before.
func (g *Gossip) Addr() netip.AddrPort {
	select {
	case <-g.ready:
		return g.addr
	default:
		return netip.AddrPort{}
	}
}

// Members returns all nodes that this one knows, itself included, sorted by name: the alive, and for a day the lost.
func (g *Gossip) Members() []Member { return g.table.list() }

// HealthScore is memberlist's opinion of this node's own health: 0 is healthy, each missed deadline of its own adds 1,
// up to 8. It is 0 before Run.
func (g *Gossip) HealthScore() int {
	select {
	case <-g.ready:
		return g.memberlist.GetHealthScore()
	default:
		return 0
	}
}

// send hands messages to another goroutine, which writes them to a peer's stream one after the other. It reports
// false when the peer is not there or too much is under way already; anti-entropy will try again.
func (g *Gossip) send(to string, messages ...[]byte) bool {
	peer, ok := g.table.peer(to)
	if !ok || len(messages) == 0 {
		return false
	}
	node := &memberlist.Node{Name: peer.Name, Addr: net.IP(peer.Addr.Addr().AsSlice()), Port: peer.Addr.Port()}
	accepted := g.outbox.do(to, func() {
		for _, b := range messages {
			if err := g.memberlist.SendReliable(node, b); err != nil {
				g.counters.sendErrors.Add(1)
				g.opts.Logger.Debug("gossip stream", "peer", to, "error", err)
				return
			}
		}
	})
	if !accepted {
		g.counters.overflow.Add(1)
	}
	return accepted
}

// outbox bounds the streams to peers, so that one peer that hangs holds up neither the others nor memory.
type outbox struct {
	mu    sync.Mutex
	to    map[string]int
	total int
	wg    sync.WaitGroup
}

const (
	maxSending   = 64
	maxSendingTo = 4 // one peer
)

func newOutbox() *outbox { return &outbox{to: make(map[string]int)} }

func (o *outbox) do(peer string, f func()) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.total >= maxSending || o.to[peer] >= maxSendingTo {
		return false
	}
	o.total++
	o.to[peer]++
	o.wg.Go(func() {
		defer func() {
			o.mu.Lock()
			defer o.mu.Unlock()
			o.total--
			if o.to[peer]--; o.to[peer] == 0 {
				delete(o.to, peer)
			}
		}()
		f()
	})
	return true
}

func (o *outbox) wait() { o.wg.Wait() }
