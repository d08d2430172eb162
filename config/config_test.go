package config

import (
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/meridian-gtm/meridian/dnsserver/steer"
	"github.com/meridian-gtm/meridian/dnsserver/zone"
	"github.com/meridian-gtm/meridian/geo"
	"github.com/meridian-gtm/meridian/health"
)

var addrs = cmp.Options{
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
	cmpopts.IgnoreUnexported(Config{}),
}

func ap(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }
func ip(s string) netip.Addr     { return netip.MustParseAddr(s) }

func site(name string) steer.Policy { return steer.Policy{Kind: steer.KindSite, Site: name} }

func sites(names ...string) (out []steer.Policy) {
	for _, n := range names {
		out = append(out, site(n))
	}
	return out
}

func TestLoadTranslatesEveryKey(t *testing.T) {
	got, err := Load("testdata/meridian.yaml")
	if err != nil {
		t.Fatal(err)
	}
	byDefault := sites("eu-west", "us-east")
	want := &Config{
		Node: Node{Name: "eu-west-1", Datacenter: "eu-west", DataDir: "testdata/data"},
		DNS: DNS{
			Listen: []netip.AddrPort{ap("127.0.2.53:5300"), ap("[::1]:5300")}, NSID: "fra1",
			Chaos: Chaos{Hostname: "ns1"}, UDPSize: 1400, ECS: true,
			TCP: TCP{
				MaxConnections: 2000, MaxConnectionsPerClient: 100, MaxPipeline: 16,
				IdleTimeout: 8 * time.Second, WriteTimeout: 3 * time.Second,
			},
			TLS: TLS{
				Listen: []netip.AddrPort{ap("127.0.2.53:8530"), ap("[::1]:8530")}, Certificate: "testdata/dot.pem",
				Key: "testdata/dot.key", ExpiryWarning: 240 * time.Hour,
			},
			DrainTimeout: 4 * time.Second, LatencySample: 32,
			RateLimit: RateLimit{
				Answers: 1000, Empty: 200, Errors: 50, Burst: 1500 * time.Millisecond, Slip: 3, V4Prefix: 26, V6Prefix: 48,
				Exempt:   []netip.Prefix{netip.MustParsePrefix("192.0.2.0/28"), netip.MustParsePrefix("2001:db8:53::/48")},
				Networks: 100_000,
			},
			Cookies:   Cookies{Enabled: true, Require: true, SecretsFile: "testdata/cookies.keys"},
			Dnstap:    Dnstap{Socket: "/run/dnstap/dnstap.sock", Identity: "fra-dns-1", Sample: 10},
			QueryLog:  QueryLog{File: "testdata/queries.log", Sample: 1000, MaskV4: 20, MaskV6: 48},
			Traffic:   Traffic{Sample: 64, Window: 30 * time.Minute},
			ProxyFrom: []netip.Prefix{netip.MustParsePrefix("198.51.100.32/28"), netip.MustParsePrefix("2001:db8:32::/64")},
		},
		Gossip: Gossip{
			Listen: ap("192.0.2.2:7946"), Advertise: ap("198.51.100.22:7946"),
			Seeds: []netip.AddrPort{ap("198.51.100.21:7946"), ap("198.51.100.23:7946")}, KeyringFile: "testdata/gossip.keys",
			Profile: GossipWAN,
		},
		API: API{Listen: ap("127.0.2.53:8053")},
		Geo: Geo{City: "testdata/city.mmdb", Country: "testdata/country.mmdb", ASN: "testdata/asn.mmdb", CIDRMap: "testdata/networks.txt"},
		Datacenters: []steer.Datacenter{
			{Name: "ap-south", Region: "asia", Coord: geo.Coord{Lat: 19.08, Lon: 72.88}},
			{Name: "eu-west", Region: "europe", Coord: geo.Coord{Lat: 50.11, Lon: 8.68}},
			{Name: "us-east", Region: "americas", Coord: geo.Coord{Lat: 40.71, Lon: -74.01}},
		},
		Votes: map[string]uint32{"ap-south": 2, "eu-west": 1, "us-east": 1},
		Sites: []steer.Site{
			{Name: "ap-south", Datacenter: "ap-south", V4: ip("198.51.100.3"), Weight: 100, Capacity: 500},
			{Name: "eu-west", Datacenter: "eu-west", V4: ip("198.51.100.2"), V6: ip("2001:db8::2"), Weight: 100, Capacity: 1000},
			{Name: "us-east", Datacenter: "us-east", V4: ip("198.51.100.1"), Weight: 150, Capacity: 1000},
		},
		Checks: []health.Check{
			{
				Name: "plain", Kind: health.HTTP, Port: 8080, Path: "/ready", Host: "www.shop.example",
				Status: []health.StatusRange{{Low: 204, High: 204}}, Body: "ready", Timing: health.FastTiming,
			},
			{Name: "sql", Kind: health.TCP, Port: 26257, Timing: health.DefaultTiming},
			{
				Name: "web", Kind: health.HTTPS, Port: 8443, Path: "/healthz", Host: "www.shop.example",
				Status: []health.StatusRange{{Low: 200, High: 200}, {Low: 300, High: 399}}, Body: "ok",
				ServerName: "shop.example", CAFile: "testdata/ca.pem", ExpiryWarning: 14 * 24 * time.Hour,
				Timing: health.Timing{
					Interval: 3 * time.Second, Timeout: time.Second, Recheck: 400 * time.Millisecond, Fall: 4, OK: 5, Rise: 6,
				},
			},
		},
		Directors: []Directors{{
			Site: "us-east", Mode: DirectorsIPVS, Forward: ForwardNAT, Interface: "eth0", RouterID: 51, Advert: 2 * time.Second,
			Auth: "s3cr3t", A: Director{ip("198.51.100.11"), 200}, B: Director{ip("198.51.100.12"), 120}, Ports: []uint16{80, 443},
			Check: "plain", Real: []RealServer{{ip("198.51.100.13"), 2}, {ip("198.51.100.14"), 1}},
		}},
		Witnesses: []netip.AddrPort{ap("192.0.2.250:53"), ap("192.0.2.251:53")},
		Services: []steer.Service{
			{
				Name: "api", TTLMin: 10, TTLMax: 30, AllDown: steer.All, Checks: []string{"plain"},
				Policy: steer.Policy{Kind: steer.KindGeo, Rules: []steer.Rule{
					{Kind: steer.MatchCountry, Value: "DE", Child: site("eu-west")},
					{Kind: steer.MatchContinent, Value: "AS", Child: steer.Policy{Kind: steer.KindFailover, Children: sites("ap-south", "eu-west")}},
				}, Default: &steer.Policy{Kind: steer.KindWeighted, Children: byDefault, Weights: []uint32{30, 70}}},
			},
			{
				Name: "cart", TTLMin: 10, TTLMax: 30, AllDown: steer.LastGood,
				Policy: steer.Policy{Kind: steer.KindWeighted, Weights: []uint32{3, 1}, Children: []steer.Policy{
					{Kind: steer.KindSticky, Children: sites("us-east", "eu-west")}, site("ap-south"),
				}},
			},
			{
				Name: "shop", TTLMin: 5, TTLMax: 45, AllDown: steer.LastResort, Checks: []string{"web", "sql"},
				LastResort: []netip.Addr{ip("192.0.2.99"), ip("2001:db8::99")},
				Policy:     steer.Policy{Kind: steer.KindNearest, Count: 2, Children: sites("us-east", "eu-west", "ap-south")},
			},
			{
				Name: "static", TTLMin: 10, TTLMax: 30, AllDown: steer.LastGood,
				Policy: steer.Policy{Kind: steer.KindRoundRobin, Children: sites("us-east", "eu-west")},
			},
		},
		Health: health.Policy{
			Stale: 16 * time.Second, MaxScore: 5, CorroborationHold: 11 * time.Second, MinorityHold: 17 * time.Second,
			BrakeWindow: 31 * time.Second, BrakeHold: 12 * time.Second, SoftPullEvery: 61 * time.Second, Headroom: 120,
			Ramp: 121 * time.Second, SettledTTL: 31, UnsettledTTL: 11, Settle: 62 * time.Second,
			Hold: 21 * time.Second, MaxHold: 21 * time.Minute, FlapHalfLife: 301 * time.Second,
		},
		Zones: []zone.Source{{
			Origin: "shop.example.", File: "testdata/zones/shop.example.zone",
			Steer: map[string]string{"@": "shop", "www": "shop", "api": "api", "*.app": "cart"},
		}},
	}
	if d := cmp.Diff(want, got, addrs); d != "" {
		t.Errorf("wrong translation (-want +got):\n%s", d)
	}
}

