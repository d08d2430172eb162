package dnsserver

import (
	"bytes"
	"context"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/meridian-gtm/meridian/dnsserver/rrl"
	"github.com/meridian-gtm/meridian/dnsserver/steer"
	"github.com/meridian-gtm/meridian/dnsserver/wire"
	"github.com/meridian-gtm/meridian/dnsserver/zone"
	"github.com/meridian-gtm/meridian/geo"
)

// offices are networks whose clients are sent to 203.0.113.2 for placed.shop.example., where all others are sent to
// 203.0.113.1.
var offices = []netip.Prefix{
	netip.MustParsePrefix("127.0.0.3/32"), netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("2001:db8:7::/48"),
}

// newSnapshot returns a state in which static.shop.example. has the address given, www.shop.example. is steered to
// 203.0.113.1 and 203.0.113.2 in turn, placed.shop.example. by place, and big.shop.example. has 100 addresses.
func newSnapshot(tb testing.TB, static string) *wire.Snapshot {
	tb.Helper()
	text := "$ORIGIN shop.example.\n$TTL 300\n@ SOA ns h 1 1 1 1 60\n@ NS ns\nns A 192.0.2.53\nstatic A " + static + "\n"
	for i := range 100 {
		text += "big A " + netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}).String() + "\n"
	}
	file := filepath.Join(tb.TempDir(), "shop.example.zone")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	z, err := zone.Load(zone.Source{Origin: "shop.example", File: file, Steer: map[string]string{"www": "shop", "placed": "placed"}})
	if err != nil {
		tb.Fatal(err)
	}
	zones, err := zone.NewSet([]*zone.Zone{z})
	if err != nil {
		tb.Fatal(err)
	}
	var networks []geo.Network
	for _, prefix := range offices {
		networks = append(networks, geo.Network{Prefix: prefix, Place: geo.Place{Label: "office"}})
	}
	var world geo.Builder
	if err := world.Add(geo.Layer(networks...)); err != nil {
		tb.Fatal(err)
	}
	us, eu := steer.Policy{Kind: steer.KindSite, Site: "us"}, steer.Policy{Kind: steer.KindSite, Site: "eu"}
	plan, err := steer.Compile(steer.Inputs{
		World:       world.World(),
		Datacenters: []steer.Datacenter{{Name: "us", Region: "us"}, {Name: "eu", Region: "eu"}},
		Sites: []steer.Site{
			{Name: "us", Datacenter: "us", V4: netip.MustParseAddr("203.0.113.1"), Weight: 100},
			{Name: "eu", Datacenter: "eu", V4: netip.MustParseAddr("203.0.113.2"), Weight: 100},
		},
		Services: []steer.Service{{
			Name: "shop", TTLMin: 30, TTLMax: 30, AllDown: steer.LastGood,
			Policy: steer.Policy{Kind: steer.KindRoundRobin, Children: []steer.Policy{us, eu}},
		}, {
			Name: "placed", TTLMin: 30, TTLMax: 30, AllDown: steer.LastGood,
			Policy: steer.Policy{
				Kind:    steer.KindGeo,
				Rules:   []steer.Rule{{Kind: steer.MatchLabel, Value: "office", Child: eu}},
				Default: &us,
			},
		}},
	}, nil)
	if err != nil {
		tb.Fatal(err)
	}
	return &wire.Snapshot{Zones: zones, Plan: plan}
}

func newServer(tb testing.TB, o Options) *Server {
	tb.Helper()
	s, err := New(o)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

var loopback = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}

// start runs a server until the test ends and returns its first address. The function it returns stops the server
// and waits for it.
func start(tb testing.TB, s *Server) (addr string, stop func()) {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	select {
	case <-s.Ready():
	case err := <-done:
		cancel()
		tb.Fatal(err)
	}
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			tb.Error(err)
		}
	}
	tb.Cleanup(stop)
	return s.Addrs()[0].String(), stop
}

