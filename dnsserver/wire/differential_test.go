package wire

import (
	"bytes"
	"encoding/binary"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/meridian-gtm/meridian/dnsserver/zone"
)

var (
	differentialQueries = flag.Int("differential.queries", 100_000, "queries that both paths answer")
	differentialSeed    = flag.Uint64("differential.seed", 0, "seed of the queries, 0 = any")
)

// Both paths give the same answers: generated zones with everything that zones can hold, generated queries with
// everything that queries can have, broken ones among them.
func TestBothPathsAgree(t *testing.T) {
	seed := *differentialSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	dir, plan := t.TempDir(), newSnapshot(t).Plan
	o := Options{NSID: "fra-1", Version: "meridian", UDPSize: 4096}
	fast, slow := newResponder(t, o), newResponder(t, o)
	slow.interpret = true

	const perSnapshot = 500
	tally := map[string]int{}
	var bufs [2][]byte
	for i := range bufs {
		bufs[i] = make([]byte, MaxSize)
	}
	for done := 0; done < *differentialQueries; done += perSnapshot {
		worlds := randomZones(t, rng, dir)
		snap := &Snapshot{Plan: plan}
		var loaded []*zone.Zone
		for _, w := range worlds {
			loaded = append(loaded, w.zone)
		}
		var err error
		if snap.Zones, err = zone.NewSet(loaded); err != nil {
			t.Fatal(err)
		}
		for range perSnapshot {
			client := clients[rng.IntN(len(clients))]
			req := randomQuery(rng, worlds, client.Addr())
			tr, turn, size := UDP, rng.Uint32(), MaxSize
			if rng.IntN(6) == 0 {
				tr = TCP
			}
			if rng.IntN(4) == 0 {
				size = 512 + rng.IntN(300)
			}
			cookies := randomCookies(rng)
			got, gotMeta := fast.Respond(snap, cookies, req, client, tr, turn, bufs[0][:0:size])
			want, wantMeta := slow.Respond(snap, cookies, req, client, tr, turn, bufs[1][:0:size])
			if gotMeta.Slow {
				tally["slow"]++
			} else if got != nil {
				tally["compiled "+sortOf(want)]++
			}
			tally[fmt.Sprint("cookie ", wantMeta.Cookie)]++
			if wantMeta.Rcode == dns.RcodeBadCookie {
				tally["badcookie"]++
			}
			wantMeta.Slow = gotMeta.Slow
			if gotMeta != wantMeta || !sameMeaning(got, want) {
				t.Fatalf("seed %d: query %x over %v, %d octets of room\n%v\ncompiled %+v\n%v\nslow %+v\n%v\nzones\n%v",
					seed, req, tr, size, show(req), gotMeta, show(got), wantMeta, show(want), worlds)
			}
		}
	}
	t.Log(tally)
	for _, kind := range []string{
		"compiled answer", "compiled chain", "compiled steered", "compiled nodata", "compiled nxdomain", "compiled referral",
		"compiled refused", "cookie 1", "cookie 2", "cookie 3", "badcookie",
	} {
		if tally[kind] < *differentialQueries/200 {
			t.Errorf("%d of kind %q of %d: the queries prove little", tally[kind], kind, *differentialQueries)
		}
	}
}

var clients = []netip.AddrPort{
	resolver, netip.MustParseAddrPort("198.51.100.7:53"), netip.MustParseAddrPort("[2001:db8:7::9]:53"),
	netip.MustParseAddrPort("[::ffff:198.51.100.9]:53"),
}

// sortOf names the kind of an answer.
func sortOf(answer []byte) string {
	m := new(dns.Msg)
	switch err := m.Unpack(answer); {
	case err != nil:
		return err.Error()
	case m.Truncated:
		return "truncated"
	case m.Rcode == dns.RcodeNameError:
		return "nxdomain"
	case m.Rcode == dns.RcodeRefused:
		return "refused"
	case m.Rcode != dns.RcodeSuccess:
		return "error"
	case len(m.Answer) == 0 && !m.Authoritative:
		return "referral"
	case len(m.Answer) == 0:
		return "nodata"
	case m.Answer[0].Header().Ttl == 30:
		return "steered"
	case m.Answer[0].Header().Rrtype == dns.TypeCNAME:
		return "chain"
	}
	return "answer"
}