// minimal is the least that a node starts with.
const minimal = `
node: {name: n1, datacenter: here}
dns: {listen: ["127.0.0.1:5300"]}
datacenters: {here: {lat: 0, lon: 0}}
zones: {example.: {file: /zones/example}}
`

func TestDefaults(t *testing.T) {
	got, err := Parse("dir/m.yaml", []byte(minimal+`
sites: {a: {datacenter: here, vip: {v6: "2001:db8::1"}}}
services: {s: {policy: a}}
checks: {h: {http: {}}, t: {https: {}, interval: 200ms}}
`))
	if err != nil {
		t.Fatal(err)
	}
	ok := []health.StatusRange{{Low: 200, High: 299}}
	brisk := health.DefaultTiming
	brisk.Interval, brisk.Recheck = 200*time.Millisecond, 200*time.Millisecond
	want := &Config{
		Node: Node{Name: "n1", Datacenter: "here", DataDir: "/var/lib/meridian"},
		DNS: DNS{
			Listen: []netip.AddrPort{ap("127.0.0.1:5300")}, NSID: "n1", UDPSize: 1232, ECS: true,
			TCP: TCP{
				MaxConnections: 1024, MaxConnectionsPerClient: 64, MaxPipeline: 8,
				IdleTimeout: 10 * time.Second, WriteTimeout: 5 * time.Second,
			},
			DrainTimeout: 5 * time.Second, LatencySample: 64,
			TLS:       TLS{ExpiryWarning: 14 * 24 * time.Hour},
			RateLimit: RateLimit{Burst: time.Second, Slip: 2, V4Prefix: 24, V6Prefix: 56, Networks: 65_536},
			Cookies:   Cookies{Enabled: true},
			Dnstap:    Dnstap{Identity: "n1", Sample: 1},
			QueryLog:  QueryLog{Sample: 100, MaskV4: 24, MaskV6: 56},
			Traffic:   Traffic{Sample: 256, Window: time.Hour},
		},
		Gossip:      Gossip{Listen: ap("127.0.0.1:7946"), Advertise: ap("127.0.0.1:7946"), Profile: GossipWAN},
		API:         API{Listen: ap("127.0.0.1:8053")},
		Datacenters: []steer.Datacenter{{Name: "here", Region: "here"}},
		Votes:       map[string]uint32{"here": 1},
		Sites:       []steer.Site{{Name: "a", Datacenter: "here", V6: ip("2001:db8::1"), Weight: 100}},
		Checks: []health.Check{
			{Name: "h", Kind: health.HTTP, Port: 80, Path: "/", Status: ok, Timing: health.DefaultTiming},
			{Name: "t", Kind: health.HTTPS, Port: 443, Path: "/", Status: ok, Timing: brisk},
		},
		Services: []steer.Service{{Name: "s", Policy: site("a"), TTLMin: 10, TTLMax: 30, AllDown: steer.LastGood}},
		Health:   health.DefaultPolicy,
		Zones:    []zone.Source{{Origin: "example.", File: "/zones/example", Steer: map[string]string{}}},
	}
	if d := cmp.Diff(want, got, addrs); d != "" {
		t.Errorf("wrong defaults (-want +got):\n%s", d)
	}
}

