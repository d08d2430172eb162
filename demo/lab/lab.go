// Package lab is the whole demo in one process: the datacenters of demo/world, the shop in them, and three real
// traffic manager nodes that probe them, gossip over loopback sockets and answer DNS. It is what cmd/demo runs and
// what its tour and tests measure.
//
// The nodes are started from configuration files that the lab writes, as an operator would, and know nothing of being
// in a demo: only the dial function of their probes and a filter of their gossip pass through the world's network, so
// that faults reach them.
package lab

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/template"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/meridian-gtm/meridian/control"
	"github.com/meridian-gtm/meridian/demo/shop"
	"github.com/meridian-gtm/meridian/demo/shop/bank"
	"github.com/meridian-gtm/meridian/demo/shop/invariant"
	"github.com/meridian-gtm/meridian/demo/traveler"
	"github.com/meridian-gtm/meridian/demo/world"
	"github.com/meridian-gtm/meridian/geo/mmdb/demodb"
	"github.com/meridian-gtm/meridian/node"
	"github.com/meridian-gtm/meridian/replication/gossip"
)

// The names that the demo serves.
const (
	Zone = "shop.example"
	Host = "www.shop.example"
)

// Ports that are used when they are free.
const (
	dnsPort    = 5300
	gossipPort = 7946
	apiPort    = 8053
)

//go:embed fleet.yaml.tmpl
var fleetTemplate string

//go:embed shop.zone.tmpl
var zoneTemplate string

// Options of a lab. The zero value is the demo as documented.
type Options struct {
	AnyPort bool              // ports that are free now, instead of the documented ones
	Notify  func(world.Event) // see world.Options
	Logger  *slog.Logger      // of the nodes; nil discards
}

// Member is one traffic manager node.
type Member struct {
	Name string
	Site string
	DNS  netip.AddrPort
	API  *control.Client
	// APIAddr is where the control API listens.
	APIAddr netip.AddrPort

	life *life
}

// Client is a place where clients are.
type Client struct {
	City   string
	Prefix netip.Prefix // what they send as EDNS Client Subnet
	Home   string       // site nearest to them
}

// Lab is the demo. Make one with New and let Run run it once.
type Lab struct {
	World   *world.World
	Members []Member       // one per site, in the order of world.Sites
	Any     netip.AddrPort // DNS of the first member on 127.0.0.1
	Clients []Client       // one near each site, in the same order
	Ledger  traveler.Ledger
	Notes   []string // what is not as documented, for people

	dir   string
	shop  *shop.Shop
	book  *bank.Book
	bank  net.Listener
	ready chan struct{}

	traveler   *traveler.Traveler
	travelerAt net.Listener
	logger     *slog.Logger
}

// site joins what the templates need of one datacenter.
type site struct {
	Name, Region string
	Lat, Lon     float64
	VIP, DNS     netip.Addr
}

// New lays out a lab in a temporary directory, which Run removes. The caller must call Run or Close.
func New(ctx context.Context, o Options) (_ *Lab, err error) {
	l := &Lab{ready: make(chan struct{}), logger: o.Logger}
	if l.dir, err = os.MkdirTemp("", "meridian-demo-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.Close())
		}
	}()
	sites := layout()
	names := make([]string, len(sites))
	for i, s := range sites {
		names[i] = s.Name
	}
	if l.shop, err = shop.Open(ctx, "sqlite:"+filepath.Join(l.dir, "shop.sqlite"), names, shop.Catalog()); err != nil {
		return nil, err
	}
	if l.book, err = bank.OpenBook("", bank.DeclineBroke); err != nil {
		return nil, err
	}
	if l.bank, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return nil, err
	}
	if l.World, err = world.New(l.shop, world.Options{
		AnyPort: o.AnyPort, Notify: o.Notify, Logger: o.Logger, NodeFaults: nodeFaults(), Describe: l.describe,
		Bank: bank.NewClient(l.bank.Addr().String(), nil),
	}); err != nil {
		return nil, err
	}
	l.Notes = append(l.Notes, l.World.Notes()...)
	if err := l.writeFleet(sites); err != nil {
		return nil, err
	}
	if err := l.startNodes(sites, o); err != nil {
		return nil, err
	}
	for i, c := range demodb.Cities()[:len(sites)] {
		l.Clients = append(l.Clients, Client{City: c.Name, Prefix: clientNetwork(c.V4), Home: sites[i].Name})
	}
	if l.traveler, err = traveler.New(l.Travel()); err != nil {
		return nil, err
	}
	if err := l.listenTraveler(o.AnyPort); err != nil {
		return nil, err
	}
	return l, nil
}

