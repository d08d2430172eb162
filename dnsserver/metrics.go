package dnsserver

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-gtm/meridian/dnsserver/steer"
	"github.com/meridian-gtm/meridian/dnsserver/wire"
)

var (
	descQueries = prometheus.NewDesc("meridian_dns_queries_total",
		"Queries answered, by transport and type.", []string{"transport", "type"}, nil)
	descAnswers = prometheus.NewDesc("meridian_dns_answers_total",
		"Answers, by transport and response code.", []string{"transport", "rcode"}, nil)
	descSilent = prometheus.NewDesc("meridian_dns_ignored_total",
		"Packets that were no query and got no answer.", []string{"transport"}, nil)
	descTruncated = prometheus.NewDesc("meridian_dns_truncated_total",
		"Answers with TC set.", []string{"transport"}, nil)
	descEDNS = prometheus.NewDesc("meridian_dns_edns_queries_total",
		"Queries with EDNS(0).", []string{"transport"}, nil)
	descSlow = prometheus.NewDesc("meridian_dns_slow_answers_total",
		"Answers that were not compiled when the zones were loaded: DNAME, class CHAOS and other rare things.",
		[]string{"transport"}, nil)
	descErrors = prometheus.NewDesc("meridian_dns_socket_errors_total",
		"Failed reads, accepts and writes.", []string{"transport", "direction"}, nil)
	descCookies = prometheus.NewDesc("meridian_dns_cookie_queries_total",
		"Queries answered, by transport and cookie: none, client (no server cookie in it), invalid or valid.",
		[]string{"transport", "cookie"}, nil)
	descRateLimited = prometheus.NewDesc("meridian_dns_rate_limited_total",
		"UDP answers over the rate limit, by what became of them: dropped, truncated or badcookie.",
		[]string{"action"}, nil)
	descProxy = prometheus.NewDesc("meridian_dns_proxy_headers_total",
		"PROXY protocol headers of front ends, by what became of them: accepted, malformed or untrusted.",
		[]string{"transport", "result"}, nil)
	descHandshakes = prometheus.NewDesc("meridian_dns_tls_handshakes_total",
		"TLS handshakes of clients, by how they ended: full, resumed or failed.", []string{"result"}, nil)
	descLatency = prometheus.NewDesc("meridian_dns_latency_seconds",
		"Time from reading UDP queries to having sent their answers, of a sample of the batches.", nil, nil)
	descPanics = prometheus.NewDesc("meridian_dns_panics_total",
		"Queries that made the server panic and got SERVFAIL.", nil, nil)
	descService = prometheus.NewDesc("meridian_dns_service_answers_total",
		"Answers of steered services, by cause: policy, all-down or no-family.", []string{"service", "cause"}, nil)
	descServiceECS = prometheus.NewDesc("meridian_dns_service_ecs_answers_total",
		"Answers of steered services that were decided by a client subnet.", []string{"service"}, nil)
	descServiceSite = prometheus.NewDesc("meridian_dns_site_answers_total",
		"Answers of steered services that name a site, by site.", []string{"service", "site"}, nil)
	descConns = prometheus.NewDesc("meridian_dns_tcp_connections",
		"Open TCP connections, those of DNS over TLS included.", nil, nil)
	descAccepted = prometheus.NewDesc("meridian_dns_tcp_accepted_total",
		"TCP connections accepted.", nil, nil)
	descRejected = prometheus.NewDesc("meridian_dns_tcp_rejected_total",
		"TCP connections hung up on because their client has too many.", nil, nil)
	descDisplaced = prometheus.NewDesc("meridian_dns_tcp_displaced_total",
		"TCP connections closed for a newcomer because there are too many: those longest without an answer.", nil, nil)
)

// Describe implements [prometheus.Collector].
func (s *Server) Describe(ch chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{
		descQueries, descAnswers, descSilent, descTruncated, descEDNS, descSlow, descErrors, descPanics, descService,
		descServiceECS, descConns, descAccepted, descRejected, descDisplaced, descRateLimited,
		descLatency, descServiceSite, descProxy, descCookies, descHandshakes,
	} {
		ch <- desc
	}
}

// Collect implements [prometheus.Collector] from [Server.Stats]: the query path knows nothing of metrics.
func (s *Server) Collect(ch chan<- prometheus.Metric) {
	count := func(desc *prometheus.Desc, n uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(n), labels...)
	}
	st := s.Stats()
	type traffic struct {
		transport string
		TrafficStats
	}
	transports := []traffic{{wire.UDP.String(), st.UDP}, {wire.TCP.String(), st.TCP}}
	if len(s.opts.ListenTLS) > 0 {
		transports = append(transports, traffic{wire.DoT.String(), st.DoT})
		count(descHandshakes, st.TLS.Full, "full")
		count(descHandshakes, st.TLS.Resumed, "resumed")
		count(descHandshakes, st.TLS.Failed, "failed")
	}
	for _, t := range transports {
		for name, n := range t.Types {
			count(descQueries, n, t.transport, name)
		}
		for name, n := range t.Rcodes {
			count(descAnswers, n, t.transport, name)
		}
		count(descSilent, t.Silent, t.transport)
		count(descTruncated, t.Truncated, t.transport)
		count(descEDNS, t.EDNS, t.transport)
		count(descSlow, t.Slow, t.transport)
		count(descCookies, t.Cookies.None, t.transport, "none")
		count(descCookies, t.Cookies.Client, t.transport, "client")
		count(descCookies, t.Cookies.Invalid, t.transport, "invalid")
		count(descCookies, t.Cookies.Valid, t.transport, "valid")
		count(descErrors, t.ReadErrors, t.transport, "read")
		count(descErrors, t.WriteErrors, t.transport, "write")
		count(descProxy, t.ProxyAccepted, t.transport, "accepted")
		count(descProxy, t.ProxyMalformed, t.transport, "malformed")
		count(descProxy, t.ProxyUntrusted, t.transport, "untrusted")
	}
	for name, service := range st.Services {
		count(descService, service.Policy, name, steer.CausePolicy.String())
		count(descService, service.AllDown, name, steer.CauseAllDown.String())
		count(descService, service.NoFamily, name, steer.CauseNoFamily.String())
		count(descServiceECS, service.ECS, name)
		for site, n := range service.Sites {
			count(descServiceSite, n, name, site)
		}
	}
	count(descPanics, st.Panics)
	count(descRateLimited, st.UDP.RateDropped, "dropped")
	count(descRateLimited, st.UDP.RateTruncated, "truncated")
	count(descRateLimited, st.UDP.RateBadCookie, "badcookie")
	if s.opts.LatencySample > 0 {
		ch <- st.Latency.metric()
	}
	ch <- prometheus.MustNewConstMetric(descConns, prometheus.GaugeValue, float64(st.Conns.Open))
	count(descAccepted, st.Conns.Accepted)
	count(descRejected, st.Conns.RejectedClient)
	count(descDisplaced, st.Conns.Displaced)
}

// metric returns the histogram in Prometheus' form, with counts that include those of shorter times.
func (l *Latency) metric() prometheus.Metric {
	buckets := make(map[float64]uint64, len(l.Buckets)-1)
	below := uint64(0)
	for i, n := range l.Buckets[:len(l.Buckets)-1] {
		below += n
		buckets[(time.Microsecond << i).Seconds()] = below
	}
	return prometheus.MustNewConstHistogram(descLatency, l.Count(), l.Sum.Seconds(), buckets)
}
