package wire

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/meridian-gtm/meridian/dnsserver/steer"
	"github.com/meridian-gtm/meridian/dnsserver/zone"
	"github.com/meridian-gtm/meridian/geo"
)

const shopZone = `
$ORIGIN shop.example.
$TTL 300
@        IN SOA ns1 hostmaster 1 7200 900 1209600 60
@        IN NS  ns1
@        IN NS  ns2
ns1      IN A   192.0.2.53
ns2      IN A   192.0.2.54
ns2      IN AAAA 2001:db8::54
static   IN A   192.0.2.1
static   IN A   192.0.2.2
static   IN A   192.0.2.3
mail     IN MX  10 static
alias    IN CNAME static
chain    IN CNAME alias
toshop   IN CNAME www
togone   IN CNAME gone
away     IN CNAME www.elsewhere.example.
*.wild   IN TXT "wild"
a.ent    IN A   192.0.2.9
sub      IN NS  ns.sub
ns.sub   IN A   192.0.2.77
old      IN DNAME new
b.new    IN A   192.0.2.8
hinfo    IN HINFO "PDP-11" "Unix"
yx       IN DNAME longer.than.the.name.it.stands.in.for
`

// longAlias leads through another long name to the record set huge.big.example., which fits a message alone but not
// behind these two.
var longAlias, nextAlias = longName("a"), longName("b")

func longName(letter string) string {
	label := strings.Repeat(letter, 63)
	return label + "." + label + "." + label + "." + label[:40]
}

// bigZone has answers that do not fit: 100 addresses, 65 KiB of text, a referral with much glue, and an MX whose
// additional records are too many.
func bigZone() string {
	var b strings.Builder
	b.WriteString("$ORIGIN big.example.\n$TTL 60\n@ SOA ns h 1 1 1 1 60\n@ NS ns\nns A 192.0.2.53\n")
	for i := range 100 {
		fmt.Fprintf(&b, "many A 192.0.2.%d\n", i)
	}
	for i := range 245 {
		fmt.Fprintf(&b, "huge TXT \"%03d%s\"\n", i, strings.Repeat("x", 250))
	}
	fmt.Fprintf(&b, "%s CNAME %s\n%s CNAME huge\n", longAlias, nextAlias, nextAlias)
	for i := range 12 {
		fmt.Fprintf(&b, "sub NS ns%d.sub\n", i)
		for j := range 4 {
			fmt.Fprintf(&b, "ns%d.sub AAAA 2001:db8::%x:%x\n", i, i, j)
		}
	}
	for i := range 8 {
		fmt.Fprintf(&b, "mail MX 10 mx%d\n", i)
		for j := range 4 {
			fmt.Fprintf(&b, "mx%d A 192.0.2.%d\n", i, i*4+j)
		}
	}
	return b.String()
}

// The addresses of the sites, and the network whose clients the service shop sends to eu; everybody else goes to us.
const (
	usV4, usV6 = "203.0.113.1", "2001:db8:a::1"
	euV4, euV6 = "203.0.113.2", "2001:db8:a::2"
	officeV4   = "198.51.100.0/24"
	officeV6   = "2001:db8:7::/48"
)

