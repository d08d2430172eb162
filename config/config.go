package config

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/meridian-gtm/meridian/dnsserver/steer"
	"github.com/meridian-gtm/meridian/dnsserver/zone"
	"github.com/meridian-gtm/meridian/health"
)

// Config is a valid configuration. Everything with a name is sorted by it, and all paths are resolved against the
// directory of the file. It must not be changed once loaded and is then safe for concurrent use.
type Config struct {
	// Of this machine.
	Node   Node
	DNS    DNS
	Gossip Gossip
	API    API

	// Of the fleet.
	Geo         Geo
	Datacenters []steer.Datacenter
	Votes       map[string]uint32 // weight of each datacenter in the quorum, 1..100; default 1
	Sites       []steer.Site
	Directors   []Directors // of sites that say theirs
	Checks      []health.Check
	Witnesses   []netip.AddrPort // third parties that accept TCP; they tell "we are cut off" from "they are down"
	Services    []steer.Service
	Health      health.Policy
	Zones       []zone.Source

	written map[string]string // resolved path -> as the file has it
}

// Node says who this machine is.
type Node struct {
	Name       string // unique in the fleet
	Datacenter string // one of Config.Datacenters
	DataDir    string // for the snapshot, created when missing; default /var/lib/meridian
}

// DNS is the authoritative server's outside.
type DNS struct {
	Listen        []netip.AddrPort // UDP and TCP each; 1 or more, not overlapping; port 0 = any free one
	NSID          string           // RFC 5001 identifier, default Node.Name; "" = none is sent
	Chaos         Chaos
	UDPSize       uint16 // largest UDP answer in octets, 512..4096; default 1232
	ECS           bool   // use EDNS Client Subnet (RFC 7871); default true
	TCP           TCP
	TLS           TLS
	DrainTimeout  time.Duration // for answers that are being sent at the end, 1ms..1h; default 5s
	LatencySample int           // one of so many UDP batches is timed, 1..1,000,000; 0 = none; default 64
	RateLimit     RateLimit
	Cookies       Cookies
	ProxyFrom     []netip.Prefix // of front ends that speak the PROXY protocol, each once and without host bits
	Dnstap        Dnstap
	QueryLog      QueryLog
	Traffic       Traffic
}

// Dnstap says where queries and answers are copied to in the dnstap format. Without Socket and File nothing is.
type Dnstap struct {
	Socket   string // of a reader, a Unix socket; this or File
	File     string
	Identity string // default Node.Name
	Sample   int    // one of so many queries, 1..1,000,000; default 1
}

// QueryLogStderr is the QueryLog.File that stands for standard error.
const QueryLogStderr = "stderr"

// QueryLog says where a line is written for queries. Without File none is.
type QueryLog struct {
	File   string // QueryLogStderr, or a path
	Sample int    // one of so many queries, 1..1,000,000; default 100
	MaskV4 int    // bits of clients' IPv4 addresses that are written, 8..32; default 24
	MaskV6 int    // of IPv6 ones, 16..128; default 56
}

// Traffic says how queries are counted by name, type, client network and service.
type Traffic struct {
	Sample int           // one of so many queries, 1..1,000,000; 0 = none; default 256
	Window time.Duration // the last one to two of these are counted, 1m..1d; default 1h
}

// Chaos is what the server says about itself in class CH (RFC 4892); "" = REFUSED, the default.
type Chaos struct {
	Version  string // version.bind and version.server
	Hostname string // hostname.bind and id.server
}

// TCP bounds what connections may take.
type TCP struct {
	MaxConnections          int           // open at a time, 1..1,000,000; default 1024
	MaxConnectionsPerClient int           // of one IPv4 address or IPv6 /64, 1..MaxConnections; default 64, or MaxConnections if less
	MaxPipeline             int           // queries of one connection answered at a time, 1..256; default 8
	IdleTimeout             time.Duration // up to the end of the next query, 1ms..1h; default 10s
	WriteTimeout            time.Duration // for a client to take one answer, 1ms..1h; default 5s
}

// TLS is DNS over TLS (RFC 7858). Without Listen there is none.
type TLS struct {
	Listen        []netip.AddrPort // TCP each; not overlapping; port 0 = any free one
	Certificate   string           // file in PEM: the server's own certificate, then the intermediate ones
	Key           string           // file in PEM
	ExpiryWarning time.Duration    // how long before the certificate ends there is an alarm, 0..365d; default 14d
}

