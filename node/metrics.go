package node

import (
	"context"
	"maps"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/meridian-gtm/meridian/control"
	"github.com/meridian-gtm/meridian/dnsserver/keypair"
	"github.com/meridian-gtm/meridian/health"
	"github.com/meridian-gtm/meridian/health/probe"
	"github.com/meridian-gtm/meridian/replication/gossip"
)

var (
	descInfo = prometheus.NewDesc("meridian_info",
		"1, with what identifies the node and what it answers with.", []string{"node", "datacenter", "version", "mode", "epoch", "config"}, nil)
	descSiteLevel = prometheus.NewDesc("meridian_site_level",
		"Verdict on a target: 0 unknown, 1 down, 2 partial, 3 up.", []string{"site", "check", "family"}, nil)
	descSiteWeight = prometheus.NewDesc("meridian_site_weight_ratio",
		"Share of its configured weight that the verdict leaves a target, 0..1.", []string{"site", "check", "family"}, nil)
	descPool = prometheus.NewDesc("meridian_service_available_sites",
		"Sites that a service may answer.", []string{"service", "family"}, nil)
	descAllDown = prometheus.NewDesc("meridian_service_all_down",
		"1 while the all-down policy answers for a service.", []string{"service", "family"}, nil)
	descMemberHeard = prometheus.NewDesc("meridian_member_heard",
		"1 while a node's evidence is fresh.", []string{"member", "member_datacenter"}, nil)
	descMemberSilent = prometheus.NewDesc("meridian_member_silent_seconds",
		"Time since a node's evidence last advanced.", []string{"member", "member_datacenter"}, nil)
	descMemberAgrees = prometheus.NewDesc("meridian_member_answers_alike",
		"1 while a node's epoch, as last heard, is this one's.", []string{"member", "member_datacenter"}, nil)
	descOverrides = prometheus.NewDesc("meridian_overrides",
		"Operators' overrides in force.", nil, nil)
	descAlarms = prometheus.NewDesc("meridian_alarms",
		"Things that need a person; status names them.", nil, nil)
	descReloadOK = prometheus.NewDesc("meridian_config_last_reload_successful",
		"0 while the last reload was refused.", nil, nil)
	descReloads = prometheus.NewDesc("meridian_config_reloads_total",
		"Reloads, by result: ok or refused.", []string{"result"}, nil)
	descFault = prometheus.NewDesc("meridian_fault",
		"1 while a part of the node is at fault: applied, disk, evidence, geo, plan, reload, snapshot or tls.", []string{"part"}, nil)
	descCertificate = prometheus.NewDesc("meridian_dns_tls_certificate_not_after_timestamp_seconds",
		"When the certificate of DNS over TLS ends, in Unix time.", nil, nil)
	descRefused = prometheus.NewDesc("meridian_records_refused_total",
		"Records from peers that could not be merged.", nil, nil)

	descProbes = prometheus.NewDesc("meridian_probes_total",
		"Probes that have ended, by kind of check, outcome and reason.", []string{"kind", "outcome", "reason"}, nil)
	descProbesRunning = prometheus.NewDesc("meridian_probes_running", "Probes under way.", nil, nil)
	descProbesWaiting = prometheus.NewDesc("meridian_probes_waiting", "Probes that wait for others to end.", nil, nil)
	descStalls        = prometheus.NewDesc("meridian_probe_stalls_total",
		"Times that this machine stood still for a second or more.", nil, nil)

	descPackets = prometheus.NewDesc("meridian_gossip_packets_total",
		"Gossip packets, by direction: in or out.", []string{"direction"}, nil)
	descPacketBytes = prometheus.NewDesc("meridian_gossip_packet_bytes_total",
		"Bytes in gossip packets, without IP and UDP headers.", []string{"direction"}, nil)
	descStreams = prometheus.NewDesc("meridian_gossip_streams_total",
		"Gossip streams opened.", []string{"direction"}, nil)
	descStreamBytes = prometheus.NewDesc("meridian_gossip_stream_bytes_total",
		"Bytes in gossip streams.", []string{"direction"}, nil)
	descDelivered = prometheus.NewDesc("meridian_gossip_records_delivered_total",
		"Records from peers that were not known yet.", nil, nil)
	descMalformed = prometheus.NewDesc("meridian_gossip_malformed_total",
		"Messages and records from peers that did not decode.", nil, nil)
	descOverflow = prometheus.NewDesc("meridian_gossip_dropped_total",
		"Messages dropped because a queue was full.", nil, nil)
	descSendErrors = prometheus.NewDesc("meridian_gossip_send_errors_total",
		"Streams to peers that failed.", nil, nil)
	descConflicts = prometheus.NewDesc("meridian_gossip_name_conflicts_total",
		"Times that another node claimed a name that is taken.", nil, nil)
	descQueued = prometheus.NewDesc("meridian_gossip_queued_records", "Records that wait to be gossiped.", nil, nil)
)

// metricsWithin bounds how long a scrape may wait for the owner.
const metricsWithin = 2 * time.Second

// metricsHandler serves everything that the node counts.
func (n *Node) metricsHandler() http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(n.dns, watchCollector{&n.watchers}, nodeCollector{n}, probeCollector{n.prober}, gossipCollector{n.gossip},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
}

// nodeCollector turns the node's status into metrics when it is scraped.
type nodeCollector struct{ node *Node }

