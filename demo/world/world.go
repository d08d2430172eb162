package world

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/meridian-gtm/meridian/demo/shop"
	"github.com/meridian-gtm/meridian/demo/shop/invariant"
)

// Site is one datacenter.
type Site struct {
	Name string // also the shop's region
	Net  byte   // its addresses are 127.0.Net.x
}

// Sites returns the demo's three regions.
func Sites() []Site { return []Site{{"us-east", 1}, {"eu-west", 2}, {"ap-south", 3}} }

// Options are what a world can be told. The zero value is the demo as documented.
type Options struct {
	Sites      []Site     // default Sites()
	RoundTrips RoundTrips // default WAN()

	// Bank is where the shops' payments are made. Without one orders are placed and nothing more happens to them.
	Bank Bank

	Port        uint16 // of VIPs and replicas; default 8000
	ControlPort uint16 // of the fault control on 127.0.0.1; default 8082
	AnyPort     bool   // ports that are free now, instead of the two above

	Advert    time.Duration // VRRP's interval; a VIP moves within 4 of them; 10 ms..10 s; default 100 ms
	NoPreempt bool          // a restarted first director leaves the VIP where it is
	Check     time.Duration // between a director's checks of a replica; default 250 ms
	Drain     time.Duration // for connections at an orderly stop; default 250 ms

	// NodeFaults are the kinds of faults of traffic manager nodes that somebody obeys: who made the world looks at
	// Network.NodeFault. Others are refused.
	NodeFaults []Kind
	// Describe returns what GET /fleet of the fault control tells, as JSON; nil = there is no such thing.
	Describe func() any

	Seed   uint64       // of the losses of a lossy site
	Notify func(Event)  // called with what happens, in any goroutine; must not block; nil = nobody
	Logger *slog.Logger // nil = nothing is logged
}

// Bank takes payments and shows its book; see bank.Client.
type Bank interface {
	shop.Bank
	invariant.Book
}

// Event is something that happened in the world.
type Event struct {
	At   time.Time
	Site string // "" = between sites
	Text string // for people; does not repeat the site
}