func TestTTLDefaultsKeepTheirOrder(t *testing.T) {
	for _, tt := range []struct{ low, high, wantLow, wantHigh uint32 }{
		{0, 0, 10, 30}, {0, 5, 5, 5}, {0, 60, 10, 60}, {20, 0, 20, 30}, {60, 0, 60, 60}, {1, 2, 1, 2},
	} {
		if low, high := defaultTTL(tt.low, tt.high); low != tt.wantLow || high != tt.wantHigh {
			t.Errorf("defaultTTL(%d, %d) = %d, %d: want %d, %d", tt.low, tt.high, low, high, tt.wantLow, tt.wantHigh)
		}
	}
}

// The connections of a client are bounded by all there are, whichever key comes first.
func TestConnectionsPerClient(t *testing.T) {
	for tcp, want := range map[string]int{
		"{}": 64, "{max_connections: 10}": 10, "{max_connections: 100}": 64,
		"{max_connections_per_client: 2000, max_connections: 2000}": 2000,
		"{max_connections: 10, max_connections_per_client: 9}":      9,
	} {
		c, err := Parse("m.yaml", []byte(strings.Replace(minimal, "dns: {", "dns: {tcp: "+tcp+", ", 1)))
		if err != nil {
			t.Errorf("%s: %v", tcp, err)
		} else if got := c.DNS.TCP.MaxConnectionsPerClient; got != want {
			t.Errorf("%s: %d per client, want %d", tcp, got, want)
		}
	}
}