// RateLimit bounds the answers over UDP to each network of clients (response rate limiting). Without a rate nothing is
// limited.
type RateLimit struct {
	Answers  int            // NOERROR with an answer, per second: 1..1,000,000; 0 = no limit, the default
	Empty    int            // NXDOMAIN, NODATA and referrals, likewise
	Errors   int            // all other response codes, likewise
	Burst    time.Duration  // for how long a rate may be used in advance, 100ms..1m; default 1s
	Slip     int            // every so many-th answer in excess is sent truncated, 1..1000; default 2
	V4Prefix int            // length of an IPv4 network, 8..32; default 24
	V6Prefix int            // length of an IPv6 network, 16..64; default 56
	Exempt   []netip.Prefix // networks without limits, each once and without host bits
	Networks int            // known at a time, 1024..16,777,216; default 65,536
}

// Cookies are how clients show that they get answers at the address they ask from (RFC 7873, RFC 9018).
type Cookies struct {
	Enabled     bool   // default true
	Require     bool   // BADCOOKIE over UDP for a cookie without a valid server cookie; needs Enabled
	SecretsFile string // shared with other servers; "" = derived from Gossip.KeyringFile, or random without one
}

// Gossip is how nodes find and trust each other.
type Gossip struct {
	Listen      netip.AddrPort   // UDP and TCP; default 127.0.0.1:7946; port 0 = any free one
	Advertise   netip.AddrPort   // where other nodes reach Listen; default Listen
	Seeds       []netip.AddrPort // nodes to join through
	KeyringFile string           // "" only when every gossip address is loopback
	Profile     string           // GossipWAN or GossipFast; default GossipWAN
}

// The paces of gossip.
const (
	GossipWAN  = "wan"  // datacenters of a fleet: a change is everywhere in about a second
	GossipFast = "fast" // one machine or one LAN: in about 100 ms
)

// API is where the control API listens.
type API struct {
	Listen netip.AddrPort // loopback; default 127.0.0.1:8053; port 0 = any free one
}

// Geo names the files that place clients; "" = not used.
type Geo struct {
	City    string // mmdb with cities, or a flat schema
	Country string // mmdb with countries
	ASN     string // mmdb with autonomous system numbers
	CIDRMap string // operator's networks, which win over the databases
}

// Overrides replace values of the file before it is validated, as flags and environment variables do. Empty fields
// override nothing. They are text so that a fault in one is reported like a fault of the file.
type Overrides struct {
	NodeName        string   // node.name
	Datacenter      string   // node.datacenter
	DataDir         string   // node.data_dir; relative to the file, so callers make it absolute
	DNSListen       []string // dns.listen
	GossipListen    string   // gossip.listen
	GossipAdvertise string   // gossip.advertise
	Seeds           []string // gossip.seeds
	APIListen       string   // api.listen
}

// Load reads and validates the file at path. The error is of type [Faults] when the file could be read.
func Load(path string) (*Config, error) { return LoadWith(path, Overrides{}) }

// LoadWith is Load with overrides.
func LoadWith(path string, o Overrides) (*Config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return ParseWith(path, data, o)
}

// Parse validates data as the contents of a file at path, which is not opened: it names the file in faults and
// anchors relative paths.
func Parse(path string, data []byte) (*Config, error) { return ParseWith(path, data, Overrides{}) }

// ParseWith is Parse with overrides.
func ParseWith(path string, data []byte, o Overrides) (*Config, error) {
	r := read(path, data, o)
	if len(r.doc.faults) > 0 {
		return nil, r.doc.faults
	}
	return r.config, nil
}

// reader fills a Config from a document.
type reader struct {
	doc       *document
	dir       string // relative paths start here
	config    *Config
	names     map[string][]string   // kind -> names declared
	listeners []listener            // to find overlaps
	vips      map[netip.Addr]string // -> site
	nsid      bool                  // dns.nsid was given
}

type listener struct {
	addr netip.AddrPort
	path string
}