// ask sends one query and returns the answer.
func ask(tb testing.TB, network, addr, question string) *dns.Msg {
	tb.Helper()
	f := strings.Fields(question)
	m := new(dns.Msg).SetQuestion(f[0], dns.StringToType[f[1]])
	c := dns.Client{Net: network, Timeout: 5 * time.Second}
	answer, _, err := c.Exchange(m, addr)
	if err != nil {
		tb.Errorf("%s %s @%s: %v", network, question, addr, err)
		return new(dns.Msg)
	}
	return answer
}

// addresses returns the A records of an answer.
func addresses(m *dns.Msg) (list []string) {
	for _, rr := range m.Answer {
		if a, ok := rr.(*dns.A); ok {
			list = append(list, a.A.String())
		}
	}
	return list
}

func TestServe(t *testing.T) {
	s := newServer(t, Options{Listen: []netip.AddrPort{
		netip.MustParseAddrPort("127.0.0.1:0"), netip.MustParseAddrPort("127.0.0.2:0"),
	}, Workers: 2})
	start(t, s)
	s.Store(newSnapshot(t, "192.0.2.1"))
	for _, addr := range s.Addrs() {
		for _, network := range []string{"udp", "tcp"} {
			if got := addresses(ask(t, network, addr.String(), "static.shop.example. A")); len(got) != 1 || got[0] != "192.0.2.1" {
				t.Errorf("%s %v: got %v", network, addr, got)
			}
			if m := ask(t, network, addr.String(), "gone.shop.example. A"); m.Rcode != dns.RcodeNameError {
				t.Errorf("%s %v: got %v", network, addr, m)
			}
		}
		first := map[string]int{}
		for range 32 {
			first[strings.Join(addresses(ask(t, "udp", addr.String(), "www.shop.example. A")), " ")]++
		}
		if len(first) != 2 {
			t.Errorf("%v: addresses do not rotate: %v", addr, first)
		}
		if m := ask(t, "udp", addr.String(), "big.shop.example. A"); !m.Truncated {
			t.Errorf("udp %v: got %v", addr, m)
		}
		if m := ask(t, "tcp", addr.String(), "big.shop.example. A"); m.Truncated || len(m.Answer) != 100 {
			t.Errorf("tcp %v: got %v", addr, m)
		}
	}
	st := s.Stats()
	if st.UDP.Answered() != 70 || st.UDP.Types["A"] != 70 || st.UDP.Rcodes["NOERROR"] != 68 ||
		st.UDP.Rcodes["NXDOMAIN"] != 2 || st.UDP.Truncated != 2 {
		t.Errorf("udp: %+v", st.UDP)
	}
	if st.TCP.Answered() != 6 || st.TCP.Rcodes["NXDOMAIN"] != 2 || st.TCP.Truncated != 0 || st.Conns.Accepted != 6 {
		t.Errorf("tcp: %+v, %+v", st.TCP, st.Conns)
	}
	if got := st.Services["shop"]; !reflect.DeepEqual(got, ServiceStats{Policy: 64, Sites: map[string]uint64{"us": 64, "eu": 64}}) {
		t.Errorf("service: %+v", got)
	}
}

// Before the first snapshot resolvers are told to go elsewhere; a snapshot takes effect with the next query.
func TestStore(t *testing.T) {
	s := newServer(t, Options{Listen: loopback})
	addr, _ := start(t, s)
	if m := ask(t, "udp", addr, "static.shop.example. A"); m.Rcode != dns.RcodeServerFailure {
		t.Errorf("before the first Store: %v", m)
	}
	if s.Snapshot() != nil {
		t.Error("a snapshot that nobody stored")
	}
	for _, want := range []string{"192.0.2.1", "192.0.2.2"} {
		s.Store(newSnapshot(t, want))
		if got := addresses(ask(t, "udp", addr, "static.shop.example. A")); len(got) != 1 || got[0] != want {
			t.Errorf("got %v, want %v", got, want)
		}
	}
}