// clientNetwork is the /26 of a city as a resolver would send it; every address in it is in the city.
func clientNetwork(p netip.Prefix) netip.Prefix { return p.Masked() }

func layout() []site {
	regions := []string{"americas", "europe", "asia"}
	cities := demodb.Cities()
	var sites []site
	for i, s := range world.Sites() {
		sites = append(sites, site{
			Name: s.Name, Region: regions[i], Lat: cities[i].Coord.Lat, Lon: cities[i].Coord.Lon,
			VIP: netip.AddrFrom4([4]byte{127, 0, s.Net, 100}), DNS: netip.AddrFrom4([4]byte{127, 0, s.Net, 53}),
		})
	}
	return sites
}

// writeFleet writes what all nodes share: zone, geo databases and gossip keys.
func (l *Lab) writeFleet(sites []site) error {
	if _, _, err := demodb.WriteFiles(l.dir); err != nil {
		return err
	}
	return l.write("shop.zone", zoneTemplate, map[string]any{"Sites": sites})
}

func (l *Lab) startNodes(sites []site, o Options) error {
	home := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	dnsGroup := world.Group{Name: "DNS", Addrs: []netip.Addr{home}, Port: dnsPort, UDP: true}
	gossipGroup := world.Group{Name: "gossip", Port: gossipPort, UDP: true}
	apiGroup := world.Group{Name: "API", Addrs: []netip.Addr{home}, Port: apiPort}
	for i, s := range sites {
		dnsGroup.Addrs = append(dnsGroup.Addrs, s.DNS)
		gossipGroup.Addrs = append(gossipGroup.Addrs, s.DNS)
		if i > 0 {
			apiGroup.Addrs = append(apiGroup.Addrs, s.DNS)
		}
	}
	var chosen [3]world.Addresses
	for i, g := range []world.Group{dnsGroup, gossipGroup, apiGroup} {
		if o.AnyPort {
			g.Port = 0
		}
		var err error
		if chosen[i], err = world.Choose(g); err != nil {
			return err
		}
		if chosen[i].Note != "" {
			l.Notes = append(l.Notes, chosen[i].Note)
		}
	}
	dnsAt, gossipAt, apiAt := chosen[0].Real, chosen[1].Real, chosen[2].Real
	l.Any = dnsAt[home]
	var seeds []netip.AddrPort
	for _, s := range sites {
		seeds = append(seeds, gossipAt[s.DNS])
	}
	keys := newKeys()
	for i, s := range sites {
		listen := []netip.AddrPort{dnsAt[s.DNS]}
		api := apiAt[s.DNS]
		if i == 0 {
			listen, api = append(listen, l.Any), apiAt[home]
		}
		name := s.Name + "-1"
		err := l.write(name+".yaml", fleetTemplate, map[string]any{
			"Node": map[string]any{
				"Name": name, "Datacenter": s.Name, "DNS": listen, "Gossip": seeds[i], "API": api,
				"Seeds": slices.Delete(slices.Clone(seeds), i, i+1),
			},
			"Sites": sites, "City": "demo-city.mmdb", "ASN": "demo-asn.mmdb", "Port": l.World.Port(), "Zone": Zone, "Shop": Host,
		})
		if err != nil {
			return err
		}
		faults := new(gossip.Faults)
		alive := &life{
			site: s.Name, gossip: seeds[i], peers: slices.Delete(slices.Clone(seeds), i, i+1), faults: faults, network: l.World.Network(), keys: keys,
			keyFile: filepath.Join(l.dir, name+".keys"), dataDir: filepath.Join(l.dir, "data-"+name), options: node.Options{
				ConfigFile: filepath.Join(l.dir, name+".yaml"), Logger: o.Logger,
				Dial: l.World.Network().Dialer(s.Name), GossipFaults: faults,
			},
		}
		if err := alive.start(); err != nil {
			return fmt.Errorf("node %s: %w", name, err)
		}
		addr := alive.current().API()
		client, err := control.NewClient(addr.String())
		if err != nil {
			return errors.Join(err, alive.close())
		}
		l.Members = append(l.Members, Member{Name: name, Site: s.Name, DNS: listen[0], API: client, APIAddr: addr, life: alive})
	}
	return nil
}