// read returns what could be read; it is a valid configuration only when the document has no faults. They are in
// reading order.
func read(path string, data []byte, o Overrides) *reader {
	doc, top := parse(path, data)
	r := &reader{
		doc: doc, dir: filepath.Dir(path), config: defaults(),
		names: map[string][]string{}, vips: map[netip.Addr]string{},
	}
	if len(doc.faults) > 0 {
		return r // without a document every section would be reported as missing
	}
	r.override(top, o)
	have := top.mapping(fields{
		"node":        r.node,
		"dns":         r.dns,
		"gossip":      r.gossip,
		"api":         r.api,
		"geo":         r.geo,
		"datacenters": r.datacenters,
		"sites":       r.sites,
		"checks":      r.checks,
		"witnesses":   r.witnesses,
		"services":    r.services,
		"health":      r.health,
		"zones":       r.zones,
	})
	// A section with a listener has one even when the file leaves the section out.
	nothing := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null"}
	if !slices.Contains(have, "gossip") {
		r.gossip(top.child("gossip", nil, nothing))
	}
	if !slices.Contains(have, "api") {
		r.api(top.child("api", nil, nothing))
	}
	top.need(have, "node", "a mapping with name and datacenter")
	top.need(have, "dns", "a mapping with listen")
	top.need(have, "datacenters", "a mapping of at least one datacenter")
	top.need(have, "zones", "a mapping of at least one zone")
	for _, check := range doc.after {
		check()
	}
	r.finish()
	doc.faults.sort()
	return r
}

func defaults() *Config {
	return &Config{
		Node:    Node{DataDir: "/var/lib/meridian"},
		DNS:     defaultDNS(),
		Gossip:  Gossip{Listen: netip.MustParseAddrPort("127.0.0.1:7946"), Profile: GossipWAN},
		API:     API{Listen: netip.MustParseAddrPort("127.0.0.1:8053")},
		Votes:   map[string]uint32{},
		Health:  health.DefaultPolicy,
		written: map[string]string{},
	}
}

// finish fills what is derived and puts everything in its order.
func (r *reader) finish() {
	c := r.config
	if !r.nsid {
		c.DNS.NSID = c.Node.Name
	}
	if c.DNS.Dnstap.Identity == "" {
		c.DNS.Dnstap.Identity = c.Node.Name
	}
	if !c.Gossip.Advertise.IsValid() {
		c.Gossip.Advertise = c.Gossip.Listen
	}
	byName(c.Datacenters, func(d steer.Datacenter) string { return d.Name })
	byName(c.Sites, func(s steer.Site) string { return s.Name })
	byName(c.Directors, func(d Directors) string { return d.Site })
	byName(c.Checks, func(k health.Check) string { return k.Name })
	byName(c.Services, func(s steer.Service) string { return s.Name })
	byName(c.Zones, func(z zone.Source) string { return z.Origin })
}

// declare records a name that others may refer to.
func (r *reader) declare(kind, name string) { r.names[kind] = append(r.names[kind], name) }

// reference reads the name of something that is declared anywhere in the file.
func (r *reader) reference(c cursor, kind string, into *string) {
	name, ok := c.scalar("the name of a " + kind)
	if !ok {
		return
	}
	*into = name
	r.later(func() {
		if !slices.Contains(r.names[kind], name) {
			c.refuse("the name of a %s%s", kind, didYouMean(name, r.names[kind]))
		}
	})
}

// later runs check when every section has been read.
func (r *reader) later(check func()) { r.doc.after = append(r.doc.after, check) }

// once reports the second and later of equal values in a list. Zero values could not be read and are reported.
func once[T comparable](items []cursor, values []T) {
	var unread T
	seen := map[T]string{}
	for i, v := range values {
		if first, twice := seen[v]; twice && v != unread {
			items[i].refuse("it once; also %s", first)
			continue
		}
		seen[v] = items[i].path
	}
}

// listen records an address this node will listen on, and reports one that overlaps another: the same port, and the
// same address or all addresses of its family.
func (r *reader) listen(c cursor, addr netip.AddrPort) {
	if !addr.IsValid() || addr.Port() == 0 {
		return
	}
	for _, l := range r.listeners {
		a, b := l.addr.Addr(), addr.Addr()
		same := a == b || a.Is4() == b.Is4() && (a.IsUnspecified() || b.IsUnspecified())
		if l.addr.Port() == addr.Port() && same {
			c.report(addr.String(), "an address that does not overlap "+l.path+": "+l.addr.String())
			return
		}
	}
	r.listeners = append(r.listeners, listener{addr, c.path})
}
