package config

import (
	"net/netip"
	"slices"
	"strconv"
	"time"

	"go.yaml.in/yaml/v3"
)

func defaultDNS() DNS {
	return DNS{
		UDPSize: 1232, ECS: true, DrainTimeout: 5 * time.Second, LatencySample: 64,
		TCP: TCP{
			MaxConnections: 1024, MaxConnectionsPerClient: 64, MaxPipeline: 8,
			IdleTimeout: 10 * time.Second, WriteTimeout: 5 * time.Second,
		},
		TLS:       TLS{ExpiryWarning: 14 * day},
		RateLimit: RateLimit{Burst: time.Second, Slip: 2, V4Prefix: 24, V6Prefix: 56, Networks: 1 << 16},
		Cookies:   Cookies{Enabled: true},
		Dnstap:    Dnstap{Sample: 1},
		QueryLog:  QueryLog{Sample: 100, MaskV4: 24, MaskV6: 56},
		Traffic:   Traffic{Sample: 256, Window: time.Hour},
	}
}

func (r *reader) dns(c cursor) {
	d := &r.config.DNS
	have := c.mapping(fields{
		"listen": func(v cursor) { r.listenList(v, &d.Listen) },
		"nsid": func(v cursor) {
			r.nsid = true
			v.text(&d.NSID, 0, 128)
		},
		"chaos": func(v cursor) {
			v.mapping(fields{
				"version":  func(v cursor) { chaos(v, &d.Chaos.Version) },
				"hostname": func(v cursor) { chaos(v, &d.Chaos.Hostname) },
			})
		},
		"udp_size":       func(v cursor) { integer(v, &d.UDPSize, 512, 4096) },
		"ecs":            func(v cursor) { v.flag(&d.ECS) },
		"tcp":            r.tcp,
		"tls":            r.tls,
		"drain_timeout":  func(v cursor) { timeout(v, &d.DrainTimeout) },
		"latency_sample": func(v cursor) { integer(v, &d.LatencySample, 0, 1_000_000) },
		"rate_limit":     func(v cursor) { rateLimit(v, &d.RateLimit) },
		"cookies":        r.cookies,
		"dnstap":         r.dnstap,
		"query_log":      r.queryLog,
		"traffic": func(v cursor) {
			v.mapping(fields{
				"sample": func(v cursor) { integer(v, &d.Traffic.Sample, 0, maxSample) },
				"window": func(v cursor) { v.duration(&d.Traffic.Window, time.Minute, day) },
			})
		},
		"proxy_protocol": func(v cursor) {
			have := v.mapping(fields{"from": func(v cursor) { networks(v, &d.ProxyFrom) }})
			v.need(have, "from", "a list of networks")
		},
	})
	c.need(have, "listen", "a list of address:port")
}

// listenList reads addresses to listen on.
func (r *reader) listenList(c cursor, into *[]netip.AddrPort) {
	list(c, into, func(item cursor, into *netip.AddrPort) {
		item.addrPort(into, 0, true)
		r.listen(item, *into)
	})
}

// chaos reads the text of a TXT string, which holds at most 255 octets (RFC 1035 section 3.3).
func chaos(c cursor, into *string) {
	if c.text(into, 1, 255); *into == "refused" {
		*into = ""
	}
}

// timeout reads how long somebody else may take. There is no 0: to wait for ever, or not at all, is never right.
func timeout(c cursor, into *time.Duration) { c.duration(into, time.Millisecond, time.Hour) }

func (r *reader) tcp(c cursor) {
	const most = 1_000_000
	t := &r.config.DNS.TCP
	c.mapping(fields{
		"max_connections": func(v cursor) {
			t.MaxConnections = most // what cannot be read bounds nothing
			integer(v, &t.MaxConnections, 1, most)
		},
		"max_connections_per_client": func(v cursor) {
			r.later(func() { integer(v, &t.MaxConnectionsPerClient, 1, t.MaxConnections) }) // the bound may stand below
		},
		"max_pipeline":  func(v cursor) { integer(v, &t.MaxPipeline, 1, 256) },
		"idle_timeout":  func(v cursor) { timeout(v, &t.IdleTimeout) },
		"write_timeout": func(v cursor) { timeout(v, &t.WriteTimeout) },
	})
	t.MaxConnectionsPerClient = min(t.MaxConnectionsPerClient, t.MaxConnections)
}

