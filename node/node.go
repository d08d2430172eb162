package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/meridian-gtm/meridian/config"
	"github.com/meridian-gtm/meridian/control"
	"github.com/meridian-gtm/meridian/dnsserver"
	"github.com/meridian-gtm/meridian/dnsserver/keypair"
	"github.com/meridian-gtm/meridian/dnsserver/steer"
	"github.com/meridian-gtm/meridian/filewatch"
	"github.com/meridian-gtm/meridian/geo"
	"github.com/meridian-gtm/meridian/geo/mmdb"
	"github.com/meridian-gtm/meridian/health"
	"github.com/meridian-gtm/meridian/health/probe"
	"github.com/meridian-gtm/meridian/replication/disk"
	"github.com/meridian-gtm/meridian/replication/gossip"
)

// Options of a node.
type Options struct {
	ConfigFile string
	Overrides  config.Overrides // of flags and environment
	Logger     *slog.Logger     // nil discards

	// Dial opens the connections of probes; nil = the network. A laboratory puts its faults here.
	Dial probe.DialFunc
	// GossipFaults cuts gossip with chosen peers; nil = none. A laboratory cuts the backbone here.
	GossipFaults *gossip.Faults
}

// Node is one running node. Its exported methods are safe for concurrent use.
type Node struct {
	opts       Options
	log        *slog.Logger
	name       string
	datacenter string
	version    string // of the program
	bootEpoch  uint64
	started    time.Time

	watchers watchers
	store    *store
	disk     *disk.Store
	audit    *auditLog
	prober   *probe.Prober
	gossip   *gossip.Gossip
	dns      *dnsserver.Server
	api      net.Listener
	journal  control.Journal
	changed  notifier // plan or records are different
	reloads  reloadCount

	refused atomic.Uint64 // records from peers

	dnsConfig  config.DNS       // it does not change while the node runs
	pairStamps filewatch.Stamps // of the certificate that it started with

	calls     chan func()     // for the owner
	stopped   chan struct{}   // the owner has ended
	ready     chan struct{}   // queries are answered
	geoWatch  chan mmdb.Files // tells the watcher which files to watch
	wantsSave chan struct{}

	saving    turn // one writer of the disk and one change at a time
	reloading turn
	pairing   turn // one loads the certificate at a time

	// The rest belongs to the owner, and to New before there is one.
	setup      *setup
	world      *geo.World
	geoInfo    mmdb.Info
	pair       *keypair.Pair // of DNS over TLS; nil without that
	view       health.View
	decision   health.Decision
	good       map[health.Target]health.Verdict
	inputs     compiled // what plan was made of
	plan       *steer.Plan
	epoch      string               // of plan and zones
	outdated   map[string]time.Time // service -> when the last answer of an earlier plan ends
	quorumLost time.Time            // zero = quorate
	warm       bool
	warmSince  time.Time
	counter    health.Counter
	decided    time.Time         // zero = not yet
	faults     map[string]string // part -> what is wrong with it
	alarmed    []health.Alarm    // as events have told
	peers      map[string]gossip.MemberState
	skew       map[string]time.Duration // node -> its clock less ours when last heard
	seq        uint64                   // of evidence
	appliedSeq uint64
	publishAt  time.Time // next heartbeat
	appliedAt  time.Time
}

// reloadCount counts for the metrics.
type reloadCount struct {
	ok, refused atomic.Uint64
	lastOK      atomic.Bool
}

func (c *reloadCount) note(err error) {
	c.lastOK.Store(err == nil)
	if err == nil {
		c.ok.Add(1)
	} else {
		c.refused.Add(1)
	}
}

