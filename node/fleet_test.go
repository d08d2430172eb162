package node

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"text/template"
	"time"

	"github.com/miekg/dns"

	"github.com/meridian-gtm/meridian/control"
	"github.com/meridian-gtm/meridian/geo/mmdb/demodb"
	"github.com/meridian-gtm/meridian/replication/gossip"
)

// patience is how long a condition may take to come true on a busy machine. Nothing waits for it to pass.
const patience = 90 * time.Second

// fleet is some real nodes on loopback, one per datacenter, with gossip between them and probes that pass through
// wires. VIPs are documentation addresses: nothing is ever sent to them.
type fleet struct {
	t     *testing.T
	dir   string
	wires *wires
	nodes []*member
	vars  fleetVars
}

// fleetVars fill in the template of a configuration.
type fleetVars struct {
	Sites     []site
	Seeds     []netip.AddrPort
	Witnesses bool
	DNS       string // more of the section
	Health    string // more of the section
	Services  string // more of the section
	Steer     string // more of the zone's
}

type site struct {
	Name, Region string
	Lat, Lon     float64
	V4, V6       netip.Addr
}

var allSites = []site{
	{"us", "americas", 40.7, -74.0, netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")},
	{"eu", "europe", 50.1, 8.7, netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("2001:db8::2")},
	{"ap", "asia", 19.1, 72.9, netip.MustParseAddr("192.0.2.3"), netip.Addr{}},
}

// member is one node of a fleet.
type member struct {
	f      *fleet
	site   site
	gossip netip.AddrPort
	config string
	data   string
	faults gossip.Faults

	node *Node
	api  *control.Client
	stop func()
}

// The TTLs do not settle while a test runs, so that nodes do not differ for the moment in which they do.
const configText = `node: {name: {{.Name}}-1, datacenter: {{.Name}}, data_dir: {{.Data}}}
dns: {listen: ["127.0.0.1:0"]{{.DNS}}}
gossip:
  listen: "{{.Gossip}}"
  seeds: [{{range $i, $a := .Seeds}}{{if $i}}, {{end}}"{{$a}}"{{end}}]
  keyring_file: gossip.keys
  profile: fast
api: {listen: "127.0.0.1:0"}
geo: {city: demo-city.mmdb, asn: demo-asn.mmdb, cidr_map: cidr.map}
datacenters:
{{- range .Sites}}
  {{.Name}}: {region: {{.Region}}, lat: {{.Lat}}, lon: {{.Lon}}}
{{- end}}
sites:
{{- range .Sites}}
  {{.Name}}: {datacenter: {{.Name}}, vip: {v4: {{.V4}}{{if .V6.IsValid}}, v6: "{{.V6}}"{{end}}}, capacity: 100}
{{- end}}
checks:
  web: {tcp: {port: 80}, preset: fast, interval: 100ms, timeout: 1s, recheck: 20ms, fall: 2, ok: 1, rise: 2}
{{if .Witnesses}}witnesses: ["192.0.2.250:53"]
{{end}}services:
  shop: {policy: {nearest: [{{.List}}]}, ttl: {min: 1s, max: 60s}, checks: [web]}
  rotated: {policy: {round-robin: [{{.List}}]}, ttl: {min: 2s, max: 60s}, checks: [web], all_down: all}
  hashed: {policy: {sticky: [{{.List}}]}, ttl: {min: 3s, max: 60s}, checks: [web]}
  ordered: {policy: {failover: [{{.Reversed}}]}, ttl: {min: 4s, max: 60s}, checks: [web], all_down: {last-resort: [198.51.100.99, "2001:db8::99"]}}
  blind: {policy: {nearest: [{{.List}}]}, ecs: false, checks: [web]}
{{.Services}}
health: {preset: fast, stale: 4s, max_score: 100, minority_hold: 1s, brake_hold: 300ms, ramp: 0s, hold: 0s, max_hold: 0s, settle: 1h{{.Health}}}
zones:
  shop.example:
    file: shop.zone
    steer: {"@": shop, www: shop, rotated: rotated, hashed: hashed, "*.app": hashed, ordered: ordered, blind: blind{{.Steer}}}
`

const zoneText = `$TTL 300
@     SOA   ns1 hostmaster 1 3600 600 604800 5
@     NS    ns1
ns1   A     192.0.2.53
txt   TXT   "static"
alias CNAME www
`

// newFleet lays out a fleet of so many datacenters. Nothing runs before start. Tests of fleets run in parallel, because
// they mostly wait.
func newFleet(t *testing.T, size int, change ...func(*fleetVars)) *fleet {
	t.Helper()
	t.Parallel()
	f := &fleet{t: t, dir: t.TempDir(), wires: newWires()}
	f.vars.Sites = allSites[:size]
	for _, c := range change {
		c(&f.vars)
	}
	if _, _, err := demodb.WriteFiles(f.dir); err != nil {
		t.Fatal(err)
	}
	f.write("cidr.map", "203.0.113.240/28 country=DE label=office\n")
	f.write("gossip.keys", "bWVyaWRpYW4tdGVzdC1rZXktb2YtMzItYnl0ZXMhISE=\n")
	f.write("shop.zone", zoneText)
	for _, s := range f.vars.Sites {
		m := &member{f: f, site: s, gossip: freePort(t), config: filepath.Join(f.dir, s.Name+".yaml"), data: filepath.Join(f.dir, "data-"+s.Name)}
		f.nodes = append(f.nodes, m)
		f.vars.Seeds = append(f.vars.Seeds, m.gossip)
	}
	for _, m := range f.nodes {
		m.writeConfig(f.vars)
	}
	return f
}

// running is a fleet that has settled: every node hears every other and answers alike.
func running(t *testing.T, size int, change ...func(*fleetVars)) *fleet {
	t.Helper()
	f := newFleet(t, size, change...)
	for _, m := range f.nodes {
		m.start()
	}
	f.settle()
	return f
}

// settle waits until every node is in normal mode with every site up, and all answer from one plan.
func (f *fleet) settle() {
	f.t.Helper()
	f.eventually("the fleet settles", func() error {
		for _, m := range f.nodes {
			s := m.status()
			if s.Mode != "normal" || !allUp(s) || len(s.Members) != len(f.nodes) {
				return fmt.Errorf("%s: %s: %s", m.site.Name, s.Mode, s.Summary)
			}
		}
		return f.oneEpoch()
	})
}

func allUp(s *control.Status) bool {
	return !slices.ContainsFunc(s.Sites, func(x control.SiteStatus) bool { return x.Level.String() != "up" || len(avoided(x)) > 0 })
}

func avoided(s control.SiteStatus) (regions []string) {
	for _, tv := range s.Targets {
		regions = append(regions, tv.Verdict.AvoidRegions...)
	}
	slices.Sort(regions)
	return slices.Compact(regions)
}

func (f *fleet) oneEpoch() error {
	var epochs []string
	for _, m := range f.nodes {
		epochs = append(epochs, m.status().Epoch)
	}
	if len(slices.Compact(slices.Clone(epochs))) != 1 {
		return fmt.Errorf("epochs %v", epochs)
	}
	return nil
}

func (f *fleet) eventually(what string, ok func() error) {
	f.t.Helper()
	eventually(f.t, what, ok)
}

// eventually asks until ok is content.
func eventually(t testing.TB, what string, ok func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for {
		err := ok()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v: %v", what, patience, err)
		}
		<-ticker.C
	}
}