// sameMeaning compares answers octet by octet but for their compression, and with it the case of names that one path
// has compressed to the question's.
func sameMeaning(a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
	if a == nil || b == nil || !bytes.Equal(questionOf(a), questionOf(b)) {
		return false
	}
	return bytes.Equal(flatten(a), flatten(b))
}

// flatten writes a message without compression and in lower case; nil when it is none.
func flatten(b []byte) []byte {
	m := new(dns.Msg)
	if m.Unpack(b) != nil {
		return nil
	}
	m.Compress = false
	flat, err := m.Pack()
	if err != nil {
		return nil
	}
	for i, c := range flat {
		if 'A' <= c && c <= 'Z' {
			flat[i] = c + 'a' - 'A'
		}
	}
	return flat
}

func show(b []byte) string {
	m := new(dns.Msg)
	if err := m.Unpack(b); err != nil {
		return fmt.Sprintf("%v: %x", err, b)
	}
	return fmt.Sprintf("%d octets\n%v", len(b), m)
}

// world is a generated zone.
type world struct {
	origin string
	text   string
	steer  map[string]string
	owners []string
	zone   *zone.Zone
}

func (w world) String() string { return fmt.Sprintf("%s\n%s%v\n", w.origin, w.text, w.steer) }

// randomZones makes a few zones that load, one below another among them.
func randomZones(tb testing.TB, rng *rand.Rand, dir string) (list []world) {
	origins := []string{"z.example.", "a.z.example.", "example.", ".", "other.test.", "b.c.z.example."}
	rng.Shuffle(len(origins), func(i, j int) { origins[i], origins[j] = origins[j], origins[i] })
	for _, origin := range origins[:1+rng.IntN(3)] {
		for {
			w := randomZone(rng, origin)
			file := filepath.Join(dir, "zone")
			if err := os.WriteFile(file, []byte(w.text), 0o600); err != nil {
				tb.Fatal(err)
			}
			var err error
			if w.zone, err = zone.Load(zone.Source{Origin: origin, File: file, Steer: w.steer}); err == nil {
				list = append(list, w)
				break
			}
		}
	}
	return list
}

var testLabels = []string{"a", "b", "c", "*", "B", `x\.y`, `\000`, strings.Repeat("l", 63), "ns"}

func randomLabel(rng *rand.Rand) string {
	if rng.IntN(8) > 0 {
		return testLabels[rng.IntN(4)]
	}
	return testLabels[rng.IntN(len(testLabels))]
}

func randomName(rng *rand.Rand, below string, most int) string {
	name := strings.TrimPrefix(below, ".")
	for range rng.IntN(most + 1) {
		name = randomLabel(rng) + "." + name
	}
	if name == "" {
		return "."
	}
	return name
}

