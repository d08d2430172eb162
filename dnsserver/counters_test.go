package dnsserver

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-gtm/meridian/dnsserver/steer"
	"github.com/meridian-gtm/meridian/dnsserver/wire"
)

// Many writers, as TCP connections are, and services that all of them see first.
func TestCountersConcurrent(t *testing.T) {
	c := newCounters(true)
	var group sync.WaitGroup
	for g := range 8 {
		group.Go(func() {
			names := &steer.SiteNames{"eu", "us"}
			for i := range 1000 {
				c.count(true, &wire.Meta{
					Qtype: dns.TypeA, Service: fmt.Sprint((g + i) % 20), ECS: i%2 == 0, Sites: 1 + uint64(i%2)*2, SiteNames: names,
				})
			}
		})
	}
	group.Wait()
	traffic, services := newTrafficStats(), map[string]ServiceStats{}
	c.addTo(&traffic, services)
	var sum ServiceStats
	var eu, us uint64
	for _, s := range services {
		sum.Policy += s.Policy
		sum.ECS += s.ECS
		eu, us = eu+s.Sites["eu"], us+s.Sites["us"]
	}
	if traffic.Answered() != 8000 || sum.Policy != 8000 || sum.ECS != 4000 || eu != 8000 || us != 4000 || len(services) != 20 {
		t.Errorf("got %+v, %+v in %d services", traffic, sum, len(services))
	}
}

// What one goroutine counts is right, too, whichever service follows which.
func TestCountersUnshared(t *testing.T) {
	c := newCounters(false)
	want := map[string]ServiceStats{}
	for i := range 1000 {
		name := fmt.Sprint(i / 3 % 20)
		c.count(true, &wire.Meta{Qtype: dns.TypeA, Service: name, ECS: i%2 == 0})
		s := want[name]
		s.Policy++
		if i%2 == 0 {
			s.ECS++
		}
		want[name] = s
	}
	traffic, services := newTrafficStats(), map[string]ServiceStats{}
	c.addTo(&traffic, services)
	if traffic.Answered() != 1000 || traffic.ECS != 500 || !reflect.DeepEqual(services, want) {
		t.Errorf("got %+v, %v, want %v", traffic, services, want)
	}
}

// A plan may have other sites for a service, in another order, and more than are told apart. No count goes back.
func TestCountersFollowTheSites(t *testing.T) {
	c := newCounters(false)
	count := func(sites uint64, names *steer.SiteNames) {
		c.count(true, &wire.Meta{Service: "shop", Sites: sites, SiteNames: names})
	}
	count(0b11, &steer.SiteNames{"eu", "us"})
	count(0b10, &steer.SiteNames{"us", "ap"})
	many := steer.SiteNames{"ap"}
	for i := range 69 {
		many = append(many, fmt.Sprint("s", i))
	}
	count(1<<63|1<<62|1, &many)
	count(0, &steer.SiteNames{"eu"})
	services := map[string]ServiceStats{}
	traffic := newTrafficStats()
	c.addTo(&traffic, services)
	got := services["shop"].Sites
	maps.DeleteFunc(got, func(_ string, n uint64) bool { return n == 0 })
	if want := map[string]uint64{"eu": 1, "us": 1, "ap": 2, "s61": 1, "other": 1}; !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if n := testing.AllocsPerRun(100, func() { count(1<<63|1, &many) }); n > 0 {
		t.Errorf("%v allocations to count an answer", n)
	}
}

func TestNames(t *testing.T) {
	c := newCounters(true)
	for _, m := range []wire.Meta{
		{Qtype: 0, Rcode: dns.RcodeFormatError}, {Qtype: dns.TypeA}, {Qtype: dns.TypeCAA}, {Qtype: dns.TypeANY},
		{Qtype: 200}, {Qtype: 258}, {Qtype: 65535, Rcode: dns.RcodeBadVers}, {Qtype: dns.TypeA, Rcode: 4095},
		{Qtype: dns.TypeA, Rcode: dns.RcodeBadCookie},
	} {
		c.count(true, &m)
	}
	traffic := newTrafficStats()
	c.addTo(&traffic, nil)
	if got := fmt.Sprint(traffic.Types); got != "map[A:3 ANY:1 CAA:1 none:1 other:3]" {
		t.Errorf("types: %s", got)
	}
	if got := fmt.Sprint(traffic.Rcodes); got != "map[BADCOOKIE:1 BADVERS:1 FORMERR:1 NOERROR:5 other:1]" {
		t.Errorf("rcodes: %s", got)
	}
}

func TestCollect(t *testing.T) {
	s := newServer(t, Options{})
	s.overTCP.counters.count(true, &wire.Meta{Qtype: dns.TypeA, EDNS: true, ECS: true, Service: "shop", Cause: steer.CauseAllDown, Sites: 1, SiteNames: &steer.SiteNames{"eu"}})
	s.overTCP.counters.count(true, &wire.Meta{Qtype: dns.TypeMX, Rcode: dns.RcodeNameError, Truncated: true, Slow: true})
	s.overTCP.counters.count(false, &wire.Meta{})
	for status, n := range map[wire.CookieStatus]int{wire.CookieClient: 2, wire.CookieInvalid: 3, wire.CookieValid: 4} {
		for range n {
			s.overTCP.counters.count(true, &wire.Meta{Qtype: dns.TypeA, Cookie: status})
		}
	}
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(s); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			value := metric.GetCounter().GetValue() + metric.GetGauge().GetValue()
			if value == 0 {
				continue
			}
			line := strings.TrimPrefix(family.GetName(), "meridian_dns_")
			for _, label := range metric.GetLabel() {
				line += " " + label.GetName() + "=" + label.GetValue()
			}
			got = append(got, fmt.Sprint(line, " ", value))
		}
	}
	want := []string{
		"answers_total rcode=NOERROR transport=tcp 10",
		"answers_total rcode=NXDOMAIN transport=tcp 1",
		"cookie_queries_total cookie=client transport=tcp 2",
		"cookie_queries_total cookie=invalid transport=tcp 3",
		"cookie_queries_total cookie=none transport=tcp 2",
		"cookie_queries_total cookie=valid transport=tcp 4",
		"edns_queries_total transport=tcp 1",
		"ignored_total transport=tcp 1",
		"queries_total transport=tcp type=A 10",
		"queries_total transport=tcp type=MX 1",
		"service_answers_total cause=all-down service=shop 1",
		"service_ecs_answers_total service=shop 1",
		"site_answers_total service=shop site=eu 1",
		"slow_answers_total transport=tcp 1",
		"truncated_total transport=tcp 1",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
