package querylog

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/meridian-gtm/meridian/dnsserver/steer"
	"github.com/meridian-gtm/meridian/dnsserver/tap"
	"github.com/meridian-gtm/meridian/dnsserver/wire"
)

var at = time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.UTC)

// exchange is a query with a client subnet, and its answer.
func exchange(t *testing.T, client, subnet string) *tap.Exchange {
	t.Helper()
	x := &tap.Exchange{
		Time: at, Client: netip.MustParseAddrPort(client), Transport: wire.UDP, Sent: true,
		Meta: wire.Meta{Qtype: dns.TypeA, Service: "shop", Sites: 0b101, SiteNames: &steer.SiteNames{"eu", "us", "ap"}},
	}
	q := new(dns.Msg).SetQuestion("WWW.shop.example.", dns.TypeA)
	a := new(dns.Msg).SetReply(q)
	for _, text := range []string{"www.shop.example. 30 A 203.0.113.1", "www.shop.example. 20 A 203.0.113.2"} {
		rr, err := dns.NewRR(text)
		if err != nil {
			t.Fatal(err)
		}
		a.Answer = append(a.Answer, rr)
	}
	if subnet != "" {
		x.Subnet, x.Meta.ECS = netip.MustParsePrefix(subnet), true
		o := &dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: uint8(x.Subnet.Bits()), SourceScope: 20,
			Address: net.IP(x.Subnet.Addr().AsSlice())}
		if x.Subnet.Addr().Is6() {
			o.Family = 2
		}
		a.SetEdns0(1232, false)
		a.IsEdns0().Option = append(a.IsEdns0().Option, o)
	}
	var err error
	if x.Query, err = q.Pack(); err != nil {
		t.Fatal(err)
	}
	if x.Answer, err = a.Pack(); err != nil {
		t.Fatal(err)
	}
	return x
}

// record runs a log over exchanges and returns its lines.
func record(t *testing.T, o Options, all ...*tap.Exchange) []string {
	t.Helper()
	var out bytes.Buffer
	o.Stderr = &out
	l, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range all {
		l.Take(x)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	l.Run(ctx)
	if l.Lost() != 0 || l.Failures() != 0 {
		t.Errorf("%d lost, %d failures", l.Lost(), l.Failures())
	}
	return strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
}

func TestLines(t *testing.T) {
	o := Options{Sample: 100, MaskV4: 24, MaskV6: 56}
	dropped := exchange(t, "192.0.2.7:4711", "")
	dropped.Sent, dropped.Answer = false, nil
	static := exchange(t, "[::ffff:192.0.2.7]:1", "")
	static.Meta = wire.Meta{Qtype: 65280, Rcode: dns.RcodeNameError}
	static.Transport = wire.TCP
	garbage := exchange(t, "192.0.2.7:4711", "")
	garbage.Query = garbage.Query[:12]
	got := record(t, o, exchange(t, "192.0.2.7:4711", ""), exchange(t, "[2001:db8:1:2ff::3]:1", "198.51.100.99/32"),
		exchange(t, "192.0.2.7:1", "2001:db8:1200::/40"), dropped, static, garbage)
	want := []string{
		`{"time":"2026-01-02T03:04:05.678Z","client":"192.0.2.0/24","name":"www.shop.example.","type":"A","transport":"udp",` +
			`"rcode":"NOERROR","service":"shop","cause":"policy","sites":["eu","ap"],"ttl":20,"size":98,"sample":100}`,
		`{"time":"2026-01-02T03:04:05.678Z","client":"2001:db8:1:200::/56","ecs":"198.51.100.0/24","name":"www.shop.example.",` +
			`"type":"A","transport":"udp","rcode":"NOERROR","service":"shop","cause":"policy","sites":["eu","ap"],"ttl":20,` +
			`"scope":20,"size":121,"sample":100}`,
		`{"time":"2026-01-02T03:04:05.678Z","client":"192.0.2.0/24","ecs":"2001:db8:1200::/40","name":"www.shop.example.",` +
			`"type":"A","transport":"udp","rcode":"NOERROR","service":"shop","cause":"policy","sites":["eu","ap"],"ttl":20,` +
			`"scope":20,"size":122,"sample":100}`,
		`{"time":"2026-01-02T03:04:05.678Z","client":"192.0.2.0/24","name":"www.shop.example.","type":"A","transport":"udp",` +
			`"rcode":"NOERROR","service":"shop","cause":"policy","sites":["eu","ap"],"dropped":true,"sample":100}`,
		`{"time":"2026-01-02T03:04:05.678Z","client":"192.0.2.0/24","name":"www.shop.example.","type":"TYPE65280",` +
			`"transport":"tcp","rcode":"NXDOMAIN","ttl":20,"size":98,"sample":100}`,
	}
	if len(got) != len(want) {
		t.Fatalf("%d lines: want %d", len(got), len(want))
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("line %d: got\n%s\nwant\n%s", i, got[i], want[i])
		}
	}
}

// No line holds more of a client than the masks allow, whatever the names are.
func TestMasks(t *testing.T) {
	for _, o := range []Options{{Sample: 1, MaskV4: 8, MaskV6: 16}, {Sample: 1, MaskV4: 32, MaskV6: 128}} {
		got := strings.Join(record(t, o, exchange(t, "192.0.2.7:4711", ""), exchange(t, "[2001:db8::7]:1", "")), " ")
		all := strings.Contains(got, "192.0.2.7/32") && strings.Contains(got, "2001:db8::7/128")
		none := strings.Contains(got, `"192.0.0.0/8"`) && strings.Contains(got, `"2001::/16"`)
		if all != (o.MaskV4 == 32) || none == all {
			t.Errorf("%+v: %s", o, got)
		}
	}
	if _, err := New(Options{MaskV4: 7, MaskV6: 129}); err == nil ||
		err.Error() != "query log: mask v4: 7: want 8..32\nquery log: mask v6: 129: want 16..128" {
		t.Errorf("%v", err)
	}
}

// A file that was moved is followed by a new one when the log is told, no line is lost, and one that was cut short by
// others does not swallow the next.
func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queries.log")
	if err := os.WriteFile(path, []byte(`{"cut`), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := New(Options{File: path, Sample: 1, MaskV4: 24, MaskV6: 56})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { l.Run(ctx) })
	defer running.Wait()
	defer cancel()
	lines := func(path string) int {
		b, err := os.ReadFile(path)
		if err != nil {
			return -1
		}
		return strings.Count(string(b), "\n")
	}
	eventually := func(path string, want int) {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); lines(path) != want; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s: %d lines: want %d", path, lines(path), want)
			}
		}
	}
	l.Take(exchange(t, "192.0.2.7:4711", ""))
	eventually(path, 2)
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	l.Take(exchange(t, "192.0.2.7:4711", ""))
	eventually(path+".1", 3)
	l.Reopen()
	eventually(path, 0)
	l.Take(exchange(t, "192.0.2.7:4711", ""))
	eventually(path, 1)
	if b, err := os.ReadFile(path + ".1"); err != nil || !strings.HasPrefix(string(b), "{\"cut\n{") {
		t.Errorf("%v: %s", err, b)
	}
}