// randomZone writes a zone that may or may not load.
func randomZone(rng *rand.Rand, origin string) world {
	w := world{origin: origin, steer: map[string]string{}}
	var b strings.Builder
	add := func(owner, format string, args ...any) {
		fmt.Fprintf(&b, "%s %d %s\n", owner, 60+rng.IntN(3)*100, fmt.Sprintf(format, args...))
		w.owners = append(w.owners, owner)
	}
	host := func() string {
		if rng.IntN(4) == 0 {
			return "host.elsewhere.test."
		}
		return randomName(rng, origin, 3)
	}
	dot := strings.TrimPrefix(origin, ".")
	add(origin, "SOA %s host.%s 1 2 3 4 %d", []string{"ns.a." + dot, "ns.elsewhere.test.", "Ns." + dot}[rng.IntN(3)], dot, 30+rng.IntN(200))
	add(origin, "NS host.elsewhere.test.")
	kinds := rng.IntN(3)
	for range 2 + rng.IntN(12) {
		owner := randomName(rng, origin, 3)
		switch rng.IntN(13) {
		case 0, 1:
			add(owner, "CNAME %s", host())
		case 2:
			add(owner, "NS %s", []string{"host.elsewhere.test.", "ns." + strings.TrimPrefix(owner, ".")}[rng.IntN(2)])
			for i := range rng.IntN(3) {
				add(owner, "NS ns%d.%s", i, strings.TrimPrefix(owner, "."))
				add(fmt.Sprintf("ns%d.%s", i, strings.TrimPrefix(owner, ".")), "A 192.0.2.5%d", i)
			}
			add("ns."+strings.TrimPrefix(owner, "."), "AAAA 2001:db8::53")
			if rng.IntN(2) == 0 {
				add(owner, "DS 1 13 2 00")
			}
		case 3:
			if kinds == 0 {
				add(owner, "DNAME %s", host())
			}
		case 4, 5:
			w.steer[owner] = []string{"shop", "rr", "v4", "private", "many"}[rng.IntN(5)]
			w.owners = append(w.owners, owner)
		case 6:
			for i := range 1 + rng.IntN(3) {
				add(owner, "MX %d %s", i, host())
			}
		case 7:
			add(owner, "SRV 1 2 3 %s", host())
			for range 1 + rng.IntN(2) {
				add(owner, "%s %d %s", []string{"HTTPS", "SVCB"}[rng.IntN(2)], rng.IntN(3), []string{".", host()}[rng.IntN(2)])
			}
		case 8:
			for i := range rng.IntN(40) {
				add(owner, "AAAA 2001:db8::%x", i)
			}
		case 9:
			add(owner, "TXT %s", strings.Repeat(`"`+strings.Repeat("t", 200)+`" `, 1+rng.IntN(6)))
			add(owner, "PTR %s", host())
		default:
			for i := range 1 + rng.IntN(4) {
				add(owner, "A 192.0.2.%d", i)
			}
		}
	}
	w.text = b.String()
	return w
}

// randomQuery makes a query; one in ten is not what it was made to be.
func randomQuery(rng *rand.Rand, worlds []world, client netip.Addr) []byte {
	w := worlds[rng.IntN(len(worlds))]
	name := randomName(rng, w.origin, 4)
	switch rng.IntN(20) {
	case 0:
		name = randomName(rng, "nowhere.invalid.", 2)
	case 1, 2, 3, 4, 5, 6, 7, 8, 9, 10:
		name = w.owners[rng.IntN(len(w.owners))]
		if rng.IntN(4) == 0 {
			name = randomName(rng, name, 3)
		}
		if rest, ok := strings.CutPrefix(name, "*."); ok && rng.IntN(3) > 0 {
			name = randomLabel(rng) + "." + rest
		}
	}
	if _, ok := dns.IsDomainName(name); !ok || len(name) > 250 {
		name = w.origin
	}
	m := new(dns.Msg)
	m.SetQuestion(mixCase(rng, name), queryTypes[rng.IntN(len(queryTypes))])
	m.RecursionDesired = rng.IntN(2) == 0
	if rng.IntN(50) == 0 {
		m.Question[0].Qclass = []uint16{dns.ClassCHAOS, dns.ClassANY, dns.ClassNONE, 77}[rng.IntN(4)]
	}
	if rng.IntN(5) > 1 {
		m.SetEdns0([]uint16{0, 512, 1232, 4096, 65535, uint16(512 + rng.IntN(600))}[rng.IntN(6)], rng.IntN(2) == 0)
		opt := m.IsEdns0()
		if rng.IntN(40) == 0 {
			opt.SetVersion(1)
		}
		for range rng.IntN(3) {
			opt.Option = append(opt.Option, randomOption(rng, client))
		}
		if rng.IntN(20) == 0 {
			withoutQuestion(m)
		}
	}
	req, err := m.Pack()
	if err != nil {
		panic(err)
	}
	if rng.IntN(10) == 0 {
		req = mangle(rng, req)
	}
	return req
}

