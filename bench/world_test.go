//go:build linux

package main

import (
	"bytes"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// The DNS library reads the queries, and they are what the sets promise.
func TestQueries(t *testing.T) {
	w := newWorld(t.TempDir(), 40, 1)
	for set, queries := range w.sets {
		subnets, inside, types := 0, 0, map[string]int{}
		for _, q := range queries {
			var m dns.Msg
			if err := m.Unpack(q); err != nil {
				t.Fatalf("%s: %x: %v", set, q, err)
			}
			if len(m.Question) != 1 || m.RecursionDesired || m.Question[0].Qclass != dns.ClassINET {
				t.Fatalf("%s: got %v", set, &m)
			}
			name, _, _ := strings.Cut(m.Question[0].Name, ".")
			types[name[:1]+" "+dns.TypeToString[m.Question[0].Qtype]]++
			if opt := m.IsEdns0(); opt != nil {
				subnet := opt.Option[0].(*dns.EDNS0_SUBNET)
				client, _ := netip.AddrFromSlice(subnet.Address.To4())
				if subnet.SourceNetmask != 24 || client.As4()[3] != 0 {
					t.Fatalf("%s: got %v", set, subnet)
				}
				subnets++
				if _, ok := w.region(client); ok {
					inside++
				}
			}
		}
		n := len(queries)
		switch set {
		case "ecs":
			if subnets != n || inside < n/2 || inside == n {
				t.Errorf("%s: %d of %d with a subnet, %d of them known", set, subnets, n, inside)
			}
		case "mix":
			if len(types) != 4 || types["w A"] < n/2 || types["w AAAA"] == 0 || types["n A"] == 0 || types["h A"] == 0 {
				t.Errorf("%s: got %v", set, types)
			}
		default:
			if n != 1 || subnets != 0 {
				t.Errorf("%s: %d queries, %d subnets", set, n, subnets)
			}
		}
	}
}

func TestRegion(t *testing.T) {
	w := &world{networks: []network{
		{netip.MustParsePrefix("192.0.0.0/16"), 1}, {netip.MustParsePrefix("192.0.2.0/24"), 2},
		{netip.MustParsePrefix("192.0.0.0/20"), 3},
	}}
	for client, want := range map[string]int{"192.0.200.1": 1, "192.0.2.1": 2, "192.0.3.1": 3, "198.51.100.1": -1} {
		got, ok := w.region(netip.MustParseAddr(client))
		if ok != (want >= 0) || ok && got != want {
			t.Errorf("%s: got %d, %v", client, got, ok)
		}
	}
}

// The same seed gives the same files and queries.
func TestWorldRepeats(t *testing.T) {
	a, b := newWorld(t.TempDir(), 500, 7), newWorld(t.TempDir(), 500, 7)
	if err := a.write(); err != nil {
		t.Fatal(err)
	}
	if err := b.write(); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"networks.map", "gdnsd/geoip/networks", "knot-geo/networks", "example.com-geo.zone"} {
		one, err := os.ReadFile(filepath.Join(a.dir, file))
		if err != nil {
			t.Fatal(err)
		}
		two, err := os.ReadFile(filepath.Join(b.dir, file))
		if err != nil || !bytes.Equal(one, two) || len(one) == 0 {
			t.Errorf("%s: differs: %v", file, err)
		}
	}
	for set := range a.sets {
		if !slices.EqualFunc(a.sets[set], b.sets[set], bytes.Equal) {
			t.Errorf("%s differs", set)
		}
	}
}

func TestAddresses(t *testing.T) {
	m := new(dns.Msg).SetQuestion("www.example.com.", dns.TypeA)
	for _, text := range []string{"www.example.com. CNAME h.example.com.", "h.example.com. A 192.0.2.10", "h.example.com. A 192.0.2.11"} {
		rr, err := dns.NewRR(text)
		if err != nil {
			t.Fatal(err)
		}
		m.Answer = append(m.Answer, rr)
	}
	for _, compress := range []bool{false, true} {
		m.Compress = compress
		b, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		want := []netip.Addr{netip.MustParseAddr("192.0.2.10"), netip.MustParseAddr("192.0.2.11")}
		if got, err := addresses(b); err != nil || !slices.Equal(got, want) {
			t.Errorf("got %v, %v", got, err)
		}
		for cut := 12; cut < len(b); cut++ {
			if got, err := addresses(b[:cut]); err == nil {
				t.Errorf("cut at %d: got %v", cut, got)
			}
		}
	}
}
