package zone

import (
	"fmt"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// mustLoad loads a zone from text.
func mustLoad(t testing.TB, origin, text string, steer map[string]string) *Zone {
	t.Helper()
	z, err := new(Loader).load(Source{Origin: origin, File: "zone", Steer: steer}, strings.NewReader(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

// TestClosestEncloser is the table of RFC 4592 section 3.3.1.
func TestClosestEncloser(t *testing.T) {
	z := mustLoad(t, "example.", `
example.                 3600 SOA ns.example.com. host.example.com. 1 7200 900 1209600 3600
example.                 3600 NS  ns.example.com.
*.example.               3600 TXT "this is a wildcard"
sub.*.example.           3600 TXT "this is not a wildcard"
host1.example.           3600 A   192.0.2.1
_ssh._tcp.host1.example. 3600 SRV 0 0 22 host1.example.
_ssh._tcp.host2.example. 3600 SRV 0 0 22 host1.example.
`, nil)
	for _, tt := range []struct{ qname, encloser, source string }{
		{"host3.example.", "example.", "*.example."},
		{"_telnet._tcp.host1.example.", "_tcp.host1.example.", ""},
		{"_dns._udp.host2.example.", "host2.example.", ""},
		{"_telnet._tcp.host3.example.", "example.", "*.example."},
		{"_chat._udp.host3.example.", "example.", "*.example."},
		{"foobar.*.example.", "*.example.", ""},
	} {
		n, exact := z.find(tt.qname)
		source := ""
		if wild := n.opt().wild; wild != nil {
			source = wild.name
		}
		if exact || n.name != tt.encloser || source != tt.source {
			t.Errorf("find(%q) = %q, exact %v, source %q; want %q, %q", tt.qname, n.name, exact, source, tt.encloser, tt.source)
		}
	}
}

// TestSubstitution is the table of RFC 6672 section 2.2.
func TestSubstitution(t *testing.T) {
	for _, tt := range []struct{ qname, owner, target, want string }{
		{"com.", "example.com.", "example.net.", ""},
		{"example.com.", "example.com.", "example.net.", ""},
		{"a.example.com.", "example.com.", "example.net.", "a.example.net."},
		{"a.b.example.com.", "example.com.", "example.net.", "a.b.example.net."},
		{"ab.example.com.", "b.example.com.", "example.net.", ""},
		{"foo.example.com.", "example.com.", "example.net.", "foo.example.net."},
		{"a.x.example.com.", "x.example.com.", "example.net.", "a.example.net."},
		{"a.example.com.", "example.com.", "y.example.net.", "a.y.example.net."},
		{"cyc.example.com.", "example.com.", "example.com.", "cyc.example.com."},
		{"cyc.example.com.", "example.com.", "c.example.com.", "cyc.c.example.com."},
		{"shortloop.x.x.", "x.", ".", "shortloop.x."},
		{"shortloop.x.", "x.", ".", "shortloop."},
	} {
		z := mustLoad(t, ".", fmt.Sprintf(". 60 SOA . . 1 1 1 1 1\n. 60 NS ns.test.\nns.test. 60 A 192.0.2.1\n%s 60 DNAME %s\n",
			tt.owner, tt.target), nil)
		got := ""
		if r := z.Lookup(tt.qname, dns.TypeA); len(r.Answer) > 1 {
			got = r.Answer[1].(*dns.CNAME).Target
		}
		if got != tt.want {
			t.Errorf("%s below %s DNAME %s: %q, want %q", tt.qname, tt.owner, tt.target, got, tt.want)
		}
	}
}

// TestRootZone has names whose parent is the origin itself.
func TestRootZone(t *testing.T) {
	z := mustLoad(t, ".", ". 60 SOA . . 1 1 1 1 1\n. 60 NS a.test.\na.test. 60 A 192.0.2.1\n*. 60 TXT x\n", nil)
	for qname, want := range map[string]Kind{".": NoData, "test.": NoData, "a.test.": NoData, "x.": Success, "b.test.": NXDomain} {
		if got := z.Lookup(qname, dns.TypeTXT).Kind; got != want {
			t.Errorf("%s: %v, want %v", qname, got, want)
		}
	}
}

// TestDNAMEAtRoot has a prefix without a dot to cut at.
func TestDNAMEAtRoot(t *testing.T) {
	z := mustLoad(t, ".", ". 60 SOA . . 1 1 1 1 1\n. 60 NS .\n. 60 DNAME alt.\n", nil)
	r := z.Lookup("www.shop.", dns.TypeA)
	if len(r.Answer) < 2 || r.Answer[1].(*dns.CNAME).Target != "www.shop.alt." {
		t.Errorf("got\n%s", show(r))
	}
}

const benchZone = `$TTL 300
@ SOA ns1 host 1 7200 900 1209600 60
  NS ns1
ns1 A 192.0.2.53
www A 192.0.2.80
*.wild A 192.0.2.81
sub NS ns.sub
ns.sub A 192.0.2.54
ns.sub A 192.0.2.55
ns.sub AAAA 2001:db8::54
out CNAME www.example.net.
a.b.c.d.e.f A 192.0.2.82
alias CNAME www
three A 192.0.2.1
      A 192.0.2.2
      A 192.0.2.3
`

// TestMatch holds the packed form to no allocation at all, and to what a look-up finds.
func TestMatch(t *testing.T) {
	set, err := NewSet([]*Zone{mustLoad(t, "shop.example.", benchZone, map[string]string{"api": "api"})})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		qname          string
		qtype          uint16
		kind           Kind
		chain, records uint16
	}{
		{"www.shop.example.", dns.TypeA, Success, 0, 1},
		{"WWW.Shop.Example.", dns.TypeA, Success, 0, 1},
		{"three.shop.example.", dns.TypeA, Success, 0, 3},
		{"x.wild.shop.example.", dns.TypeA, Success, 0, 1},
		{"www.shop.example.", dns.TypeTXT, NoData, 0, 1},
		{"nowhere.shop.example.", dns.TypeA, NXDomain, 0, 1},
		{"x.y.z.nowhere.shop.example.", dns.TypeA, NXDomain, 0, 1},
		{"e.f.shop.example.", dns.TypeA, NoData, 0, 1},
		{"www.sub.shop.example.", dns.TypeA, Delegation, 0, 1},
		{"api.shop.example.", dns.TypeA, Steered, 0, 1},
		{"out.shop.example.", dns.TypeA, ChainEnd, 1, 0},
		{"alias.shop.example.", dns.TypeA, Success, 1, 1},
		{"alias.shop.example.", dns.TypeAAAA, NoData, 1, 1},
	} {
		var msg [wordOctets + maxNameOctets]byte
		_, err := dns.PackDomainName(tt.qname, msg[:], wordOctets, nil, false)
		if err != nil {
			t.Fatal(err)
		}
		var q WireName
		var m Match
		ok := false
		n := testing.AllocsPerRun(100, func() {
			q.Read(msg[:], wordOctets)
			ok = set.Match(&q, tt.qtype, &m)
		})
		if !ok || n != 0 || m.Kind != tt.kind || m.Chain.Count != tt.chain || tt.records > 0 && m.Records.Count != tt.records {
			t.Errorf("%s %s: %v, %v with %v allocations, %d and %d records", tt.qname, dns.Type(tt.qtype), ok, m.Kind, n,
				m.Chain.Count, m.Records.Count)
		}
	}
}

// TestAnswersCannotGrow appends to what look-ups returned: the zone and other answers must not notice.
func TestAnswersCannotGrow(t *testing.T) {
	z := mustLoad(t, "shop.example.", benchZone, nil)
	qnames := []string{"three.shop.example.", "www.shop.example.", "alias.shop.example.", "nowhere.shop.example.", "x.sub.shop.example."}
	for _, qname := range qnames {
		before := z.Lookup(qname, dns.TypeA)
		a := append(z.Lookup(qname, dns.TypeA).Answer, &dns.TXT{Txt: []string{"a"}})
		b := append(z.Lookup(qname, dns.TypeA).Answer, &dns.TXT{Txt: []string{"b"}})
		if a[len(a)-1] == b[len(b)-1] {
			t.Errorf("%s: two answers share their end", qname)
		}
		for _, rrs := range [][]dns.RR{before.Authority, before.Additional} {
			if len(rrs) != cap(rrs) {
				t.Errorf("%s: a slice of the zone with room for %d more", qname, cap(rrs)-len(rrs))
			}
		}
		if after := z.Lookup(qname, dns.TypeA); show(after) != show(before) {
			t.Errorf("%s: before\n%safter\n%s", qname, show(before), show(after))
		}
	}
}

func BenchmarkLookup(b *testing.B) {
	z := mustLoad(b, "shop.example.", benchZone, map[string]string{"api": "api"})
	for _, bb := range []struct {
		name, qname string
		qtype       uint16
	}{
		{"exact", "www.shop.example.", dns.TypeA},
		{"nodata", "www.shop.example.", dns.TypeTXT},
		{"nxdomain", "nowhere.shop.example.", dns.TypeA},
		{"nxdomain-deep", strings.Repeat("x.", 110) + "shop.example.", dns.TypeA},
		{"wildcard", "x.wild.shop.example.", dns.TypeA},
		{"referral", "www.sub.shop.example.", dns.TypeA},
		{"steered", "api.shop.example.", dns.TypeA},
		{"cname", "alias.shop.example.", dns.TypeA},
	} {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				z.Lookup(bb.qname, bb.qtype)
			}
		})
	}
}