// While snapshots are swapped every answer is that of one of them, and none is lost.
func TestStoreUnderLoad(t *testing.T) {
	s := newServer(t, Options{Listen: loopback, Workers: 4})
	states := []*wire.Snapshot{newSnapshot(t, "192.0.2.1"), newSnapshot(t, "192.0.2.2")}
	s.Store(states[0])
	addr, _ := start(t, s)
	var clients sync.WaitGroup
	for i := range 8 {
		clients.Go(func() {
			for range 50 {
				got := addresses(ask(t, []string{"udp", "tcp"}[i%2], addr, "static.shop.example. A"))
				if len(got) != 1 || got[0] != "192.0.2.1" && got[0] != "192.0.2.2" {
					t.Errorf("got %v", got)
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { clients.Wait(); close(done) }()
	for i := 1; ; i++ {
		select {
		case <-done:
			if st := s.Stats(); st.UDP.Answered() != 200 || st.TCP.Answered() != 200 {
				t.Errorf("got %+v", st)
			}
			return
		default:
			s.Store(states[i%2])
			runtime.Gosched()
		}
	}
}

// A query that makes the answering code panic gets SERVFAIL, and the next one its answer.
func TestPanic(t *testing.T) {
	var log bytes.Buffer
	s := newServer(t, Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	s.Store(newSnapshot(t, "192.0.2.1"))
	w := s.newWorker(newCounters(false), wire.UDP)
	respond := w.respond
	req, err := new(dns.Msg).SetQuestion("static.shop.example.", dns.TypeA).Pack()
	if err != nil {
		t.Fatal(err)
	}
	out := make([]byte, maxUDPAnswer)
	for n := 1; n <= 5; n++ {
		w.respond = func(
			*wire.Snapshot, *wire.Cookies, []byte, netip.AddrPort, wire.Transport, uint32, []byte,
		) ([]byte, wire.Meta) {
			panic("no such luck")
		}
		var m dns.Msg
		if err := m.Unpack(w.answer(s.Snapshot(), nil, req, loopback[0], out)); err != nil || m.Rcode != dns.RcodeServerFailure ||
			len(m.Question) != 1 || s.Stats().Panics != uint64(n) {
			t.Fatalf("panic %d: %v, %v", n, err, &m)
		}
		w.respond = respond
		if err := m.Unpack(w.answer(s.Snapshot(), nil, req, loopback[0], out)); err != nil || len(addresses(&m)) != 1 {
			t.Fatalf("after panic %d: %v, %v", n, err, &m)
		}
	}
	if got := w.counters.rcodes[dns.RcodeServerFailure].Load(); got != 5 {
		t.Errorf("%d SERVFAIL counted", got)
	}
	if n := strings.Count(log.String(), "no such luck"); n != 3 { // the 1st, 2nd and 4th
		t.Errorf("%d log lines:\n%s", n, log.String())
	}
}

func TestRunTwice(t *testing.T) {
	s := newServer(t, Options{})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Run(ctx); err != nil {
		t.Error(err)
	}
	if err := s.Run(ctx); err == nil {
		t.Error("second Run: no error")
	}
}

func TestOptions(t *testing.T) {
	_, err := New(Options{
		Listen: []netip.AddrPort{{}}, Workers: -1, MaxConns: 2_000_000, MaxConnsPerClient: 2_000_001,
		MaxPipeline: 257, IdleTimeout: -1, WriteTimeout: -1, DrainTimeout: -1, Answers: wire.Options{UDPSize: 1},
		LatencySample: -1, RateLimit: rrl.Options{Slip: -1}, ProxyFrom: []netip.Prefix{{}},
	})
	const want = `listen: invalid address: want IP:PORT
proxy from: invalid Prefix: want a network like 192.0.2.0/24 or 2001:db8::/32
workers: -1: want 1..1024
max conns: 2000000: want 1..1000000
max conns per client: 2000001: want 1..2000000
max pipeline: 257: want 1..256
latency sample: -1: want 0..1000000
idle timeout: -1ns: want more than 0s
write timeout: -1ns: want more than 0s
drain timeout: -1ns: want more than 0s
udp size: 1: want 512..4096
rrl: slip: -1: want 1..1000`
	if err == nil || err.Error() != want {
		t.Errorf("got %v\nwant %v", err, want)
	}
	if _, err := New(Options{MaxConns: 3}); err != nil {
		t.Error(err)
	}
}
