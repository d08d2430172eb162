package wire

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/meridian-gtm/meridian/dnsserver/steer"
	"github.com/meridian-gtm/meridian/geo"
)

// Every answer of the compiled path costs no allocation, and nothing that many ask for is left to the slow one.
func TestAllocations(t *testing.T) {
	r, snap, out := newResponder(t, Options{NSID: "fra-1"}), newSnapshot(t), make([]byte, 1232)
	for _, tt := range []struct {
		name     string
		question string
		changes  []change
	}{
		{"static", "static.shop.example. A", nil},
		{"client cookie", "static.shop.example. A", []change{withCookie([]byte("clientck"))}},
		{"valid cookie", "static.shop.example. A", []change{withCookie(cookieFor(testCookies, resolver.Addr(), 60))}},
		{"old cookie", "static.shop.example. A", []change{withCookie(cookieFor(testCookies, resolver.Addr(), 3600))}},
		{"invalid cookie", "static.shop.example. A", []change{withCookie(make([]byte, cookieSize))}},
		{"malformed cookie", "static.shop.example. A", []change{withCookie(make([]byte, 9))}},
		{"EDNS", "static.shop.example. A", []change{withOPT(1232)}},
		{"case", "StAtIc.sHoP.ExAmPlE. A", nil},
		{"additional", "mail.shop.example. MX", nil},
		{"NODATA", "static.shop.example. TXT", nil},
		{"empty non-terminal", "ent.shop.example. A", nil},
		{"NXDOMAIN", "gone.shop.example. A", nil},
		{"NXDOMAIN, deep", "a.b.c.d.e.f.gone.shop.example. A", nil},
		{"wildcard", "x.y.wild.shop.example. TXT", nil},
		{"wildcard NODATA", "x.y.wild.shop.example. A", nil},
		{"referral", "www.sub.shop.example. A", nil},
		{"chain", "chain.shop.example. A", nil},
		{"chain to NODATA", "chain.shop.example. AAAA", nil},
		{"chain to nothing", "togone.shop.example. A", nil},
		{"chain out of the zone", "away.shop.example. A", nil},
		{"steered", "www.shop.example. A", nil},
		{"steered, IPv6", "www.shop.example. AAAA", nil},
		{"steered, ECS", "www.shop.example. A", []change{withECS("198.51.100.0/24")}},
		{"steered behind a CNAME, ECS", "toshop.shop.example. A", []change{withECS("2001:db8:7::/48")}},
		{"steered wildcard", "x.app.shop.example. A", nil},
		{"steered NODATA", "v4.shop.example. AAAA", nil},
		{"round-robin", "rr.shop.example. A", nil},
		{"truncated", "many.big.example. A", nil},
		{"truncated, steered", "many.shop.example. AAAA", nil},
		{"refused", "elsewhere.example. A", nil},
		{"ANY", "static.shop.example. ANY", nil},
	} {
		req := newQuery(t, tt.question, tt.changes...)
		var m Meta
		n := testing.AllocsPerRun(100, func() { _, m = r.Respond(snap, testCookies, req, resolver, UDP, 1, out) })
		if n != 0 || m.Slow {
			t.Errorf("%s: %v allocations, slow %v", tt.name, n, m.Slow)
		}
	}
}