func TestOverridesWinAndAreValidated(t *testing.T) {
	data, err := os.ReadFile("testdata/meridian.yaml")
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseWith("m.yaml", data, Overrides{
		NodeName: "us-east-1", Datacenter: "us-east", DataDir: "/tmp/m", DNSListen: []string{"127.0.1.53:5301"},
		GossipListen: "127.0.1.53:7000", GossipAdvertise: "127.0.1.53:7001", Seeds: []string{"127.0.2.53:7000"},
		APIListen: "127.0.1.53:8000",
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := (Node{Name: "us-east-1", Datacenter: "us-east", DataDir: "/tmp/m"}); got.Node != want {
		t.Errorf("node %+v: want %+v", got.Node, want)
	}
	gossip := Gossip{Listen: ap("127.0.1.53:7000"), Advertise: ap("127.0.1.53:7001"),
		Seeds: []netip.AddrPort{ap("127.0.2.53:7000")}, KeyringFile: "gossip.keys", Profile: GossipWAN}
	if !reflect.DeepEqual(got.Gossip, gossip) {
		t.Errorf("gossip %+v: want %+v", got.Gossip, gossip)
	}
	if got.DNS.Listen[0] != ap("127.0.1.53:5301") || len(got.DNS.Listen) != 1 || got.API.Listen != ap("127.0.1.53:8000") {
		t.Errorf("dns %v, api %v: want the overrides", got.DNS.Listen, got.API.Listen)
	}

	// They also stand in for sections and keys that the file lacks.
	rest := strings.ReplaceAll(minimal, "node: {name: n1, datacenter: here}", "node:")
	if _, err := ParseWith("m.yaml", []byte(rest), Overrides{NodeName: "n2", Datacenter: "here", APIListen: "[::1]:0"}); err != nil {
		t.Errorf("overrides instead of a section: %v", err)
	}

	_, err = ParseWith("m.yaml", data, Overrides{NodeName: "No Name", Datacenter: "eu-wset", DNSListen: []string{"::1"}})
	want := `override: node.name: "No Name": want a name: 1..63 of a-z 0-9 . _ - beginning with a letter or digit
override: dns.listen[0]: ::1: want address:port like 192.0.2.1:53 or [2001:db8::1]:53, port 0..65535
override: node.datacenter: eu-wset: want the name of a datacenter (did you mean "eu-west"?)`
	if err == nil || err.Error() != want {
		t.Errorf("bad overrides:\n%v\nwant:\n%s", err, want)
	}
}

func TestLoadKeepsTheCauseOfAMissingFile(t *testing.T) {
	_, err := Load(filepath.Join(t.TempDir(), "none.yaml"))
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v: want fs.ErrNotExist", err)
	}
}

func TestTargetsAreWhatServicesNeed(t *testing.T) {
	c, err := Load("testdata/meridian.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, target := range c.Targets() {
		got = append(got, target.ID.String()+" "+target.Addr.String())
	}
	want := []string{ // static and cart need no check
		"ap-south/plain/v4 198.51.100.3:8080", "ap-south/sql/v4 198.51.100.3:26257", "ap-south/web/v4 198.51.100.3:8443",
		"eu-west/plain/v4 198.51.100.2:8080", "eu-west/plain/v6 [2001:db8::2]:8080",
		"eu-west/sql/v4 198.51.100.2:26257", "eu-west/sql/v6 [2001:db8::2]:26257",
		"eu-west/web/v4 198.51.100.2:8443", "eu-west/web/v6 [2001:db8::2]:8443",
		"us-east/plain/v4 198.51.100.1:8080", "us-east/sql/v4 198.51.100.1:26257", "us-east/web/v4 198.51.100.1:8443",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("targets (-want +got):\n%s", d)
	}

	f := c.Fleet()
	pools := []health.Pool{
		{Service: "api", Sites: []string{"eu-west", "ap-south", "us-east"}, Checks: []string{"plain"}},
		{Service: "shop", Sites: []string{"us-east", "eu-west", "ap-south"}, Checks: []string{"web", "sql"}},
	}
	if d := cmp.Diff(pools, f.Pools); d != "" {
		t.Errorf("pools (-want +got):\n%s", d)
	}
	if len(f.Targets) != len(want) || f.Policy != c.Health {
		t.Errorf("fleet has %d targets and policy %+v", len(f.Targets), f.Policy)
	}
	if d := cmp.Diff(health.Datacenter{Name: "ap-south", Region: "asia", Weight: 2}, f.Datacenters[0]); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(health.Site{Name: "ap-south", Datacenter: "ap-south", Capacity: 500}, f.Sites[0]); d != "" {
		t.Error(d)
	}
}

func TestExampleOfTheDocumentation(t *testing.T) {
	if _, err := Load("testdata/example.yaml"); err != nil {
		t.Fatal(err)
	}
}

func TestDurations(t *testing.T) {
	for s, want := range map[string]time.Duration{
		"500ms": 500 * time.Millisecond, "2s": 2 * time.Second, "14d": 336 * time.Hour, "1d12h": 36 * time.Hour,
		"1h30m": 90 * time.Minute, "0s": 0, "0": 0,
	} {
		if got, ok := parseDuration(s); !ok || got != want {
			t.Errorf("parseDuration(%q) = %v, %v: want %v", s, got, ok, want)
		}
	}
	for _, s := range []string{"", "5", "-5s", "d", "1.5d", "1d-5s", "99999999999d", "1d1d", "2 s", "+1d", "106751d9999999h"} {
		if got, ok := parseDuration(s); ok {
			t.Errorf("parseDuration(%q) = %v: want a refusal", s, got)
		}
	}
	for d, want := range map[time.Duration]string{
		0: "0s", 90 * time.Minute: "1h30m", time.Hour: "1h", 48 * time.Hour: "2d", 10 * time.Second: "10s",
		100 * time.Minute: "1h40m", 10 * time.Minute: "10m",
	} {
		if got := formatDuration(d); got != want {
			t.Errorf("formatDuration(%v) = %q: want %q", d, got, want)
		}
	}
}

func TestDidYouMean(t *testing.T) {
	keys := []string{"listen", "nsid", "udp_size"}
	for word, want := range map[string]string{
		"lsiten": ` (did you mean "listen"?)`, "Listen": ` (did you mean "listen"?)`, "udpsize": ` (did you mean "udp_size"?)`,
		"nsd": ` (did you mean "nsid"?)`, "banana": "", "": "", strings.Repeat("x", 100): "",
	} {
		if got := didYouMean(word, keys); got != want {
			t.Errorf("didYouMean(%q) = %q: want %q", word, got, want)
		}
	}
}
