package node

import (
	"log/slog"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

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