// BenchmarkRespond answers what the product's benchmarks over sockets ask: www, three addresses; mix, as many NODATA,
// NXDOMAIN and wildcards beside it; geo, two addresses by the resolver's network; geo+ecs, by 65,536 client subnets
// that are spread over 100,000 networks of 8 places.
func BenchmarkRespond(b *testing.B) {
	snap := newSnapshot(b)
	geoSnap := &Snapshot{Zones: snap.Zones, Plan: benchPlan(b)}
	www := newQuery(b, "static.shop.example. A")
	cookie := withCookie(cookieFor(testCookies, resolver.Addr(), 60))
	rng := rand.New(rand.NewPCG(1, 2))
	subnets := make([][]byte, 1<<16)
	template := newQuery(b, "www.shop.example. A", withECS("198.51.100.0/24"))
	for i := range subnets {
		subnets[i] = append([]byte(nil), template...)
		binary.BigEndian.PutUint16(subnets[i][len(template)-3:], uint16(rng.Uint32()))
		subnets[i][len(template)-1] = byte(rng.Uint32())
	}
	for _, w := range []struct {
		name    string
		snap    *Snapshot
		queries [][]byte
	}{
		{"www", snap, [][]byte{www}},
		{"mix", snap, [][]byte{
			www, newQuery(b, "static.shop.example. AAAA"), newQuery(b, "gone.shop.example. A"),
			newQuery(b, "x.y.wild.shop.example. TXT"),
		}},
		{"referral", snap, [][]byte{newQuery(b, "www.sub.shop.example. A")}},
		{"chain", snap, [][]byte{newQuery(b, "chain.shop.example. A")}},
		{"edns", snap, [][]byte{newQuery(b, "static.shop.example. A", withOPT(1232))}},
		{"cookie", snap, [][]byte{newQuery(b, "static.shop.example. A", cookie)}},
		{"cookie made", snap, [][]byte{newQuery(b, "static.shop.example. A", withCookie([]byte("clientck")))}},
		{"geo", geoSnap, [][]byte{newQuery(b, "www.shop.example. A")}},
		{"geo+ecs", geoSnap, subnets},
		{"slow", snap, [][]byte{newQuery(b, "b.old.shop.example. A")}},
	} {
		b.Run(w.name, func(b *testing.B) {
			r, out := newResponder(b, Options{}), make([]byte, 1232)
			b.ReportAllocs()
			mask := len(w.queries) - 1
			var turn uint32
			for b.Loop() {
				turn++
				r.Respond(w.snap, testCookies, w.queries[int(turn)&mask], resolver, UDP, turn, out)
			}
		})
	}
}

// benchPlan steers the service shop to two of 16 sites, by which of 8 places each of 100,000 networks is in. Services
// that the zones name besides are left out.
func benchPlan(b *testing.B) *steer.Plan {
	b.Helper()
	rng := rand.New(rand.NewPCG(3, 4))
	var networks []geo.Network
	seen := map[netip.Prefix]bool{}
	for len(networks) < 100_000 {
		var octets [4]byte
		binary.BigEndian.PutUint32(octets[:], rng.Uint32())
		p, err := netip.AddrFrom4(octets).Prefix(12 + rng.IntN(13))
		if err != nil {
			b.Fatal(err)
		}
		if !seen[p] {
			seen[p] = true
			networks = append(networks, geo.Network{Prefix: p, Place: geo.Place{Label: fmt.Sprint("place-", rng.IntN(8))}})
		}
	}
	var world geo.Builder
	if err := world.Add(geo.Layer(networks...)); err != nil {
		b.Fatal(err)
	}
	in := steer.Inputs{Datacenters: []steer.Datacenter{{Name: "dc", Region: "r"}}, World: world.World()}
	byPlace := steer.Policy{Kind: steer.KindGeo}
	for i := range 8 {
		both := steer.Policy{Kind: steer.KindRoundRobin}
		for j := range 2 {
			name := fmt.Sprintf("site-%d-%d", i, j)
			in.Sites = append(in.Sites, steer.Site{
				Name: name, Datacenter: "dc", Weight: 100, V4: netip.AddrFrom4([4]byte{198, 51, 100, byte(10 + 2*i + j)}),
			})
			both.Children = append(both.Children, steer.Policy{Kind: steer.KindSite, Site: name})
		}
		byPlace.Rules = append(byPlace.Rules, steer.Rule{Kind: steer.MatchLabel, Value: fmt.Sprint("place-", i), Child: both})
		byPlace.Default = &both
	}
	in.Services = []steer.Service{{Name: "shop", Policy: byPlace, TTLMin: 30, TTLMax: 30, AllDown: steer.LastGood}}
	plan, err := steer.Compile(in, nil)
	if err != nil {
		b.Fatal(err)
	}
	return plan
}