var queryTypes = []uint16{
	dns.TypeA, dns.TypeA, dns.TypeA, dns.TypeA, dns.TypeAAAA, dns.TypeAAAA, dns.TypeAAAA, dns.TypeMX, dns.TypeNS,
	dns.TypeSOA, dns.TypeTXT, dns.TypeSRV, dns.TypeHTTPS, dns.TypeSVCB, dns.TypeCNAME, dns.TypeDNAME, dns.TypeDS, dns.TypePTR,
	dns.TypeANY, dns.TypeAXFR, dns.TypeMAILB, dns.TypeOPT, 0, 65280,
}

func randomOption(rng *rand.Rand, client netip.Addr) dns.EDNS0 {
	switch rng.IntN(7) {
	case 0:
		return &dns.EDNS0_NSID{Code: dns.EDNS0NSID}
	case 1:
		return &dns.EDNS0_LOCAL{Code: dns.EDNS0COOKIE, Data: randomCookie(rng, client)}
	case 2:
		return &dns.EDNS0_LOCAL{Code: uint16(rng.IntN(70000)), Data: make([]byte, rng.IntN(20))}
	case 3: // as likely as not malformed
		return &dns.EDNS0_LOCAL{Code: dns.EDNS0SUBNET, Data: []byte{0, byte(rng.IntN(4)), byte(rng.IntN(40)), 0, 198, 51, 100}[:rng.IntN(8)]}
	default:
		prefix := []string{
			"198.51.100.0/24", "198.51.100.7/32", "198.51.0.0/16", "192.0.2.0/24", "0.0.0.0/0", "2001:db8:7::/48",
			"2001:db8:7:1::/64", "2001:db8::/32", "::ffff:198.51.100.0/120",
		}[rng.IntN(9)]
		p := netip.MustParsePrefix(prefix)
		family, octets := uint16(familyV4), p.Addr().AsSlice()
		if p.Addr().Is6() {
			family = familyV6
		}
		data := binary.BigEndian.AppendUint16(nil, family)
		data = append(data, byte(p.Bits()), 0)
		return &dns.EDNS0_LOCAL{Code: dns.EDNS0SUBNET, Data: append(data, octets[:(p.Bits()+7)/8]...)}
	}
}

// randomCookies are those of a server, or none.
func randomCookies(rng *rand.Rand) *Cookies {
	c := *testCookies
	c.Require = rng.IntN(3) == 0
	if rng.IntN(8) == 0 {
		return nil
	}
	return &c
}

// randomCookie is what a COOKIE option holds: alone, of a server and of any age, or anything.
func randomCookie(rng *rand.Rand, client netip.Addr) []byte {
	switch rng.IntN(5) {
	case 0:
		return make([]byte, rng.IntN(44))
	case 1, 2:
		return []byte("clientck")
	default:
		return cookieFor(testCookies, client.Unmap(), int32(rng.IntN(6000)-600))
	}
}

// mixCase gives letters any case, but not those of escapes.
func mixCase(rng *rand.Rand, name string) string {
	b := []byte(name)
	for i, c := range b {
		if 'a' <= c && c <= 'z' && rng.IntN(3) == 0 {
			b[i] = c - 'a' + 'A'
		}
	}
	return string(b)
}

// mangle breaks a query: octets changed, cut off or added, a record more or less than the header says.
func mangle(rng *rand.Rand, req []byte) []byte {
	req = bytes.Clone(req)
	switch rng.IntN(5) {
	case 0:
		return req[:rng.IntN(len(req)+1)]
	case 1:
		return append(req, req[rng.IntN(len(req)):]...)
	case 2:
		req[4+rng.IntN(8)] ^= 1 << rng.IntN(2)
	case 3:
		return slices.Insert(req, 12+rng.IntN(len(req)-12), byte(rng.Uint32()))
	default:
		for range 1 + rng.IntN(3) {
			req[rng.IntN(len(req))] = byte(rng.Uint32())
		}
	}
	return req
}