func (l *Lab) write(name, text string, data any) error {
	t, err := template.New(name).Funcs(template.FuncMap{"inc": func(i int) int { return i + 1 }}).Parse(text)
	if err != nil {
		return err
	}
	var b strings.Builder
	if err := t.Execute(&b, data); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(l.dir, name), []byte(b.String()), 0o600)
}

// Run runs everything until ctx ends and leaves nothing behind: no process, no socket, no file.
func (l *Lab) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return l.World.Run(ctx) })
	group.Go(func() error { return bank.Serve(ctx, l.bank, l.book, nil) })
	group.Go(func() error { return l.cutGossip(ctx) })
	group.Go(func() error { return traveler.Serve(ctx, l.travelerAt, l.traveler, l.logger) })
	for _, m := range l.Members {
		group.Go(func() error {
			// A site that is still being built would be a site that is down.
			if !wait(ctx, l.World.Ready()) {
				return nil
			}
			return m.life.run(ctx)
		})
	}
	group.Go(func() error {
		for _, m := range l.Members {
			if !wait(ctx, m.life.current().Ready()) {
				return nil
			}
		}
		close(l.ready)
		return nil
	})
	err := group.Wait()
	return errors.Join(err, l.Close())
}

// wait reports whether ready came before the end of ctx.
func wait(ctx context.Context, ready <-chan struct{}) bool {
	select {
	case <-ready:
		return true
	case <-ctx.Done():
		return false
	}
}

// cutGossip brings the world's faults to the members' gossip.
func (l *Lab) cutGossip(ctx context.Context) error {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		for _, a := range l.Members {
			for _, b := range l.Members {
				a.life.link(b.life)
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// Ready is closed when every VIP is held and every node answers.
func (l *Lab) Ready() <-chan struct{} { return l.ready }

// Dir is where configuration, databases and state are while the lab lives.
func (l *Lab) Dir() string { return l.dir }

// Close frees what New made. Run calls it at its end.
func (l *Lab) Close() error {
	var errs []error
	for _, m := range l.Members {
		errs = append(errs, m.life.close())
	}
	if l.shop != nil {
		errs = append(errs, l.shop.Close())
	}
	for _, ln := range []net.Listener{l.bank, l.travelerAt} {
		if ln != nil {
			ln.Close() // closed already where Run ran
		}
	}
	return errors.Join(append(errs, os.RemoveAll(l.dir))...)
}

// Prove checks the shop's invariants, with the orders that clients were told of.
func (l *Lab) Prove(ctx context.Context, acked []invariant.Ack) (invariant.Report, error) {
	return invariant.Check(ctx, l.shop.DB(), invariant.Options{Book: invariant.Memory{Book: l.book}, Acked: acked})
}

// Ask asks one member as a client would and enters the answer in the ledger.
func (l *Lab) Ask(ctx context.Context, m Member, name string, c Client) (traveler.Reply, error) {
	r, err := traveler.Ask(ctx, m.DNS, name, 1, c.Prefix)
	if ctx.Err() == nil {
		l.Ledger.Note(r, err)
	}
	return r, err
}

// SiteOf names the site that an address is the VIP of; "" = none.
func (l *Lab) SiteOf(a netip.Addr) string {
	for _, s := range layout() {
		if s.VIP == a {
			return s.Name
		}
	}
	return ""
}