func (r *reader) tls(c cursor) {
	t := &r.config.DNS.TLS
	const inPEM = "a file in PEM"
	pem := func(into *string) func(cursor) {
		return func(v cursor) {
			if r.file(v, into); v.node.Value == "" && v.node.Kind == yaml.ScalarNode {
				v.refuse(inPEM)
			}
		}
	}
	have := c.mapping(fields{
		"listen":         func(v cursor) { r.listenList(v, &t.Listen) },
		"certificate":    pem(&t.Certificate),
		"key":            pem(&t.Key),
		"expiry_warning": func(v cursor) { v.duration(&t.ExpiryWarning, 0, 365*day) },
	})
	c.need(have, "listen", "a list of address:port")
	c.need(have, "certificate", inPEM)
	c.need(have, "key", inPEM)
}

func rateLimit(c cursor, l *RateLimit) {
	rate := func(into *int) func(cursor) {
		return func(v cursor) { integer(v, into, 0, 1_000_000) }
	}
	c.mapping(fields{
		"answers":   rate(&l.Answers),
		"empty":     rate(&l.Empty),
		"errors":    rate(&l.Errors),
		"burst":     func(v cursor) { v.duration(&l.Burst, 100*time.Millisecond, time.Minute) },
		"slip":      func(v cursor) { integer(v, &l.Slip, 1, 1000) },
		"v4_prefix": func(v cursor) { integer(v, &l.V4Prefix, 8, 32) },
		"v6_prefix": func(v cursor) { integer(v, &l.V6Prefix, 16, 64) },
		"exempt":    func(v cursor) { networks(v, &l.Exempt) },
		"networks":  func(v cursor) { integer(v, &l.Networks, 1<<10, 1<<24) },
	})
}

// networks reads a list of networks, each once.
func networks(c cursor, into *[]netip.Prefix) {
	items := c.items()
	*into = make([]netip.Prefix, len(items))
	for i, item := range items {
		item.prefix(&(*into)[i])
	}
	once(items, *into)
}

func (r *reader) cookies(c cursor) {
	k := &r.config.DNS.Cookies
	c.mapping(fields{
		"enabled":      func(v cursor) { v.flag(&k.Enabled) },
		"require":      func(v cursor) { v.flag(&k.Require) },
		"secrets_file": func(v cursor) { r.file(v, &k.SecretsFile) },
	})
	if k.Require && !k.Enabled {
		c.report("require with enabled: false", "enabled: true, or no require")
	}
}

// maxSample bounds N where one of N queries is sampled.
const maxSample = 1_000_000

// maxSocketPath is what every system has room for, in octets.
const maxSocketPath = 103

func (r *reader) dnstap(c cursor) {
	d := &r.config.DNS.Dnstap
	have := c.mapping(fields{
		"socket": func(v cursor) {
			if r.file(v, &d.Socket); len(d.Socket) > maxSocketPath {
				v.report(strconv.Itoa(len(d.Socket))+" bytes as "+d.Socket, "a path of at most "+strconv.Itoa(maxSocketPath)+" bytes")
			}
		},
		"file":     func(v cursor) { r.file(v, &d.File) },
		"identity": func(v cursor) { v.text(&d.Identity, 1, 255) },
		"sample":   func(v cursor) { integer(v, &d.Sample, 1, maxSample) },
	})
	switch {
	case slices.Contains(have, "socket") && slices.Contains(have, "file"):
		c.child("file", nil, c.node).report("beside socket", "one of the two")
	case !slices.Contains(have, "file"):
		c.need(have, "socket", "where to write to: socket or file")
	}
}

func (r *reader) queryLog(c cursor) {
	q := &r.config.DNS.QueryLog
	have := c.mapping(fields{
		"file": func(v cursor) {
			if v.node.Value == QueryLogStderr {
				q.File = QueryLogStderr
				return
			}
			r.file(v, &q.File)
		},
		"sample":  func(v cursor) { integer(v, &q.Sample, 1, maxSample) },
		"mask_v4": func(v cursor) { integer(v, &q.MaskV4, 8, 32) },
		"mask_v6": func(v cursor) { integer(v, &q.MaskV6, 16, 128) },
	})
	c.need(have, "file", "a path, or stderr")
}