// newSnapshot returns the state that all tests answer from.
func newSnapshot(tb testing.TB) *Snapshot {
	tb.Helper()
	dir := tb.TempDir()
	load := func(origin, text string, steered map[string]string) *zone.Zone {
		file := filepath.Join(dir, origin+".zone")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			tb.Fatal(err)
		}
		z, err := zone.Load(zone.Source{Origin: origin, File: file, Steer: steered})
		if err != nil {
			tb.Fatal(err)
		}
		return z
	}
	zones, err := zone.NewSet([]*zone.Zone{
		load("shop.example", shopZone, map[string]string{
			"@": "shop", "www": "shop", "*.app": "shop", "rr": "rr", "v4": "v4", "private": "private", "many": "many",
		}),
		load("big.example", bigZone(), nil),
	})
	if err != nil {
		tb.Fatal(err)
	}
	place := geo.Place{Label: "office"}
	var world geo.Builder
	if err := world.Add(geo.Layer(
		geo.Network{Prefix: netip.MustParsePrefix(officeV4), Place: place},
		geo.Network{Prefix: netip.MustParsePrefix(officeV6), Place: place},
	)); err != nil {
		tb.Fatal(err)
	}
	us, eu := steer.Policy{Kind: steer.KindSite, Site: "us"}, steer.Policy{Kind: steer.KindSite, Site: "eu"}
	byOffice := steer.Policy{
		Kind:    steer.KindGeo,
		Rules:   []steer.Rule{{Kind: steer.MatchLabel, Value: "office", Child: eu}},
		Default: &us,
	}
	service := func(name string, p steer.Policy, ignoreECS bool) steer.Service {
		return steer.Service{
			Name: name, Policy: p, TTLMin: 30, TTLMax: 30, AllDown: steer.LastGood, IgnoreECS: ignoreECS,
		}
	}
	sites := []steer.Site{
		{Name: "us", Datacenter: "us", V4: netip.MustParseAddr(usV4), V6: netip.MustParseAddr(usV6), Weight: 100},
		{Name: "eu", Datacenter: "eu", V4: netip.MustParseAddr(euV4), V6: netip.MustParseAddr(euV6), Weight: 100},
		{Name: "v4", Datacenter: "us", V4: netip.MustParseAddr("203.0.113.4"), Weight: 100},
	}
	many := steer.Policy{Kind: steer.KindRoundRobin}
	for i := range 20 {
		name := fmt.Sprintf("many-%d", i)
		v6 := netip.MustParseAddr(fmt.Sprintf("2001:db8:b::%d", i+1))
		sites = append(sites, steer.Site{Name: name, Datacenter: "us", V6: v6, Weight: 100})
		many.Children = append(many.Children, steer.Policy{Kind: steer.KindSite, Site: name})
	}
	plan, err := steer.Compile(steer.Inputs{
		Datacenters: []steer.Datacenter{{Name: "us", Region: "us"}, {Name: "eu", Region: "eu"}},
		Sites:       sites,
		Services: []steer.Service{
			service("shop", byOffice, false),
			service("rr", steer.Policy{Kind: steer.KindRoundRobin, Children: []steer.Policy{us, eu}}, false),
			service("v4", steer.Policy{Kind: steer.KindRoundRobin, Children: []steer.Policy{
				{Kind: steer.KindSite, Site: "v4"},
			}}, false),
			service("private", byOffice, true),
			service("many", many, false),
		},
		World: world.World(),
	}, nil)
	if err != nil {
		tb.Fatal(err)
	}
	return &Snapshot{Zones: zones, Plan: plan}
}

// resolver is who asks, unless a test says otherwise: outside the office.
var resolver = netip.MustParseAddrPort("192.0.2.200:5353")

// testCookies are those of tests that do not say otherwise.
var testCookies = &Cookies{Now: 1_800_000_000, Secrets: []CookieSecret{{1, 2, 3}, {4, 5, 6}}}

// withCookie adds EDNS(0) with a COOKIE option, which may be malformed.
func withCookie(option []byte) change {
	return withOPT(1232, &dns.EDNS0_LOCAL{Code: dns.EDNS0COOKIE, Data: option})
}

// cookieFor returns an option with a server cookie that was made for client so many seconds ago.
func cookieFor(c *Cookies, client netip.Addr, age int32) []byte {
	then := Cookies{Now: c.Now - uint32(age), Secrets: c.Secrets}
	var out [cookieSize]byte
	then.reply(&out, []byte("clientck"), client)
	return out[:]
}

