package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-gtm/meridian/config"
	"github.com/meridian-gtm/meridian/control"
	"github.com/meridian-gtm/meridian/dnsserver/dnstap"
	"github.com/meridian-gtm/meridian/dnsserver/querylog"
	"github.com/meridian-gtm/meridian/dnsserver/tap"
	"github.com/meridian-gtm/meridian/dnsserver/traffic"
)

// watchers are those who get copies of queries. Each is nil when the configuration does not want it.
type watchers struct {
	tap      *tap.Tap
	dnstap   *dnstap.Output
	queryLog *querylog.Log
	traffic  *trafficSink
}

func newWatchers(c config.DNS, version string, now time.Time, log *slog.Logger) (w watchers, err error) {
	var outputs []tap.Output
	if d := c.Dnstap; d.Socket != "" || d.File != "" {
		w.dnstap, err = dnstap.New(dnstap.Options{
			Socket: d.Socket, File: d.File, Identity: d.Identity, Version: "meridian " + version, Logger: log,
		})
		if err != nil {
			return w, err
		}
		outputs = append(outputs, tap.Output{Sink: w.dnstap, Sample: d.Sample})
	}
	if q := c.QueryLog; q.File != "" {
		o := querylog.Options{File: q.File, Sample: q.Sample, MaskV4: q.MaskV4, MaskV6: q.MaskV6, Logger: log}
		if o.File == config.QueryLogStderr {
			o.File = ""
		}
		if w.queryLog, err = querylog.New(o); err != nil {
			return w, err
		}
		outputs = append(outputs, tap.Output{Sink: w.queryLog, Sample: q.Sample})
	}
	if t := c.Traffic; t.Sample > 0 {
		w.traffic = &trafficSink{sample: t.Sample, counter: traffic.NewCounter(t.Window, now, rand.Uint64())}
		outputs = append(outputs, tap.Output{Sink: w.traffic, Sample: t.Sample, Question: true})
	}
	w.tap, err = tap.New(outputs...)
	return w, err
}

// reopen opens files again, which somebody may have moved.
func (w *watchers) reopen() {
	if w.dnstap != nil {
		w.dnstap.Reopen()
	}
	if w.queryLog != nil {
		w.queryLog.Reopen()
	}
}

// trafficSink counts a sample of the queries answered.
type trafficSink struct {
	sample  int
	mu      sync.Mutex
	counter *traffic.Counter
}

// Take implements [tap.Sink].
func (s *trafficSink) Take(x *tap.Exchange) {
	name, ok := x.Name()
	if !ok || !x.Sent {
		return
	}
	q := traffic.Query{
		Name: name, Type: dns.Type(x.Meta.Qtype).String(), Service: x.Meta.Service,
		Client: traffic.Network(x.Client.Addr(), x.Client.Addr().BitLen()),
	}
	if x.Meta.ECS && x.Subnet.IsValid() {
		q.Client = traffic.Network(x.Subnet.Addr(), x.Subnet.Bits())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counter.Add(q, x.Time)
}

// errNoTraffic is the answer where nothing is counted.
var errNoTraffic = errors.New("queries are not counted: dns.traffic.sample is 0")

// topLimit bounds a list.
const topLimit = 1000

// Top implements control.Backend.
func (n *Node) Top(_ context.Context, q control.TopQuery) (*control.Top, error) {
	s := n.watchers.traffic
	if s == nil {
		return nil, errNoTraffic
	}
	if q.Limit < 1 || q.Limit > topLimit {
		return nil, fmt.Errorf("%w: limit %d: want 1..%d", control.ErrInvalid, q.Limit, topLimit)
	}
	now, t := time.Now(), &control.Top{Node: n.name, By: q.By, Sample: s.sample}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch q.By {
	case control.ByName:
		fillTop(t, s.counter.Names(now), q.Limit, func(s string) string { return s })
	case control.ByType:
		fillTop(t, s.counter.Types(now), q.Limit, func(s string) string { return s })
	case control.ByClient:
		fillTop(t, s.counter.Clients(now), q.Limit, netip.Prefix.String)
	default:
		return nil, fmt.Errorf("%w: by %q: want name, client or type", control.ErrInvalid, q.By)
	}
	t.Until = now
	return t, nil
}

func fillTop[K comparable](t *control.Top, r traffic.Report[K], limit int, show func(K) string) {
	t.Since, t.Total, t.Estimated = r.Since, r.Total*uint64(t.Sample), r.Estimated
	t.Items = []control.TopItem{}
	for _, c := range r.Counts[:min(limit, len(r.Counts))] {
		t.Items = append(t.Items, control.TopItem{
			Key: show(c.Key), Count: c.Count * uint64(t.Sample), Share: float64(c.Count) / float64(r.Total),
		})
	}
}

// Queries implements control.Backend.
func (n *Node) Queries(context.Context) (*control.Queries, error) {
	s := n.watchers.traffic
	if s == nil {
		return nil, errNoTraffic
	}
	now := time.Now()
	s.mu.Lock()
	r := s.counter.Demands(now)
	s.mu.Unlock()
	q := &control.Queries{
		Node: n.name, Sample: s.sample, Since: r.Since, Until: now, Total: r.Total * uint64(s.sample), Estimated: r.Estimated,
		Counts: []control.QueryCount{},
	}
	for _, c := range r.Counts {
		q.Counts = append(q.Counts, control.QueryCount{
			Client: c.Key.Client, Service: c.Key.Service, Count: c.Count * uint64(s.sample),
		})
	}
	return q, nil
}

var (
	descTapLost = prometheus.NewDesc("meridian_dns_tap_lost_total",
		"Copies of queries that were lost, by where: ring (the watchers were too slow), dnstap or query_log (what they write to was).",
		[]string{"where"}, nil)
	descTapFailures = prometheus.NewDesc("meridian_dns_tap_failures_total",
		"Times that what dnstap or the query log writes to could not be opened, written or closed.", []string{"output"}, nil)
)

// watchCollector tells what the watchers lost.
type watchCollector struct{ *watchers }

// Describe implements [prometheus.Collector].
func (watchCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- descTapLost
	ch <- descTapFailures
}

// Collect implements [prometheus.Collector].
func (c watchCollector) Collect(ch chan<- prometheus.Metric) {
	if c.tap != nil {
		count(ch, descTapLost, c.tap.Lost(), "ring")
	}
	outlet := func(o *tap.Outlet, name string) {
		count(ch, descTapLost, o.Lost(), name)
		count(ch, descTapFailures, o.Failures(), name)
	}
	if c.dnstap != nil {
		outlet(c.dnstap.Outlet, "dnstap")
	}
	if c.queryLog != nil {
		outlet(c.queryLog.Outlet, "query_log")
	}
}