func (f *fleet) write(name, text string) {
	f.t.Helper()
	write(f.t, filepath.Join(f.dir, name), text)
}

func (m *member) writeConfig(v fleetVars) {
	m.f.t.Helper()
	var names []string
	for _, s := range v.Sites {
		names = append(names, s.Name)
	}
	data := struct {
		fleetVars
		Name, Data, List, Reversed string
		Gossip                     netip.AddrPort
	}{v, m.site.Name, m.data, strings.Join(names, ", "), "", m.gossip}
	slices.Reverse(names)
	data.Reversed = strings.Join(names, ", ")
	var b strings.Builder
	if err := template.Must(template.New("").Parse(configText)).Execute(&b, data); err != nil {
		m.f.t.Fatal(err)
	}
	write(m.f.t, m.config, b.String())
}

// start makes and runs the node; it is stopped with the test.
func (m *member) start() {
	m.f.t.Helper()
	o := Options{ConfigFile: m.config, Dial: m.f.wires.from(m.site.Name), GossipFaults: &m.faults}
	if os.Getenv("MERIDIAN_TEST_LOG") != "" {
		o.Logger = slog.New(slog.NewTextHandler(m.f.t.Output(), nil))
	}
	n, err := New(o)
	if err != nil {
		m.f.t.Fatal(err)
	}
	m.node = n
	if m.api, err = control.NewClient(n.API().String()); err != nil {
		m.f.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	m.stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				m.f.t.Errorf("%s: run: %v", m.site.Name, err)
			}
		case <-time.After(patience):
			m.f.t.Errorf("%s: does not stop", m.site.Name)
		}
	})
	m.f.t.Cleanup(m.stop)
	<-n.Ready()
}

func (m *member) status() *control.Status {
	m.f.t.Helper()
	s, err := m.api.Status(m.f.t.Context())
	if err != nil {
		m.f.t.Fatalf("%s: %v", m.site.Name, err)
	}
	return s
}