func newResponder(tb testing.TB, o Options) *Responder {
	tb.Helper()
	r, err := NewResponder(o)
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

// change alters a query that ask builds.
type change func(*dns.Msg)

func withOPT(size uint16, options ...dns.EDNS0) change {
	return func(m *dns.Msg) {
		m.SetEdns0(size, false)
		m.IsEdns0().Option = options
	}
}

// ecs adds EDNS(0) with a client subnet.
func withECS(prefix string) change {
	p := netip.MustParsePrefix(prefix)
	family := uint16(familyV4)
	if p.Addr().Is6() {
		family = familyV6
	}
	return withOPT(1232, &dns.EDNS0_SUBNET{
		Code: dns.EDNS0SUBNET, Family: family, SourceNetmask: uint8(p.Bits()), Address: p.Addr().AsSlice(),
	})
}

// newQuery packs "NAME TYPE [CLASS]" as a query with ID 0x1234 and RD set.
func newQuery(tb testing.TB, question string, changes ...change) []byte {
	tb.Helper()
	f := strings.Fields(question)
	m := new(dns.Msg)
	m.SetQuestion(f[0], dns.StringToType[f[1]])
	m.Id = 0x1234
	if len(f) > 2 {
		m.Question[0].Qclass = dns.StringToClass[f[2]]
	}
	for _, c := range changes {
		c(m)
	}
	b, err := m.Pack()
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// unpack parses an answer and checks what holds for every answer: the ID, QR, RA clear, AD and CD clear.
func unpack(tb testing.TB, answer []byte) *dns.Msg {
	tb.Helper()
	if answer == nil {
		tb.Fatal("no answer")
	}
	m := new(dns.Msg)
	if err := m.Unpack(answer); err != nil {
		tb.Fatalf("%v in %x", err, answer)
	}
	if m.Id != 0x1234 || !m.Response || m.RecursionAvailable || m.AuthenticatedData || m.CheckingDisabled || m.Zero {
		tb.Errorf("header is %v", m.MsgHdr)
	}
	return m
}

// render writes an answer on a few lines: RCODE and flags, then one line per record.
func render(m *dns.Msg) string {
	var b strings.Builder
	rcode := dns.RcodeToString[m.Rcode]
	if opt := m.IsEdns0(); opt != nil && m.Rcode == dns.RcodeBadVers {
		rcode = "BADVERS"
	}
	b.WriteString(rcode)
	for _, f := range []struct {
		name string
		set  bool
	}{{"aa", m.Authoritative}, {"tc", m.Truncated}, {"rd", m.RecursionDesired}} {
		if f.set {
			b.WriteString(" " + f.name)
		}
	}
	b.WriteString("\n")
	for i, section := range [][]dns.RR{m.Answer, m.Ns, m.Extra} {
		for _, rr := range section {
			line := strings.Join(strings.Fields(rr.String()), " ")
			if opt, ok := rr.(*dns.OPT); ok {
				line = renderOPT(opt)
			}
			fmt.Fprintf(&b, "%s %s\n", []string{"an", "ns", "ar"}[i], strings.Replace(line, " IN ", " ", 1))
		}
	}
	return b.String()
}

func renderOPT(opt *dns.OPT) string {
	s := fmt.Sprintf("OPT %d", opt.UDPSize())
	if opt.Version() != 0 {
		s += fmt.Sprintf(" version %d", opt.Version())
	}
	if opt.Do() {
		s += " do"
	}
	for _, o := range opt.Option {
		switch o := o.(type) {
		case *dns.EDNS0_NSID:
			s += " nsid " + o.Nsid
		case *dns.EDNS0_COOKIE:
			s += " cookie " + o.Cookie
		case *dns.EDNS0_SUBNET:
			s += fmt.Sprintf(" ecs %v/%d/%d", o.Address, o.SourceNetmask, o.SourceScope)
		default:
			s += fmt.Sprintf(" option %d", o.Option())
		}
	}
	return s
}

// want compares a rendered answer, line by line, with lines.
func want(tb testing.TB, m *dns.Msg, lines ...string) {
	tb.Helper()
	if got, want := render(m), strings.Join(lines, "\n")+"\n"; got != want {
		tb.Errorf("answer is\n%swant\n%s", got, want)
	}
}
