package node

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/meridian-gtm/meridian/config"
	"github.com/meridian-gtm/meridian/dnsserver"
	"github.com/meridian-gtm/meridian/dnsserver/proxyproto"
	"github.com/meridian-gtm/meridian/dnsserver/rrl"
	"github.com/meridian-gtm/meridian/dnsserver/wire"
)

// The example has every key at a value of its own, so that a value which goes nowhere, or astray, shows.
func TestDNSOptions(t *testing.T) {
	cfg, err := config.Load("../config/testdata/meridian.yaml")
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	want := dnsserver.Options{
		Listen:    []netip.AddrPort{netip.MustParseAddrPort("127.0.2.53:5300"), netip.MustParseAddrPort("[::1]:5300")},
		ListenTLS: []netip.AddrPort{netip.MustParseAddrPort("127.0.2.53:8530"), netip.MustParseAddrPort("[::1]:8530")},
		Answers:   wire.Options{NSID: "fra1", Hostname: "ns1", UDPSize: 1400},
		RateLimit: rrl.Options{
			Answers: 1000, Empty: 200, Errors: 50, Burst: 1500 * time.Millisecond, Slip: 3, V4Prefix: 26, V6Prefix: 48,
			Exempt:   []netip.Prefix{netip.MustParsePrefix("192.0.2.0/28"), netip.MustParsePrefix("2001:db8:53::/48")},
			Networks: 100_000,
		},
		ProxyFrom:     []netip.Prefix{netip.MustParsePrefix("198.51.100.32/28"), netip.MustParsePrefix("2001:db8:32::/64")},
		Cookies:       dnsserver.CookieOptions{Require: true},
		LatencySample: 32,
		MaxConns:      2000, MaxConnsPerClient: 100, MaxPipeline: 16,
		IdleTimeout: 8 * time.Second, WriteTimeout: 3 * time.Second, DrainTimeout: 4 * time.Second,
		Logger: log,
	}
	if got := dnsOptions(cfg.DNS, log); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// What a configuration may say, the server takes.
func TestServerTakesTheLimitsOfTheConfiguration(t *testing.T) {
	text, err := os.ReadFile(newFleet(t, 1).nodes[0].config)
	if err != nil {
		t.Fatal(err)
	}
	for _, limits := range []string{
		"",
		"tcp: {max_connections: 1, max_connections_per_client: 1, max_pipeline: 1, idle_timeout: 1ms, write_timeout: 1ms}, " +
			"drain_timeout: 1ms, latency_sample: 0, rate_limit: {answers: 1, empty: 1, errors: 1, burst: 100ms, slip: 1, " +
			"v4_prefix: 8, v6_prefix: 16, exempt: [0.0.0.0/0], networks: 1024}, proxy_protocol: {from: ['::/0', 192.0.2.1/32]}, ",
		"tcp: {max_connections: 1000000, max_connections_per_client: 1000000, max_pipeline: 256, idle_timeout: 1h, " +
			"write_timeout: 1h}, drain_timeout: 1h, latency_sample: 1000000, rate_limit: {answers: 1000000, empty: 1000000, " +
			"errors: 1000000, burst: 1m, slip: 1000, v4_prefix: 32, v6_prefix: 64, exempt: ['::/0'], networks: 16777216}, ",
	} {
		cfg, err := config.Parse("m.yaml", []byte(strings.Replace(string(text), "dns: {", "dns: {"+limits, 1)))
		if err != nil {
			t.Fatal(err)
		}
		s, err := dnsserver.New(dnsOptions(cfg.DNS, nil))
		if err != nil {
			t.Errorf("%s: %v", limits, err)
			continue
		}
		s.Close()
	}
}

// A client that asks for more than the configured rate is limited, can still ask over TCP, and shows in the metrics.
func TestConfiguredRateLimit(t *testing.T) {
	f := newFleet(t, 1, func(v *fleetVars) { v.DNS = ", latency_sample: 1, rate_limit: {answers: 1, burst: 1m}" })
	m := f.nodes[0]
	m.start()
	conn, err := net.Dial("udp", m.node.DNSAddrs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	send := func(name string, qtype uint16) {
		t.Helper()
		b, err := new(dns.Msg).SetQuestion(name, qtype).Pack()
		if err == nil {
			_, err = conn.Write(b)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	const asked = 160
	for range asked {
		send("txt.shop.example.", dns.TypeTXT)
	}
	// Of a class that is not limited, on the same socket: all before it was answered or dropped.
	send("elsewhere.example.", dns.TypeA)
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	full, cut, last := 0, 0, false
	for buf := make([]byte, 4096); !last; {
		n, err := conn.Read(buf)
		if err != nil {
			t.Fatalf("after %d full and %d truncated answers: %v", full, cut, err)
		}
		var r dns.Msg
		if err := r.Unpack(buf[:n]); err != nil {
			t.Fatal(err)
		}
		switch {
		case r.Rcode == dns.RcodeRefused:
			last = true
		case r.Truncated:
			cut++
		default:
			full++
		}
	}
	if full < 60 || full > 60+asked/4 || cut == 0 || full+cut >= asked { // more than 60 if it took seconds
		t.Errorf("%d full and %d truncated answers of %d: want 60 and some", full, cut, asked)
	}
	tcp := dns.Client{Net: "tcp", Timeout: patience}
	q := new(dns.Msg).SetQuestion("txt.shop.example.", dns.TypeTXT)
	if r, _, err := tcp.Exchange(q, m.node.DNSAddrs()[0].String()); err != nil || len(r.Answer) != 1 {
		t.Errorf("over tcp: %v, %v", r, err)
	}
	f.eventually("all answers are counted", func() error {
		got := m.metrics()
		dropped, truncated := got[`meridian_dns_rate_limited_total{action="dropped"}`], got[`meridian_dns_rate_limited_total{action="truncated"}`]
		if int(dropped) != asked-full-cut || int(truncated) != cut {
			return fmt.Errorf("%v dropped, %v truncated: want %d and %d", dropped, truncated, asked-full-cut, cut)
		}
		if timed := got["meridian_dns_latency_seconds_count"]; timed != asked+1 {
			return fmt.Errorf("%v queries timed: want %d", timed, asked+1)
		}
		return nil
	})
}

// Where front ends are configured they say who asks, and what they send without saying so is dropped.
func TestConfiguredProxyProtocol(t *testing.T) {
	f := running(t, 2, func(v *fleetVars) { v.DNS = ", proxy_protocol: {from: [127.0.0.1/32]}" })
	m := f.nodes[0]
	conn, err := net.Dial("udp", m.node.DNSAddrs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	query, err := new(dns.Msg).SetQuestion("blind.shop.example.", dns.TypeA).Pack()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write(query); err != nil {
		t.Fatal(err)
	}
	for client, want := range map[netip.Prefix]string{newYork: "192.0.2.1", frankfurt: "192.0.2.2"} {
		addr := netip.AddrPortFrom(client.Addr(), 53)
		h := proxyproto.Header{Transport: proxyproto.Datagram, Source: addr, Dest: addr}
		if _, err := conn.Write(append(h.Append(nil), query...)); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 512)
		n, err := conn.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		var r dns.Msg
		if err := r.Unpack(buf[:n]); err != nil {
			t.Fatal(err)
		}
		if len(r.Answer) != 1 || r.Answer[0].(*dns.A).A.String() != want {
			t.Errorf("%s: got %v, want %s", client, &r, want)
		}
	}
	got := m.metrics()
	for result, want := range map[string]float64{"accepted": 2, "malformed": 1, "untrusted": 0} {
		if n := got[`meridian_dns_proxy_headers_total{result="`+result+`",transport="udp"}`]; n != want {
			t.Errorf("%v %s: want %v", n, result, want)
		}
	}
}

// Whatever differs in the sections of one machine needs a restart, slices and text that prints alike included.
func TestNeedsRestart(t *testing.T) {
	base := func() *config.Config {
		cfg, err := config.Load("../config/testdata/meridian.yaml")
		if err != nil {
			t.Fatal(err)
		}
		return cfg
	}
	if err := needsRestart(base(), base()); err != nil {
		t.Errorf("nothing differs: %v", err)
	}
	other := base()
	other.Sites = other.Sites[1:]
	if err := needsRestart(base(), other); err != nil {
		t.Errorf("the fleet differs: %v", err)
	}
	for want, change := range map[string]func(*config.Config){
		"node: DataDir: x: want ../config/testdata/data: ": func(c *config.Config) { c.Node.DataDir = "x" },
		"dns: DrainTimeout: 1s: want 4s: ":                 func(c *config.Config) { c.DNS.DrainTimeout = time.Second },
		"dns: TCP: {MaxConnections:2000 ":                  func(c *config.Config) { c.DNS.TCP.MaxPipeline++ },
		"dns: RateLimit: {Answers:1000 ":                   func(c *config.Config) { c.DNS.RateLimit.Exempt[1] = netip.MustParsePrefix("2001:db8::/32") },
		"dns: RateLimit: {Answers:1000 Empty:200 ":         func(c *config.Config) { c.DNS.RateLimit.Exempt = nil },
		"dns: ProxyFrom: [198.51.100.32/28]: want ":        func(c *config.Config) { c.DNS.ProxyFrom = c.DNS.ProxyFrom[:1] },
		"dns: Listen: [127.0.2.53:5300]: want ":            func(c *config.Config) { c.DNS.Listen = c.DNS.Listen[:1] },
		"gossip: Profile: fast: want wan: ":                func(c *config.Config) { c.Gossip.Profile = config.GossipFast },
		"api: Listen: 127.0.0.1:1: want 127.0.2.53:8053: ": func(c *config.Config) { c.API.Listen = netip.MustParseAddrPort("127.0.0.1:1") },
	} {
		changed := base()
		change(changed)
		err := needsRestart(base(), changed)
		if err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("got %v, want %s...", err, want)
		}
	}
	a, b := base(), base()
	a.DNS.Chaos, b.DNS.Chaos = config.Chaos{Version: "a b"}, config.Chaos{Version: "a", Hostname: "b "}
	if err := needsRestart(a, b); err == nil {
		t.Error("text that prints alike: want a restart")
	}
}