// Describe implements [prometheus.Collector].
func (nodeCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		descInfo, descSiteLevel, descSiteWeight, descPool, descAllDown, descMemberHeard, descMemberSilent, descMemberAgrees,
		descOverrides, descAlarms, descRefused, descReloadOK, descReloads, descFault, descCertificate,
	} {
		ch <- d
	}
}

// Collect implements [prometheus.Collector].
func (c nodeCollector) Collect(ch chan<- prometheus.Metric) {
	n := c.node
	ctx, cancel := context.WithTimeout(context.Background(), metricsWithin)
	defer cancel()
	var s *control.Status
	var faults map[string]string
	var pair *keypair.Pair
	err := n.call(ctx, func() error {
		s, faults, pair = n.status(time.Now()), maps.Clone(n.faults), n.pair
		return nil
	})
	if err != nil {
		ch <- prometheus.NewInvalidMetric(descInfo, err)
		return
	}
	gauge(ch, descInfo, 1, s.Node, s.Datacenter, s.Version, s.Mode, s.Epoch, s.Config.Hash)
	for _, site := range s.Sites {
		for _, t := range site.Targets {
			labels := []string{t.Target.Site, t.Target.Check, t.Target.Family.String()}
			gauge(ch, descSiteLevel, levelValue(t.Verdict.Level), labels...)
			gauge(ch, descSiteWeight, float64(t.Verdict.Weight)/health.FullWeight, labels...)
		}
	}
	for _, p := range s.Services {
		gauge(ch, descPool, float64(len(p.Available)), p.Service, p.Family)
		gauge(ch, descAllDown, boolValue(p.AllDown), p.Service, p.Family)
	}
	for _, m := range s.Members {
		gauge(ch, descMemberHeard, boolValue(m.Heard), m.Node, m.Datacenter)
		gauge(ch, descMemberSilent, m.Silent.Seconds(), m.Node, m.Datacenter)
		gauge(ch, descMemberAgrees, boolValue(m.Epoch == s.Epoch), m.Node, m.Datacenter)
	}
	gauge(ch, descOverrides, float64(len(s.Override)))
	gauge(ch, descAlarms, float64(len(s.Alarms)))
	for _, part := range parts {
		_, faulty := faults[part]
		gauge(ch, descFault, boolValue(faulty), part)
	}
	if pair != nil {
		gauge(ch, descCertificate, float64(pair.NotAfter.Unix()))
	}
	gauge(ch, descReloadOK, boolValue(n.reloads.lastOK.Load()))
	count(ch, descReloads, n.reloads.ok.Load(), "ok")
	count(ch, descReloads, n.reloads.refused.Load(), "refused")
	count(ch, descRefused, n.refused.Load())
}

// probeCollector turns the counters of a prober into metrics when it is scraped.
type probeCollector struct{ prober *probe.Prober }

// Describe implements [prometheus.Collector].
func (probeCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descProbes, descProbesRunning, descProbesWaiting, descStalls} {
		ch <- d
	}
}

// Collect implements [prometheus.Collector].
func (c probeCollector) Collect(ch chan<- prometheus.Metric) {
	s := c.prober.Stats()
	for _, k := range s.Counts {
		count(ch, descProbes, k.N, string(k.Kind), outcomeName(k.Outcome), k.Reason)
	}
	gauge(ch, descProbesRunning, float64(s.Running))
	gauge(ch, descProbesWaiting, float64(s.Waiting))
	count(ch, descStalls, s.Stalls)
}

// gossipCollector turns the counters of gossip into metrics when it is scraped.
type gossipCollector struct{ gossip *gossip.Gossip }

// Describe implements [prometheus.Collector].
func (gossipCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		descPackets, descPacketBytes, descStreams, descStreamBytes, descDelivered, descMalformed, descOverflow, descSendErrors,
		descConflicts, descQueued,
	} {
		ch <- d
	}
}

// Collect implements [prometheus.Collector].
func (c gossipCollector) Collect(ch chan<- prometheus.Metric) {
	s := c.gossip.Stats()
	for _, way := range []struct {
		name                                       string
		packets, packetBytes, streams, streamBytes uint64
	}{
		{"in", s.PacketsIn, s.PacketBytesIn, s.StreamsIn, s.StreamBytesIn},
		{"out", s.PacketsOut, s.PacketBytesOut, s.StreamsOut, s.StreamBytesOut},
	} {
		count(ch, descPackets, way.packets, way.name)
		count(ch, descPacketBytes, way.packetBytes, way.name)
		count(ch, descStreams, way.streams, way.name)
		count(ch, descStreamBytes, way.streamBytes, way.name)
	}
	count(ch, descDelivered, s.Delivered)
	count(ch, descMalformed, s.Malformed)
	count(ch, descOverflow, s.Overflow)
	count(ch, descSendErrors, s.SendErrors)
	count(ch, descConflicts, s.Conflicts)
	gauge(ch, descQueued, float64(s.QueuedItems))
}

func gauge(ch chan<- prometheus.Metric, d *prometheus.Desc, v float64, labels ...string) {
	ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func count(ch chan<- prometheus.Metric, d *prometheus.Desc, n uint64, labels ...string) {
	ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
}

func outcomeName(o health.Outcome) string {
	switch o {
	case health.Success:
		return "success"
	case health.SoftFail:
		return "soft"
	case health.HardFail:
		return "hard"
	default:
		return "local"
	}
}

func levelValue(l health.Level) float64 {
	switch l {
	case health.Down:
		return 1
	case health.Partial:
		return 2
	case health.Up:
		return 3
	default:
		return 0
	}
}

func boolValue(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