func (m *member) site1(name string) control.SiteStatus {
	m.f.t.Helper()
	s := m.status()
	return s.Sites[slices.IndexFunc(s.Sites, func(x control.SiteStatus) bool { return x.Site == name })]
}

// answer is what a client sees, in words.
type answer struct {
	rcode string
	addrs []string
	ttl   uint32
	scope uint8
}

// String leaves the order of addresses out, which rotates.
func (a answer) String() string {
	return fmt.Sprintf("%s %v ttl %d scope %d", a.rcode, slices.Sorted(slices.Values(a.addrs)), a.ttl, a.scope)
}

// ask asks the node over UDP as a client of a network; the zero prefix sends no client subnet.
func (m *member) ask(name string, qtype uint16, client netip.Prefix) answer {
	m.f.t.Helper()
	q := new(dns.Msg).SetQuestion(dns.Fqdn(name), qtype)
	q.SetEdns0(1232, false)
	if client.IsValid() {
		e := &dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: uint8(client.Bits()), Address: client.Addr().AsSlice()}
		if client.Addr().Is6() {
			e.Family = 2
		}
		q.IsEdns0().Option = append(q.IsEdns0().Option, e)
	}
	c := dns.Client{Timeout: 5 * time.Second}
	r, _, err := c.Exchange(q, m.node.DNSAddrs()[0].String())
	if err != nil {
		m.f.t.Fatalf("%s: %s: %v", m.site.Name, name, err)
	}
	a := answer{rcode: dns.RcodeToString[r.Rcode]}
	for _, rr := range r.Answer {
		a.ttl = rr.Header().Ttl
		switch rr := rr.(type) {
		case *dns.A:
			a.addrs = append(a.addrs, rr.A.String())
		case *dns.AAAA:
			a.addrs = append(a.addrs, rr.AAAA.String())
		default:
			a.addrs = append(a.addrs, rr.String())
		}
	}
	for _, o := range r.IsEdns0().Option {
		if s, ok := o.(*dns.EDNS0_SUBNET); ok {
			a.scope = s.SourceScope
		}
	}
	return a
}

// siteOf asks for an A record and names the sites in the answer, sorted.
func (m *member) sitesFor(name string, client netip.Prefix) string {
	m.f.t.Helper()
	a := m.ask(name, dns.TypeA, client)
	names := []string{}
	for _, addr := range a.addrs {
		name := addr
		for _, s := range m.f.vars.Sites {
			if s.V4.String() == addr {
				name = s.Name
			}
		}
		names = append(names, name)
	}
	if a.rcode != "NOERROR" || len(names) == 0 {
		m.f.t.Fatalf("%s: %s for %v: %v: want addresses", m.site.Name, name, client, a)
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

// Clients near each site.
var (
	newYork   = netip.MustParsePrefix("192.0.2.0/26")
	frankfurt = netip.MustParsePrefix("198.51.100.0/26")
	mumbai    = netip.MustParsePrefix("203.0.113.0/26")
)

// wires is the network that probes pass through.
type wires struct {
	mu  sync.Mutex
	cut map[string]bool // "FROM SITE"
}

func newWires() *wires { return &wires{cut: map[string]bool{}} }

// set cuts or mends what connects datacenters with sites; "*" is all of them. The witness is a site "witness".
func (w *wires) set(from, to string, cut bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut[from+" "+to] = cut
}

func (w *wires) from(dc string) func(context.Context, string, string) (net.Conn, error) {
	return func(_ context.Context, _, address string) (net.Conn, error) {
		addr := netip.MustParseAddrPort(address)
		to := "witness" // 192.0.2.250
		for _, s := range allSites {
			if addr.Addr() == s.V4 || addr.Addr() == s.V6 {
				to = s.Name
			}
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.cut[dc+" "+to] || w.cut["* "+to] || to != "witness" && w.cut[dc+" *"] || w.cut["* *"] {
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
		}
		here, there := net.Pipe()
		there.Close()
		return here, nil
	}
}

// freePort returns a loopback address that is free for UDP and TCP. It is below the range from which the system takes
// ports by itself, so that it stays free until the node binds it.
func freePort(t *testing.T) netip.AddrPort {
	t.Helper()
	for range 100 {
		addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(10_000+rand.IntN(20_000)))
		l, err := net.ListenTCP("tcp4", net.TCPAddrFromAddrPort(addr))
		if err != nil {
			continue
		}
		u, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(addr))
		l.Close()
		if err == nil {
			u.Close()
			return addr
		}
	}
	t.Fatal("no port is free for UDP and TCP")
	return netip.AddrPort{}
}
