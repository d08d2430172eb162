package config

import (
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/meridian-gtm/meridian/health"
)

// documented finds the keys of the reference: the first cell of a row, or a heading.
var documented = regexp.MustCompile("(?m)^(?:\\| |## )`([^`]+)`")

// knownKeys returns every key that the parser met or would have taken while it read the example, which has them all.
func knownKeys(t *testing.T) []string {
	t.Helper()
	data, err := os.ReadFile("testdata/meridian.yaml")
	if err != nil {
		t.Fatal(err)
	}
	r := read("testdata/meridian.yaml", data, Overrides{})
	if len(r.doc.faults) > 0 {
		t.Fatal(r.doc.faults)
	}
	return slices.Sorted(maps.Keys(r.doc.known))
}

func TestReferenceListsEveryKeyAndNoOther(t *testing.T) {
	page, err := os.ReadFile("../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, m := range documented.FindAllStringSubmatch(string(page), -1) {
		seen[m[1]] = true
	}
	if d := cmp.Diff(knownKeys(t), slices.Sorted(maps.Keys(seen))); d != "" {
		t.Errorf("docs/configuration.md (-known +documented):\n%s", d)
	}
}

// row finds the default cell of a key.
func defaultOf(t *testing.T, page, key string) (normal, fast string) {
	t.Helper()
	m := regexp.MustCompile("(?m)^\\| `" + regexp.QuoteMeta(key) + "` \\|[^|]*\\| `([^`]+)`(?:, fast `([^`]+)`)?").FindStringSubmatch(page)
	if m == nil {
		t.Fatalf("%s: no default in the reference", key)
	}
	if m[2] == "" {
		m[2] = m[1]
	}
	return m[1], m[2]
}