func (o Options) withDefaults() Options {
	if o.Sites == nil {
		o.Sites = Sites()
	}
	if o.RoundTrips == nil {
		o.RoundTrips = WAN()
	}
	if o.Port == 0 {
		o.Port = 8000
	}
	if o.ControlPort == 0 {
		o.ControlPort = 8082
	}
	if o.AnyPort {
		o.Port, o.ControlPort = 0, 0
	}
	if o.Advert == 0 {
		o.Advert = 100 * time.Millisecond
	}
	if o.Check == 0 {
		o.Check = 250 * time.Millisecond
	}
	if o.Drain == 0 {
		o.Drain = 250 * time.Millisecond
	}
	if o.Notify == nil {
		o.Notify = func(Event) {}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

func (o Options) validate() error {
	var faults []error
	seen := map[any]bool{}
	for _, s := range o.Sites {
		if s.Name == "" || s.Net == 0 || seen[s.Name] || seen[s.Net] {
			faults = append(faults, fmt.Errorf("site %q on 127.0.%d.x: want a name and a net of its own, not 0", s.Name, s.Net))
		}
		seen[s.Name], seen[s.Net] = true, true
	}
	if len(o.Sites) == 0 {
		faults = append(faults, errors.New("no sites: want one or more"))
	}
	if o.Advert < 10*time.Millisecond || o.Advert > 10*time.Second {
		faults = append(faults, fmt.Errorf("advert interval %v: want 10ms..10s", o.Advert))
	}
	if o.Check < 10*time.Millisecond || o.Drain < 0 {
		faults = append(faults, fmt.Errorf("check interval %v, drain %v: want at least 10ms and 0", o.Check, o.Drain))
	}
	return errors.Join(faults...)
}

// The last octets of a site's addresses: its VIP, and its replicas by number.
const octetVIP = 100

var octetReplicas = []byte{21, 22}

// directorPriorities are those of "<site>-a" and "<site>-b": the first holds the VIP while it lives.
var directorPriorities = []uint8{200, 100}

// World is the datacenters. Make one with New and let Run run it once.
type World struct {
	opt     Options
	network *Network
	sites   []*site
	port    uint16
	control netip.AddrPort
	notes   []string
	ready   chan struct{}
}

// site is one datacenter's machines. units belong to World.Run's goroutine; current is guarded by mu.
type site struct {
	Site
	vip       *vip
	replicas  []*replica
	units     []*unit // directors, then replicas
	directors []directorOptions

	mu      sync.Mutex
	current map[string]*director // the living, by name
}

// New lays the world out and chooses its ports. The shop's regions must be the sites' names. Nothing runs yet.
func New(s *shop.Shop, opt Options) (*World, error) { return newWorld(s, opt, Choose) }

func newWorld(shops *shop.Shop, opt Options, choose func(Group) (Addresses, error)) (*World, error) {
	opt = opt.withDefaults()
	if err := opt.validate(); err != nil {
		return nil, fmt.Errorf("world: %w", err)
	}
	group := Group{Name: "VIPs and shops", Port: opt.Port}
	for _, s := range opt.Sites {
		group.Addrs = append(group.Addrs, s.addr(octetVIP))
		for _, o := range octetReplicas {
			group.Addrs = append(group.Addrs, s.addr(o))
		}
	}
	got, err := choose(group)
	if err != nil {
		return nil, fmt.Errorf("world: %w", err)
	}
	home := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	control, err := Choose(Group{Name: "fault control", Addrs: []netip.Addr{home}, Port: opt.ControlPort})
	if err != nil {
		return nil, fmt.Errorf("world: %w", err)
	}
	w := &World{
		opt: opt, network: newNetwork(opt.RoundTrips, opt.Seed), port: got.Port, control: control.Real[home],
		ready: make(chan struct{}),
	}
	for _, note := range []string{got.Note, control.Note} {
		if note != "" {
			w.notes = append(w.notes, note)
		}
	}
	for _, s := range opt.Sites {
		w.sites = append(w.sites, w.lay(s, shops, got))
	}
	return w, nil
}

func (s Site) addr(last byte) netip.Addr { return netip.AddrFrom4([4]byte{127, 0, s.Net, last}) }

func (w *World) lay(s Site, shops *shop.Shop, got Addresses) *site {
	st := &site{Site: s, current: map[string]*director{}}
	at := func(last byte) (named, real netip.AddrPort) {
		a := s.addr(last)
		named, real = netip.AddrPortFrom(a, got.Port), got.Real[a]
		w.network.real[named.String()] = real.String()
		return named, real
	}
	named, real := at(octetVIP)
	st.vip = &vip{site: s.Name, addr: named, real: real, log: w.opt.Logger, notify: w.network.poke}
	w.network.vips[named.String()] = st.vip
	w.network.vips[real.String()] = st.vip

	var backends []backend
	for i, o := range octetReplicas {
		named, real := at(o)
		r := &replica{
			name: s.Name + "-" + strconv.Itoa(i+1), site: s.Name, real: real,
			shop: shops, bank: w.opt.Bank, network: w.network, drain: w.opt.Drain, log: w.opt.Logger,
		}
		st.replicas = append(st.replicas, r)
		backends = append(backends, backend{name: r.name, addr: named.String()})
	}
	lan := newSegment()
	for i, p := range directorPriorities {
		name := s.Name + "-" + string(rune('a'+i))
		st.directors = append(st.directors, directorOptions{
			name: name, site: s.Name,
			machine: vrrp{name: name, priority: p, interval: w.opt.Advert, noPreempt: w.opt.NoPreempt},
			vip:     st.vip, segment: lan, replicas: backends, network: w.network,
			check: w.opt.Check, drain: w.opt.Drain, log: w.opt.Logger, event: w.event,
		})
	}
	for _, opt := range st.directors {
		st.units = append(st.units, &unit{name: opt.name, run: func(ctx context.Context) {
			d := newDirector(ctx, opt)
			st.setCurrent(opt.name, d)
			d.run()
			st.setCurrent(opt.name, nil)
		}})
	}
	for _, r := range st.replicas {
		st.units = append(st.units, &unit{name: r.name, run: r.run})
	}
	return st
}

func (s *site) setCurrent(name string, d *director) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d == nil {
		delete(s.current, name)
	} else {
		s.current[name] = d
	}
}

func (s *site) director(name string) *director {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current[name]
}

// Run runs the datacenters and the fault control until ctx ends. When it returns nothing of the world is left: no
// listener, no connection, no goroutine. It returns nil when ctx ended, else what kept it from running.
func (w *World) Run(ctx context.Context) error {
	ln, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(w.control))
	if err != nil {
		return fmt.Errorf("world: fault control: %w", err)
	}
	server := &http.Server{
		Handler: w.Control(), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		ErrorLog: slog.NewLogLogger(w.opt.Logger.Handler(), slog.LevelDebug),
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()
	defer func() {
		server.Close()
		<-served
	}()
	defer w.stop()
	defer close(w.network.ended)

	timer := time.NewTimer(0)
	defer timer.Stop()
	for ready := false; ; {
		news := w.network.nextNews()
		w.expire(time.Now())
		w.reconcile()
		if !ready && w.isReady() {
			ready = true
			close(w.ready)
		}
		w.network.look(func(f *Faults) {
			if at, any := f.Next(); any {
				timer.Reset(time.Until(at))
			}
		})
		select {
		case <-ctx.Done():
			return nil
		case err := <-served:
			served <- err
			return fmt.Errorf("world: fault control: %w", err)
		case <-news:
		case <-timer.C:
		}
	}
}

// reconcile makes what runs what the faults leave running.
func (w *World) reconcile() {
	f := Faults{active: w.Faults()}
	for _, s := range w.sites {
		for i, u := range s.units {
			dead := i < len(s.directors) && f.DirectorDead(s.Name, u.name) || f.ReplicaDead(s.Name, u.name)
			switch {
			case dead && u.alive():
				u.kill()
			case !dead && !u.alive():
				u.start()
			}
		}
		want := reachOpen
		if lost, refuse := f.Lost(s.Name); lost && refuse {
			want = reachRefuse
		} else if lost {
			want = reachSilent
		}
		if s.vip.setReach(want) && want != reachOpen {
			s.cut()
		}
	}
}

// cut ends what passes through the site's VIP.
func (s *site) cut() {
	for _, opt := range s.directors {
		if d := s.director(opt.name); d != nil {
			d.cut()
		}
	}
}

// stop ends the world in order: addresses first, then what is behind them.
func (w *World) stop() {
	var wg sync.WaitGroup
	for _, s := range w.sites {
		wg.Go(func() {
			var directors sync.WaitGroup
			for _, u := range s.units[:len(s.directors)] {
				directors.Go(u.stop)
			}
			directors.Wait()
			s.vip.close()
			var replicas sync.WaitGroup
			for _, u := range s.units[len(s.directors):] {
				replicas.Go(u.stop)
			}
			replicas.Wait()
		})
	}
	wg.Wait()
}

func (w *World) isReady() bool {
	for _, s := range w.sites {
		d := s.director(s.vip.held())
		if d == nil {
			return false
		}
		if replicas, _ := d.live(); replicas < len(s.replicas) {
			return false
		}
	}
	return true
}

// Ready is closed once every VIP is held and every replica behind it is in use.
func (w *World) Ready() <-chan struct{} { return w.ready }

// Network is what lies between the sites.
func (w *World) Network() *Network { return w.network }

// Port is the one port of all VIPs, as DNS data and checks name it.
func (w *World) Port() uint16 { return w.port }

// ControlAddr is where the fault control listens while the world runs.
func (w *World) ControlAddr() netip.AddrPort { return w.control }

// Kinds returns the kinds of faults that can be injected here.
func (w *World) Kinds() []Kind {
	return slices.DeleteFunc(Kinds(), func(k Kind) bool { return k.ofNode() && !slices.Contains(w.opt.NodeFaults, k) })
}

// Notes say for people which addresses are not as documented; none when all are.
func (w *World) Notes() []string { return slices.Clone(w.notes) }

// VIP returns a site's virtual address as DNS names it, and where curl on this machine finds it. They differ only on
// machines without 127.0.x.y.
func (w *World) VIP(site string) (named, real netip.AddrPort, ok bool) {
	s := w.site(site)
	if s == nil {
		return netip.AddrPort{}, netip.AddrPort{}, false
	}
	return s.vip.addr, s.vip.real, true
}

func (w *World) site(name string) *site {
	i := slices.IndexFunc(w.sites, func(s *site) bool { return s.Name == name })
	if i < 0 {
		return nil
	}
	return w.sites[i]
}

func (w *World) siteNames() string {
	var names []string
	for _, s := range w.sites {
		names = append(names, s.Name)
	}
	return strings.Join(names, ", ")
}

func (w *World) event(site, format string, args ...any) {
	e := Event{At: time.Now(), Site: site, Text: fmt.Sprintf(format, args...)}
	w.opt.Logger.Info(e.Text, "site", site)
	w.opt.Notify(e)
}

// SiteStatus is how a site looks from inside.
type SiteStatus struct {
	Site      string           `json:"site"`
	VIP       string           `json:"vip"`       // where it is bound
	Holder    string           `json:"holder"`    // director that holds the VIP; "" = nobody does
	Reachable bool             `json:"reachable"` // a connection from outside reaches a director
	Directors []DirectorStatus `json:"directors"`
	Replicas  []ReplicaStatus  `json:"replicas"`
}

// DirectorStatus is one director.
type DirectorStatus struct {
	Name  string `json:"name"`
	State string `json:"state"` // "master", "backup" or "dead"
	Conns int    `json:"conns"` // being forwarded
}

// ReplicaStatus is one shop replica.
type ReplicaStatus struct {
	Name string `json:"name"`
	Addr string `json:"addr"` // where it is bound
	Up   bool   `json:"up"`   // gets connections from the VIP's holder
}

// Status returns every site as it is now.
func (w *World) Status() []SiteStatus {
	all := make([]SiteStatus, 0, len(w.sites))
	for _, s := range w.sites {
		st := SiteStatus{Site: s.Name, VIP: s.vip.real.String(), Holder: s.vip.held(), Reachable: s.vip.answers()}
		for _, opt := range s.directors {
			ds := DirectorStatus{Name: opt.name, State: "dead"}
			if d := s.director(opt.name); d != nil {
				ds.State = "backup"
				if opt.name == st.Holder {
					ds.State = "master"
				}
				_, ds.Conns = d.live()
			}
			st.Directors = append(st.Directors, ds)
		}
		var up []string
		if d := s.director(st.Holder); d != nil {
			up = d.backendsUp()
		}
		for _, r := range s.replicas {
			st.Replicas = append(st.Replicas, ReplicaStatus{Name: r.name, Addr: r.real.String(), Up: slices.Contains(up, r.name)})
		}
		all = append(all, st)
	}
	return all
}