// New reads the configuration, what it names and the snapshot on disk, and opens the DNS and API sockets, so that a
// fault shows before anything runs. It starts nothing; the caller must call [Node.Run] or [Node.Close].
func New(o Options) (_ *Node, err error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	now := time.Now()
	setup, err := load(o.ConfigFile, o.Overrides, now)
	if err != nil {
		return nil, err
	}
	cfg := setup.config
	n := &Node{
		opts: o, log: o.Logger.With("node", cfg.Node.Name), name: cfg.Node.Name, datacenter: cfg.Node.Datacenter,
		started: now, setup: setup, warm: true, warmSince: now,
		version: BuildVersion().Version,
		calls:   make(chan func()), stopped: make(chan struct{}), ready: make(chan struct{}),
		geoWatch: make(chan mmdb.Files, 1), wantsSave: make(chan struct{}, 1), saving: newTurn(), reloading: newTurn(),
		pairing: newTurn(), dnsConfig: cfg.DNS,
		outdated: map[string]time.Time{}, faults: map[string]string{}, peers: map[string]gossip.MemberState{},
		skew: map[string]time.Duration{},
	}
	n.store = newStore(n.stopped)
	n.reloads.lastOK.Store(true)
	defer func() {
		if err != nil {
			n.Close()
		}
	}()
	if n.world, n.geoInfo, err = mmdb.Load(geoFiles(cfg)); err != nil {
		return nil, err
	}
	if err := n.openDisk(cfg.Node.DataDir, now); err != nil {
		return nil, err
	}
	keys, err := n.readKeys(cfg)
	if err != nil {
		return nil, err
	}
	if n.watchers, err = newWatchers(cfg.DNS, n.version, now, n.log); err != nil {
		return nil, err
	}
	dnsOpts := dnsOptions(cfg.DNS, n.log)
	dnsOpts.Cookies.Keys = keys.cookies
	dnsOpts.Tap = n.watchers.tap
	if n.dns, err = dnsserver.New(dnsOpts); err != nil {
		return nil, err
	}
	n.pairStamps = filewatch.Stamp(n.pairFiles()...)
	if overTLS(cfg.DNS) {
		pair, err := keypair.Load(cfg.DNS.TLS.Certificate, cfg.DNS.TLS.Key)
		if err != nil {
			return nil, err
		}
		if err := n.adoptPair(pair, now); err != nil {
			return nil, err
		}
	}
	if err := n.dns.Listen(); err != nil {
		return nil, err
	}
	if n.api, err = net.Listen("tcp", cfg.API.Listen.String()); err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	n.prober = n.newProber()
	if n.gossip, err = n.newGossip(cfg, keys.gossip); err != nil {
		return nil, err
	}
	n.decide(now)
	if n.plan == nil {
		return nil, errors.New(n.faults[partPlan])
	}
	releaseMemory()
	return n, nil
}

// Run answers, probes and gossips until ctx ends, then lets queries under way finish, tells the others that it leaves
// and stores what it knows. It returns an error when a part of it fails for good.
func (n *Node) Run(ctx context.Context) error {
	defer n.Close()
	n.log.Info("serving", "dns", fmt.Sprint(n.dns.Addrs()), "dot", fmt.Sprint(n.dns.TLSAddrs()), "api", n.api.Addr().String(), "boot", n.bootEpoch,
		"config", n.setup.hash, "epoch", n.epoch, "version", n.version)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return n.dns.Run(ctx) })
	group.Go(func() error { return n.prober.Run(ctx) })
	group.Go(func() error { return n.gossip.Run(ctx) })
	group.Go(func() error { return control.Serve(ctx, n.api, control.NewHandler(n, n.metricsHandler(), n.log)) })
	files, info := geoFiles(n.setup.config), n.geoInfo // read before the owner may change them
	group.Go(func() error { return n.watchGeoFiles(ctx, files, info) })
	if overTLS(n.dnsConfig) {
		group.Go(func() error { return n.watchPair(ctx, n.pairStamps) })
	}
	group.Go(func() error { return n.saveInTheBackground(ctx) })
	group.Go(func() error { return n.own(ctx) })
	group.Go(func() error {
		select {
		case <-n.dns.Ready():
			close(n.ready)
		case <-ctx.Done():
		}
		return nil
	})
	err := group.Wait()
	if err := n.saveLast(); err != nil {
		n.log.Error("the last state is not stored", "err", err)
	}
	n.log.Info("stopped", "err", err)
	return err
}

// Ready is closed when queries are answered.
func (n *Node) Ready() <-chan struct{} { return n.ready }

// DNSAddrs returns the addresses that are served, with the ports that were taken.
func (n *Node) DNSAddrs() []netip.AddrPort { return n.dns.Addrs() }

// DNSOverTLSAddrs returns those of DNS over TLS.
func (n *Node) DNSOverTLSAddrs() []netip.AddrPort { return n.dns.TLSAddrs() }

// API returns the address of the control API.
func (n *Node) API() netip.AddrPort { return n.api.Addr().(*net.TCPAddr).AddrPort() }

// Name returns the node's name.
func (n *Node) Name() string { return n.name }

// Close frees what New opened. It is for nodes that were never run; Run calls it at its end.
func (n *Node) Close() error {
	var errs []error
	if n.dns != nil {
		n.dns.Close()
	}
	if n.api != nil {
		if err := n.api.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	if n.audit != nil {
		if err := n.audit.close(); !errors.Is(err, os.ErrClosed) {
			errs = append(errs, err)
		}
	}
	if n.disk != nil {
		errs = append(errs, n.disk.Close())
	}
	return errors.Join(errs...)
}
