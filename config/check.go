package config

import (
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/meridian-gtm/meridian/health"
)

// maxBody is the longest text that a probe looks for in the body of a response, in bytes.
const maxBody = 1024

func (r *reader) checks(c cursor) {
	c.named(func(name string, v cursor) {
		k := health.Check{Name: name}
		timing, preset := health.Timing{}, "default"
		have := v.mapping(fields{
			"http":     func(v cursor) { r.http(v, &k) },
			"https":    func(v cursor) { r.https(v, &k) },
			"tcp":      func(v cursor) { tcp(v, &k) },
			"preset":   func(v cursor) { choice(v, &preset, "default", "fast") },
			"interval": func(v cursor) { v.duration(&timing.Interval, 100*time.Millisecond, time.Hour) },
			"timeout":  func(v cursor) { v.duration(&timing.Timeout, 10*time.Millisecond, time.Minute) },
			"recheck":  func(v cursor) { v.duration(&timing.Recheck, 10*time.Millisecond, time.Hour) },
			"fall":     func(v cursor) { integer(v, &timing.Fall, 1, 100) },
			"ok":       func(v cursor) { integer(v, &timing.OK, 1, 100) },
			"rise":     func(v cursor) { integer(v, &timing.Rise, 1, 100) },
		})
		kinds := 0
		for _, key := range have {
			switch health.CheckKind(key) {
			case health.HTTP, health.HTTPS, health.TCP:
				kinds++
			}
		}
		if kinds != 1 && (v.isMapping() || v.absent()) {
			v.report(strconv.Itoa(kinds)+" protocols", "one of http, https or tcp")
		}
		k.Timing = complete(timing, preset)
		if k.Timing.Recheck > k.Timing.Interval {
			v.report("recheck "+formatDuration(k.Timing.Recheck), "at most interval, "+formatDuration(k.Timing.Interval))
		}
		r.declare("check", name)
		r.config.Checks = append(r.config.Checks, k)
	})
}

// complete fills what t leaves open from a preset. An interval that is shorter than the preset's recheck brings the
// recheck down with it.
func complete(t health.Timing, preset string) health.Timing {
	base := health.DefaultTiming
	if preset == "fast" {
		base = health.FastTiming
	}
	t.Interval = or(t.Interval, base.Interval)
	t.Timeout = or(t.Timeout, base.Timeout)
	t.Recheck = or(t.Recheck, min(base.Recheck, t.Interval))
	t.Fall = or(t.Fall, base.Fall)
	t.OK = or(t.OK, base.OK)
	t.Rise = or(t.Rise, base.Rise)
	return t
}

func or[T ~int | ~int64](v, fallback T) T {
	if v == 0 {
		return fallback
	}
	return v
}

func (r *reader) http(c cursor, k *health.Check) {
	c.mapping(r.request(health.HTTP, 80, k))
}

func (r *reader) https(c cursor, k *health.Check) {
	f := r.request(health.HTTPS, 443, k)
	f["server_name"] = func(v cursor) { v.host(&k.ServerName, false) }
	f["skip_verify"] = func(v cursor) { v.flag(&k.SkipVerify) }
	f["ca_file"] = func(v cursor) { r.file(v, &k.CAFile) }
	f["expiry_warning"] = func(v cursor) { v.duration(&k.ExpiryWarning, 0, 365*day) }
	c.mapping(f)
}

// request returns the keys that http and https share.
func (r *reader) request(kind health.CheckKind, port uint16, k *health.Check) fields {
	k.Kind, k.Port, k.Path = kind, port, "/"
	k.Status = []health.StatusRange{{Low: 200, High: 299}}
	return fields{
		"port": func(v cursor) { integer(v, &k.Port, 1, 65535) },
		"path": func(v cursor) {
			const want = "a request target that begins with /"
			s, ok := v.scalar(want)
			if !ok {
				return
			}
			if _, err := url.ParseRequestURI(s); err != nil || !strings.HasPrefix(s, "/") || strings.Contains(s, "#") {
				v.refuse(want)
				return
			}
			k.Path = s
		},
		"host":   func(v cursor) { v.host(&k.Host, true) },
		"status": func(v cursor) { v.statuses(&k.Status) },
		"body":   func(v cursor) { v.text(&k.Body, 0, maxBody) },
	}
}

func tcp(c cursor, k *health.Check) {
	k.Kind = health.TCP
	have := c.mapping(fields{"port": func(v cursor) { integer(v, &k.Port, 1, 65535) }})
	c.need(have, "port", "1..65535")
}

// host reads a host name or address, with a port where port is set.
func (c cursor) host(into *string, port bool) {
	want := "a host name"
	if port {
		want = "a host name, maybe with :port"
	}
	s, ok := c.scalar(want)
	if !ok {
		return
	}
	if !isHost(s) || !port && strings.ContainsAny(s, ":[]") {
		c.refuse("%s", want)
		return
	}
	*into = s
}

// statuses reads status codes: numbers and ranges like "300-399", as a list or alone.
func (c cursor) statuses(into *[]health.StatusRange) {
	const want = "a status code or range in 100..599, like 200 or 300-399"
	items := []cursor{c}
	if len(c.node.Content) > 0 || c.node.Value == "" {
		items = c.items()
	}
	var out []health.StatusRange
	for _, item := range items {
		s, ok := item.scalar(want)
		if !ok {
			continue
		}
		low, high, isRange := strings.Cut(s, "-")
		if !isRange {
			high = low
		}
		a, errA := strconv.Atoi(low)
		b, errB := strconv.Atoi(high)
		if errA != nil || errB != nil || a < 100 || b > 599 || a > b {
			item.refuse(want)
			continue
		}
		out = append(out, health.StatusRange{Low: a, High: b})
	}
	*into = out
}