// TestReferenceStatesTheDefaults writes the documented defaults out and expects no difference.
func TestReferenceStatesTheDefaults(t *testing.T) {
	page, err := os.ReadFile("../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	normal, fast := "health:\n", "health:\n"
	for _, key := range knownKeys(t) {
		name, ok := strings.CutPrefix(key, "health.")
		if !ok || name == "preset" {
			continue
		}
		n, f := defaultOf(t, string(page), key)
		normal, fast = normal+"  "+name+": "+n+"\n", fast+"  "+name+": "+f+"\n"
	}
	sections := map[string]health.Policy{normal: health.DefaultPolicy, fast: health.FastPolicy}
	for section, want := range sections {
		if c, err := Parse("m.yaml", []byte(minimal+section)); err != nil {
			t.Errorf("%s%v", section, err)
		} else if c.Health != want {
			t.Errorf("documented defaults make %+v: want %+v", c.Health, want)
		}
	}

	for i, want := range []health.Timing{health.DefaultTiming, health.FastTiming} {
		check := "checks:\n  c:\n    http: {}\n"
		for _, name := range []string{"interval", "timeout", "recheck", "fall", "ok", "rise"} {
			n, f := defaultOf(t, string(page), "checks.NAME."+name)
			check += "    " + name + ": " + []string{n, f}[i] + "\n"
		}
		if c, err := Parse("m.yaml", []byte(minimal+check)); err != nil {
			t.Error(err)
		} else if c.Checks[0].Timing != want {
			t.Errorf("documented defaults make %+v: want %+v", c.Checks[0].Timing, want)
		}
	}
}

// TestReferenceStatesTheDefaultsOfDNS does so for the limits of the server.
func TestReferenceStatesTheDefaultsOfDNS(t *testing.T) {
	page, err := os.ReadFile("../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	written, section := 0, "dns:\n  listen: [\"127.0.0.1:5300\"]\n"
	for _, key := range knownKeys(t) {
		switch group, name, nested := strings.Cut(strings.TrimPrefix(key, "dns."), "."); {
		case !strings.HasPrefix(key, "dns."), slices.Contains([]string{"listen", "nsid", "chaos", "proxy_protocol", "tls", "dnstap"}, group), name == "exempt", name == "secrets_file":
		case key == "dns.query_log.file":
			section += "    file: \"\"\n" // off
		case !nested && slices.Contains([]string{"tcp", "rate_limit", "cookies", "query_log", "traffic"}, group):
			section += "  " + group + ":\n"
		default:
			n, _ := defaultOf(t, string(page), key)
			leaf := key[strings.LastIndexByte(key, '.')+1:]
			section += strings.Repeat("  ", strings.Count(key, ".")) + leaf + ": " + n + "\n"
			written++
		}
	}
	want, err := Parse("m.yaml", []byte(minimal))
	if err != nil {
		t.Fatal(err)
	}
	got, err := Parse("m.yaml", []byte(strings.Replace(minimal, "dns: {listen: [\"127.0.0.1:5300\"]}\n", section, 1)))
	if err != nil {
		t.Fatalf("%s%v", section, err)
	}
	if d := cmp.Diff(want, got, addrs); d != "" || written != 24 {
		t.Errorf("%d documented defaults make (-want +got):\n%s", written, d)
	}
}

// edits change one key of the example each.
var edits = map[string][2]string{
	"node":                                        {"name: eu-west-1", "name: eu-west-2"},
	"node.name":                                   {"name: eu-west-1", "name: eu-west-2"},
	"node.datacenter":                             {"  datacenter: eu-west\n", "  datacenter: us-east\n"},
	"node.data_dir":                               {"data_dir: data", "data_dir: /srv"},
	"dns":                                         {"ecs: true", "ecs: false"},
	"dns.listen":                                  {"127.0.2.53:5300", "127.0.2.53:5301"},
	"dns.nsid":                                    {"nsid: fra1", `nsid: ""`},
	"dns.chaos":                                   {"hostname: ns1", "hostname: ns2"},
	"dns.chaos.version":                           {"version: refused", "version: one"},
	"dns.chaos.hostname":                          {"hostname: ns1", "hostname: refused"},
	"dns.udp_size":                                {"udp_size: 1400", "udp_size: 512"},
	"dns.ecs":                                     {"ecs: true", "ecs: false"},
	"dns.tcp":                                     {"max_pipeline: 16", "max_pipeline: 17"},
	"dns.tcp.max_connections":                     {"max_connections: 2000", "max_connections: 2001"},
	"dns.tcp.max_connections_per_client":          {"per_client: 100", "per_client: 101"},
	"dns.tcp.max_pipeline":                        {"max_pipeline: 16", "max_pipeline: 17"},
	"dns.tcp.idle_timeout":                        {"idle_timeout: 8s", "idle_timeout: 9s"},
	"dns.tcp.write_timeout":                       {"write_timeout: 3s", "write_timeout: 4s"},
	"dns.drain_timeout":                           {"drain_timeout: 4s", "drain_timeout: 3s"},
	"dns.latency_sample":                          {"latency_sample: 32", "latency_sample: 0"},
	"dns.rate_limit":                              {"slip: 3", "slip: 4"},
	"dns.rate_limit.answers":                      {"answers: 1000", "answers: 0"},
	"dns.rate_limit.empty":                        {"empty: 200", "empty: 201"},
	"dns.rate_limit.errors":                       {"errors: 50", "errors: 51"},
	"dns.rate_limit.burst":                        {"burst: 1500ms", "burst: 2s"},
	"dns.rate_limit.slip":                         {"slip: 3", "slip: 4"},
	"dns.rate_limit.v4_prefix":                    {"v4_prefix: 26", "v4_prefix: 32"},
	"dns.rate_limit.v6_prefix":                    {"v6_prefix: 48", "v6_prefix: 64"},
	"dns.rate_limit.exempt":                       {"192.0.2.0/28, ", ""},
	"dns.rate_limit.networks":                     {"networks: 100000", "networks: 100001"},
	"dns.cookies":                                 {"require: true", "require: false"},
	"dns.cookies.enabled":                         {"enabled: true\n    require: true", "enabled: false"},
	"dns.cookies.require":                         {"require: true", "require: false"},
	"dns.cookies.secrets_file":                    {"cookies.keys", "other.keys"},
	"dns.dnstap":                                  {"sample: 10\n", "sample: 11\n"},
	"dns.dnstap.socket":                           {"dnstap.sock", "other.sock"},
	"dns.dnstap.file":                             {"socket: /run/dnstap/dnstap.sock", "file: x.fstrm"},
	"dns.dnstap.identity":                         {"identity: fra-dns-1", "identity: fra-dns-2"},
	"dns.dnstap.sample":                           {"sample: 10\n", "sample: 11\n"},
	"dns.query_log":                               {"mask_v4: 20", "mask_v4: 21"},
	"dns.query_log.file":                          {"file: queries.log", "file: stderr"},
	"dns.query_log.sample":                        {"sample: 1000\n", "sample: 1001\n"},
	"dns.query_log.mask_v4":                       {"mask_v4: 20", "mask_v4: 21"},
	"dns.query_log.mask_v6":                       {"mask_v6: 48\n  traffic", "mask_v6: 49\n  traffic"},
	"dns.traffic":                                 {"window: 30m", "window: 31m"},
	"dns.traffic.sample":                          {"sample: 64\n", "sample: 0\n"},
	"dns.traffic.window":                          {"window: 30m", "window: 31m"},
	"dns.tls":                                     {"key: dot.key", "key: other.key"},
	"dns.tls.listen":                              {"127.0.2.53:8530", "127.0.2.53:8531"},
	"dns.tls.certificate":                         {"certificate: dot.pem", "certificate: other.pem"},
	"dns.tls.key":                                 {"key: dot.key", "key: other.key"},
	"dns.tls.expiry_warning":                      {"expiry_warning: 10d", "expiry_warning: 0s"},
	"dns.proxy_protocol":                          {"198.51.100.32/28, ", ""},
	"dns.proxy_protocol.from":                     {"198.51.100.32/28, ", ""},
	"gossip":                                      {"listen: 192.0.2.2:7946", "listen: 192.0.2.3:7946"},
	"gossip.listen":                               {"listen: 192.0.2.2:7946", "listen: 192.0.2.3:7946"},
	"gossip.advertise":                            {"advertise: 198.51.100.22:7946", "advertise:"},
	"gossip.seeds":                                {`, "198.51.100.23:7946"`, ""},
	"gossip.keyring_file":                         {"gossip.keys", "other.keys"},
	"gossip.profile":                              {"profile: wan", "profile: fast"},
	"api":                                         {"listen: 127.0.2.53:8053", "listen: 127.0.2.53:8054"},
	"api.listen":                                  {"listen: 127.0.2.53:8053", "listen: 127.0.2.53:8054"},
	"geo":                                         {"city: city.mmdb", `city: ""`},
	"geo.city":                                    {"city: city.mmdb", `city: ""`},
	"geo.country":                                 {"country: country.mmdb", "country: other.mmdb"},
	"geo.asn":                                     {"asn: asn.mmdb", "asn:"},
	"geo.cidr_map":                                {"networks.txt", "others.txt"},
	"datacenters":                                 {"lat: 40.71", "lat: 40.72"},
	"datacenters.NAME.region":                     {"region: americas", "region: america"},
	"datacenters.NAME.lat":                        {"lat: 40.71", "lat: 40.72"},
	"datacenters.NAME.lon":                        {"lon: -74.01", "lon: -74.02"},
	"datacenters.NAME.weight":                     {"weight: 2}", "weight: 3}"},
	"sites":                                       {"capacity: 500", "capacity: 501"},
	"sites.NAME.datacenter":                       {"ap-south: {datacenter: ap-south", "ap-south: {datacenter: eu-west"},
	"sites.NAME.vip":                              {"v4: 198.51.100.3", "v4: 198.51.100.4"},
	"sites.NAME.vip.v4":                           {"v4: 198.51.100.3", "v4: 198.51.100.4"},
	"sites.NAME.vip.v6":                           {"2001:db8::2", "2001:db8::3"},
	"sites.NAME.weight":                           {"weight: 150", "weight: 151"},
	"sites.NAME.capacity":                         {"capacity: 500", "capacity: 501"},
	"sites.NAME.directors":                        {"router_id: 51", "router_id: 52"},
	"sites.NAME.directors.mode":                   {"mode: ipvs\n      forward: nat", "mode: haproxy"},
	"sites.NAME.directors.forward":                {"forward: nat", "forward: tunnel"},
	"sites.NAME.directors.interface":              {"interface: eth0", "interface: eth1"},
	"sites.NAME.directors.router_id":              {"router_id: 51", "router_id: 52"},
	"sites.NAME.directors.advert":                 {"advert: 2s", "advert: 3s"},
	"sites.NAME.directors.auth":                   {"auth: s3cr3t", "auth: other"},
	"sites.NAME.directors.a":                      {"priority: 200", "priority: 201"},
	"sites.NAME.directors.a.address":              {"198.51.100.11", "198.51.100.15"},
	"sites.NAME.directors.a.priority":             {"priority: 200", "priority: 201"},
	"sites.NAME.directors.b":                      {"priority: 120", "priority: 121"},
	"sites.NAME.directors.b.address":              {"198.51.100.12", "198.51.100.15"},
	"sites.NAME.directors.b.priority":             {"priority: 120", "priority: 121"},
	"sites.NAME.directors.ports":                  {"[80, 443]", "[80]"},
	"sites.NAME.directors.check":                  {"check: plain", "check: sql"},
	"sites.NAME.directors.real_servers":           {"198.51.100.14", "198.51.100.15"},
	"sites.NAME.directors.real_servers[].address": {"198.51.100.14", "198.51.100.15"},
	"sites.NAME.directors.real_servers[].weight":  {"weight: 2}", "weight: 3}"},
	"checks":                                      {"fall: 4", "fall: 5"},
	"checks.NAME.http":                            {"port: 8080", "port: 8081"},
	"checks.NAME.http.port":                       {"port: 8080", "port: 8081"},
	"checks.NAME.http.path":                       {"path: /ready", "path: /"},
	"checks.NAME.http.host":                       {"path: /ready, host: www.shop.example", "path: /ready"},
	"checks.NAME.http.status":                     {"status: 204", "status: 205"},
	"checks.NAME.http.body":                       {"body: ready", `body: ""`},
	"checks.NAME.https":                           {"port: 8443", "port: 8444"},
	"checks.NAME.https.port":                      {"port: 8443", "port: 8444"},
	"checks.NAME.https.path":                      {"path: /healthz", "path: /health"},
	"checks.NAME.https.host":                      {"host: www.shop.example\n", "host: api.shop.example\n"},
	"checks.NAME.https.server_name":               {"server_name: shop.example", "server_name: www.shop.example"},
	"checks.NAME.https.status":                    {"300-399", "300-398"},
	"checks.NAME.https.body":                      {"body: ok", "body: fine"},
	"checks.NAME.https.skip_verify":               {"skip_verify: false", "skip_verify: true"},
	"checks.NAME.https.ca_file":                   {"ca.pem", "roots.pem"},
	"checks.NAME.https.expiry_warning":            {"14d", "13d"},
	"checks.NAME.tcp":                             {"26257", "26258"},
	"checks.NAME.tcp.port":                        {"26257", "26258"},
	"checks.NAME.preset":                          {"preset: fast", "preset: default"},
	"checks.NAME.interval":                        {"interval: 3s", "interval: 4s"},
	"checks.NAME.timeout":                         {"timeout: 1s", "timeout: 2s"},
	"checks.NAME.recheck":                         {"recheck: 400ms", "recheck: 300ms"},
	"checks.NAME.fall":                            {"fall: 4", "fall: 5"},
	"checks.NAME.ok":                              {"ok: 5", "ok: 6"},
	"checks.NAME.rise":                            {"rise: 6", "rise: 7"},
	"witnesses":                                   {"192.0.2.251:53", "192.0.2.252:53"},
	"services":                                    {"all_down: all", "all_down: none"},
	"services.NAME.policy":                        {"{round-robin: [us-east, eu-west]}", "us-east"},
	"services.NAME.ttl":                           {"min: 5s", "min: 6s"},
	"services.NAME.ttl.min":                       {"min: 5s", "min: 6s"},
	"services.NAME.ttl.max":                       {"max: 45s", "max: 46s"},
	"services.NAME.all_down":                      {"all_down: all", "all_down: none"},
	"services.NAME.all_down.last-resort":          {"192.0.2.99", "192.0.2.98"},
	"services.NAME.checks":                        {"[web, sql]", "[web]"},
	"services.NAME.ecs":                           {"sql]\n    ecs: true", "sql]\n    ecs: false"},
	"policy.round-robin":                          {"round-robin: [us-east, eu-west]", "round-robin: [eu-west]"},
	"policy.failover":                             {"failover: [ap-south, eu-west]", "failover: [eu-west, ap-south]"},
	"policy.sticky":                               {"sticky: [us-east, eu-west]", "sticky: [us-east]"},
	"policy.weighted":                             {"us-east: 70", "us-east: 71"},
	"policy.weighted[].weight":                    {"weight: 3,", "weight: 2,"},
	"policy.weighted[].to":                        {"to: ap-south", "to: eu-west"},
	"policy.nearest":                              {"count: 2", "count: 1"},
	"policy.nearest.sites":                        {"sites: [us-east, eu-west, ap-south]", "sites: [us-east, eu-west]"},
	"policy.nearest.count":                        {"count: 2", "count: 3"},
	"policy.geo":                                  {"country/DE", "country/FR"},
	"policy.geo.rules":                            {"country/DE", "country/FR"},
	"policy.geo.rules[].match":                    {"continent/AS", "continent/OC"},
	"policy.geo.rules[].to":                       {"to: eu-west}", "to: us-east}"},
	"policy.geo.default":                          {"{weighted: {us-east: 70, eu-west: 30}}", "eu-west"},
	"health":                                      {"stale: 16s", "stale: 15s"},
	"health.preset":                               {"preset: default\n  stale: 16s", "preset: fast"},
	"health.stale":                                {"stale: 16s", "stale: 15s"},
	"health.max_score":                            {"max_score: 5", "max_score: 6"},
	"health.corroboration_hold":                   {"corroboration_hold: 11s", "corroboration_hold: 0s"},
	"health.minority_hold":                        {"minority_hold: 17s", "minority_hold: 18s"},
	"health.brake_window":                         {"brake_window: 31s", "brake_window: 32s"},
	"health.brake_hold":                           {"brake_hold: 12s", "brake_hold: 13s"},
	"health.soft_pull_every":                      {"soft_pull_every: 61s", "soft_pull_every: 62s"},
	"health.headroom":                             {"headroom: 120", "headroom: 121"},
	"health.ramp":                                 {"ramp: 121s", "ramp: 122s"},
	"health.settled_ttl":                          {"\n  settled_ttl: 31s", "\n  settled_ttl: 32s"},
	"health.unsettled_ttl":                        {"unsettled_ttl: 11s", "unsettled_ttl: 12s"},
	"health.settle":                               {"settle: 62s", "settle: 63s"},
	"health.hold":                                 {"\n  hold: 21s", "\n  hold: 22s"},
	"health.max_hold":                             {"max_hold: 21m", "max_hold: 22m"},
	"health.flap_half_life":                       {"flap_half_life: 301s", "flap_half_life: 302s"},
	"zones":                                       {"www: shop", "www: api"},
	"zones.NAME.file":                             {"shop.example.zone", "other.zone"},
	"zones.NAME.steer":                            {"www: shop", "www: api"},
}

// TestEveryKeyCounts proves that no key is read and forgotten, and that the fleet hash covers what it should.
func TestEveryKeyCounts(t *testing.T) {
	data, err := os.ReadFile("testdata/meridian.yaml")
	if err != nil {
		t.Fatal(err)
	}
	base, err := Parse("testdata/meridian.yaml", data)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range knownKeys(t) {
		t.Run(key, func(t *testing.T) {
			edit, ok := edits[key]
			if !ok {
				t.Fatal("no edit of this key: want one in the table")
			}
			if !strings.Contains(string(data), edit[0]) {
				t.Fatalf("the example does not hold %q", edit[0])
			}
			got, err := Parse("testdata/meridian.yaml", []byte(strings.Replace(string(data), edit[0], edit[1], 1)))
			if err != nil {
				t.Fatal(err)
			}
			if cmp.Equal(base, got, addrs) {
				t.Errorf("%q for %q changes nothing", edit[1], edit[0])
			}
			section, _, _ := strings.Cut(key, ".")
			own := slices.Contains([]string{"node", "dns", "gossip", "api"}, section)
			if same := base.FleetHash() == got.FleetHash(); same != own {
				t.Errorf("fleet hash the same: %v: want %v", same, own)
			}
		})
	}
}

func TestFleetHashIsOfTheMeaning(t *testing.T) {
	parse := func(path, s string) string {
		t.Helper()
		c, err := Parse(path, []byte(s))
		if err != nil {
			t.Fatal(err)
		}
		return c.FleetHash()
	}
	one := parse("/etc/meridian/meridian.yaml", `
node: {name: n1, datacenter: here}
dns: {listen: ["127.0.0.1:5300"]}
geo: {cidr_map: networks.txt}
datacenters: {here: {lat: 1, lon: 2}, there: {lat: 3, lon: 4}}
sites: {a: {datacenter: here, vip: {v4: 192.0.2.1}}, b: {datacenter: there, vip: {v4: 192.0.2.2}}}
checks: {c: {https: {ca_file: ca.pem}}}
services: {s: {policy: {weighted: {a: 1, b: 2}}, checks: [c]}}
zones: {example: {file: zones/example, steer: {www: s, api: s}}}
`)
	two := parse("/srv/m.yaml", `# another machine
zones:
  EXAMPLE.:
    steer: {api: s, www: s}
    file: ./zones/example
services: {s: {checks: [c], policy: {weighted: {b: 2, a: 1}}, ttl: {min: 10s, max: 30000ms}}}
checks: {c: {interval: 2s, https: {ca_file: ca.pem, port: 443}}}
sites:
  b: {datacenter: there, vip: {v4: 192.0.2.2}, weight: 100}
  a: {datacenter: here, vip: {v4: 192.0.2.1}}
datacenters: {there: {lat: 3, lon: 4}, here: {lat: 1.0, lon: 2, region: here, weight: 1}}
health: {ramp: 2m}
geo: {cidr_map: networks.txt, city: ""}
dns: {listen: ["127.0.0.1:5301"]}
node: {name: n2, datacenter: there}
`)
	if one != two {
		t.Errorf("fleet hashes %s and %s: want them equal", one, two)
	}
	if len(one) != 16 {
		t.Errorf("fleet hash %q: want 16 hexadecimal digits", one)
	}
}

// TestEveryKnobOfHealthHasAKey fails when the health package gets a knob that the file does not have.
func TestEveryKnobOfHealthHasAKey(t *testing.T) {
	keys := 0
	for _, key := range knownKeys(t) {
		if strings.HasPrefix(key, "health.") && key != "health.preset" {
			keys++
		}
	}
	if n := reflect.TypeFor[health.Policy]().NumField(); n != keys {
		t.Errorf("%d keys for the %d fields of health.Policy", keys, n)
	}
	if n := reflect.TypeFor[health.Timing]().NumField(); n != 6 {
		t.Errorf("health.Timing has %d fields: want the 6 that checks have keys for", n)
	}
}
