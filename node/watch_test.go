package node

import (
	"context"
	"log/slog"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-gtm/meridian/config"
	"github.com/meridian-gtm/meridian/control"
	"github.com/meridian-gtm/meridian/dnsserver/tap"
	"github.com/meridian-gtm/meridian/dnsserver/wire"
)

func newTestWatchers(t *testing.T, c config.DNS) watchers {
	t.Helper()
	w, err := newWatchers(c, "1", time.Now(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// Only what is configured watches, and what may be configured does.
func TestWatchers(t *testing.T) {
	if w := newTestWatchers(t, config.DNS{}); w != (watchers{}) {
		t.Errorf("nothing is configured: %+v", w)
	}
	cfg, err := config.Load("../config/testdata/meridian.yaml")
	if err != nil {
		t.Fatal(err)
	}
	w := newTestWatchers(t, cfg.DNS)
	if w.tap == nil || w.dnstap == nil || w.queryLog == nil || w.traffic == nil || w.traffic.sample != 64 {
		t.Errorf("everything is configured: %+v", w)
	}
	c := config.DNS{
		Dnstap:   config.Dnstap{File: filepath.Join(t.TempDir(), "x"), Sample: 1_000_000},
		QueryLog: config.QueryLog{File: config.QueryLogStderr, Sample: 1_000_000, MaskV4: 8, MaskV6: 16},
	}
	if w := newTestWatchers(t, c); w.dnstap == nil || w.queryLog == nil || w.traffic != nil {
		t.Errorf("got %+v", w)
	}
	c.QueryLog.MaskV4, c.QueryLog.MaskV6 = 32, 128
	newTestWatchers(t, c)
}

// What is lost shows in the metrics, by where.
func TestLostCopiesAreCounted(t *testing.T) {
	w := newTestWatchers(t, config.DNS{
		Dnstap:   config.Dnstap{Socket: filepath.Join(t.TempDir(), "nobody"), Sample: 1},
		QueryLog: config.QueryLog{File: filepath.Join(t.TempDir(), "none", "log"), Sample: 1, MaskV4: 24, MaskV6: 56},
	})
	p := w.tap.NewFeed().NewPoint(netip.AddrPort{})
	query, err := new(dns.Msg).SetQuestion("www.shop.example.", dns.TypeA).Pack()
	if err != nil {
		t.Fatal(err)
	}
	const asked = 1000
	for range asked {
		if p.Next() {
			p.Take(query, query, netip.MustParseAddrPort("192.0.2.1:1"), netip.Prefix{}, wire.UDP, &wire.Meta{})
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w.tap.Run(ctx)
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(watchCollector{&w})
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			got[f.GetName()+" "+m.GetLabel()[0].GetValue()] = m.GetCounter().GetValue()
		}
	}
	ring, lost := got["meridian_dns_tap_lost_total ring"], "meridian_dns_tap_lost_total "
	if ring == 0 || ring >= asked || got[lost+"dnstap"] != asked-ring || got[lost+"query_log"] != asked-ring ||
		got["meridian_dns_tap_failures_total dnstap"] == 0 || got["meridian_dns_tap_failures_total query_log"] == 0 {
		t.Errorf("of %d: %v", asked, got)
	}
}

// Demand is that of the network which the answer was decided for, and stands for the whole sample.
func TestTrafficIsOfWhoTheAnswerIsFor(t *testing.T) {
	n := &Node{name: "n1", watchers: newTestWatchers(t, config.DNS{Traffic: config.Traffic{Sample: 10, Window: time.Hour}})}
	take := func(name, client, subnet string, m wire.Meta, sent bool) {
		t.Helper()
		x := &tap.Exchange{Time: time.Now(), Client: netip.AddrPortFrom(netip.MustParseAddr(client), 1), Meta: m, Sent: sent}
		if subnet != "" {
			x.Subnet = netip.MustParsePrefix(subnet)
		}
		var err error
		if x.Query, err = new(dns.Msg).SetQuestion(name, dns.TypeA).Pack(); err != nil {
			t.Fatal(err)
		}
		x.Meta.Qtype = dns.TypeA
		n.watchers.traffic.Take(x)
	}
	shop, ecs := wire.Meta{Service: "shop"}, wire.Meta{Service: "shop", ECS: true}
	take("WWW.shop.example.", "192.0.2.7", "", shop, true)
	take("www.shop.example.", "192.0.2.8", "198.51.100.0/24", ecs, true)
	take("www.shop.example.", "192.0.2.8", "198.51.0.0/20", ecs, true)
	take("www.shop.example.", "192.0.2.8", "198.51.100.0/24", shop, true) // the service does not look at subnets
	take("www.shop.example.", "2001:db8:1:2::3", "2001:db8:5:6::/64", ecs, true)
	take("ns.shop.example.", "192.0.2.8", "", wire.Meta{}, true)
	take("www.shop.example.", "192.0.2.8", "", shop, false) // a rate limit dropped it
	q, err := n.Queries(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	network := netip.MustParsePrefix
	want := []control.QueryCount{
		{Client: network("192.0.2.0/24"), Service: "shop", Count: 20},
		{Client: network("198.51.0.0/20"), Service: "shop", Count: 10},
		{Client: network("198.51.100.0/24"), Service: "shop", Count: 10},
		{Client: network("2001:db8:5::/48"), Service: "shop", Count: 10},
	}
	if d := cmp.Diff(want, q.Counts, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); d != "" || q.Total != 50 {
		t.Errorf("%d in all (-want +got):\n%s", q.Total, d)
	}
	top, err := n.Top(t.Context(), control.TopQuery{By: control.ByName, Limit: 1})
	if err != nil || len(top.Items) != 1 || top.Total != 60 ||
		top.Items[0] != (control.TopItem{Key: "www.shop.example.", Count: 50, Share: 5.0 / 6}) {
		t.Errorf("%+v, %v", top, err)
	}
	for _, q := range []control.TopQuery{{By: "weather", Limit: 1}, {By: control.ByName}, {By: control.ByType, Limit: 1001}} {
		if _, err := n.Top(t.Context(), q); err == nil {
			t.Errorf("%+v: no error", q)
		}
	}
}
