package interop

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/meridian-gtm/meridian/dnsserver"
	"github.com/meridian-gtm/meridian/dnsserver/zone"
)

// named serves the zones of the look-up stories beside us, and must answer alike about every name in them, names near
// those, and every type. One story is about zones that servers mend, each in its own way.
func TestLikeNamed(t *testing.T) {
	bin := locate(t, "named", "bind9")
	paths, err := filepath.Glob("../../dnsserver/zone/testdata/*.txtar")
	if err != nil || len(paths) == 0 {
		t.Fatal("no stories", err)
	}
	told := 0
	for _, path := range paths {
		if filepath.Base(path) == "warnings.txtar" {
			continue
		}
		story, err := txtar.ParseFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(story.Files, func(f txtar.File) bool { return f.Name == "queries" }) ||
			slices.ContainsFunc(story.Files, func(f txtar.File) bool { return f.Name == "steer" }) {
			continue
		}
		told++
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			dir := t.TempDir()
			origin := ""
			for line := range strings.Lines(string(story.Comment)) {
				if name, ok := strings.CutPrefix(line, "origin "); ok {
					origin = dns.CanonicalName(strings.TrimSpace(name))
				}
			}
			for _, f := range story.Files {
				write(t, filepath.Join(dir, f.Name), f.Data)
				// named looks for included files in its directory, we beside the file that includes them.
				if _, rest, ok := strings.Cut(f.Name, "/"); ok {
					write(t, filepath.Join(dir, rest), f.Data)
				}
			}
			z, err := zone.Load(zone.Source{Origin: origin, File: filepath.Join(dir, "zone")})
			if err != nil {
				t.Fatal(err)
			}
			us, them := serveTwice(t, bin, dir, map[string]*zone.Zone{"zone": z})
			compareAnswers(t, z, us, them)
		})
	}
	if told < 8 {
		t.Errorf("%d stories", told)
	}
}

// Zones out of few labels, so that aliases, cuts, DNAMEs and wildcards meet.
func TestLikeNamedAtRandom(t *testing.T) {
	bin := locate(t, "named", "bind9")
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	dir := t.TempDir()
	zones, texts := map[string]*zone.Zone{}, map[string]string{}
	for len(zones) < 60 {
		origin := fmt.Sprintf("z%d.example.", len(zones))
		text := randomZone(rng, origin)
		write(t, filepath.Join(dir, origin), []byte(text))
		z, err := zone.Load(zone.Source{Origin: origin, File: filepath.Join(dir, origin)})
		if err != nil {
			continue
		}
		zones[origin], texts[origin] = z, text
	}
	us, them := serveTwice(t, bin, dir, zones)
	for origin, z := range zones {
		if !compareAnswers(t, z, us, them) {
			t.Errorf("seed %d: zone %s\n%s", seed, origin, texts[origin])
		}
	}
}

// randomZone writes a zone that may or may not load.
func randomZone(rng *rand.Rand, origin string) string {
	name := func() string {
		name := origin
		for range rng.IntN(4) {
			name = []string{"a", "b", "c", "*"}[rng.IntN(4)] + "." + name
		}
		return name
	}
	target := func() string {
		if rng.IntN(6) == 0 {
			return "host.elsewhere.test."
		}
		return name()
	}
	text := fmt.Sprintf("%s 300 SOA ns.elsewhere.test. host.elsewhere.test. 1 2 3 4 60\n%[1]s 300 NS ns.elsewhere.test.\n", origin)
	for range 3 + rng.IntN(7) {
		owner := name()
		switch rng.IntN(8) {
		case 0, 1:
			text += fmt.Sprintf("%s 300 CNAME %s\n", owner, target())
		case 2:
			text += fmt.Sprintf("%s 300 NS ns.elsewhere.test.\n", owner)
			if rng.IntN(2) == 0 {
				text += fmt.Sprintf("%s 300 NS ns.%[1]s\nns.%[1]s 300 A 192.0.2.53\n", owner)
			}
		case 3:
			text += fmt.Sprintf("%s 300 DNAME %s\n", owner, target())
		case 4:
			text += fmt.Sprintf("%s 300 MX 10 %s\n", owner, target())
		default:
			text += fmt.Sprintf("%s 300 A 192.0.2.%d\n", owner, rng.IntN(9))
		}
	}
	return text
}

// serveTwice serves zones from files in dir and from named, and returns what asks either.
func serveTwice(t *testing.T, bin, dir string, zones map[string]*zone.Zone) (us, them func(*dns.Msg) *dns.Msg) {
	t.Helper()
	port := freePort(t)
	ours, theirs := netip.AddrPortFrom(shopAddr, port), netip.AddrPortFrom(resolverAddr, port).String()
	list := slices.Collect(maps.Values(zones))
	serve(t, dnsserver.Options{Listen: []netip.AddrPort{ours}}, nil, list...)
	startProgram(t, bin, namedPrimary(dir, zones, port), namedArgs, theirs, question(list[0].Origin(), dns.TypeSOA))
	return connect(t, ours.String()), connect(t, theirs)
}

// compareAnswers asks both servers about every name in a zone and near those, and every type.
func compareAnswers(t *testing.T, z *zone.Zone, us, them func(*dns.Msg) *dns.Msg) (alike bool) {
	t.Helper()
	alike = true
	for _, name := range namesNear(z) {
		for _, qtype := range []uint16{
			dns.TypeA, dns.TypeAAAA, dns.TypeNS, dns.TypeSOA, dns.TypeCNAME, dns.TypeDNAME, dns.TypeDS, dns.TypeMX, dns.TypeTXT,
			dns.TypeSRV, dns.TypeHTTPS, dns.TypePTR, 65280,
		} {
			q := question(name, qtype)
			q.RecursionDesired = false
			if got, want := describe(t, us(q)), describe(t, them(q)); got != want {
				alike = false
				t.Errorf("%s %v: we answer\n%s\nnamed answers\n%s", name, dns.Type(qtype), got, want)
			}
		}
	}
	return alike
}

func write(t *testing.T, file string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// connect returns what asks a server over one connection.
func connect(t *testing.T, addr string) func(*dns.Msg) *dns.Msg {
	t.Helper()
	c := dns.Client{Net: "tcp", Timeout: patience}
	conn, err := c.Dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return func(m *dns.Msg) *dns.Msg {
		answer, _, err := c.ExchangeWithConn(m, conn)
		if err != nil {
			t.Fatalf("%v: %v", m.Question[0].Name, err)
		}
		return answer
	}
}

// namedPrimary is a configuration that serves zones as the master files in a directory have them.
func namedPrimary(dir string, zones map[string]*zone.Zone, port uint16) string {
	config := fmt.Sprintf(`
options {
  directory %[1]q;
  listen-on port %[2]d { %[3]v; };
  listen-on-v6 { none; };
  recursion no;
  notify no;
  minimal-responses yes;
  zero-no-soa-ttl no;
  check-names primary ignore;
  check-integrity no;
  check-mx ignore;
  max-cache-size 32m;
  pid-file none;
  session-keyfile none;
  managed-keys-directory %[1]q;
};
controls { };
`, dir, port, resolverAddr)
	for file, z := range zones {
		config += fmt.Sprintf("zone %q { type primary; file %q; };\n", z.Origin(), file)
	}
	return config
}

// namesNear returns the owners of a zone, their parents, and names beside and below them.
func namesNear(z *zone.Zone) (names []string) {
	add := func(name string) {
		if _, ok := dns.IsDomainName(name); ok && dns.IsSubDomain(z.Origin(), name) && len(name) < 230 &&
			!slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for owner := range z.RRsets() {
		add(owner)
		for up := owner; dns.IsSubDomain(z.Origin(), up); {
			next, end := dns.NextLabel(up, 0)
			if end {
				break
			}
			up = up[next:]
			add(up)
			add("nobody." + up)
		}
		add("below." + owner)
		add("far.below." + owner)
		add("*." + owner)
	}
	return names
}

// describe writes what an answer means: RCODE, AA, the sets of its sections, and of the additional one what a referral
// must have, the glue below its cut. The rest of that is a matter of taste.
func describe(t *testing.T, m *dns.Msg) string {
	t.Helper()
	sections := [][]dns.RR{m.Answer, m.Ns}
	if len(m.Ns) > 0 && m.Ns[0].Header().Rrtype == dns.TypeNS {
		sections = append(sections, slices.DeleteFunc(m.Extra, func(rr dns.RR) bool {
			return !dns.IsSubDomain(m.Ns[0].Header().Name, rr.Header().Name)
		}))
	}
	text := fmt.Sprintf("%s aa=%v", dns.RcodeToString[m.Rcode], m.Authoritative)
	if endless(m.Answer) {
		return "a chain without end"
	}
	for i, section := range sections {
		for _, line := range lines(normal(t, section)) {
			text += fmt.Sprintf("\n%s %s", []string{"an", "ns", "ar"}[i], line)
		}
	}
	return text
}

// endless tells whether a chain comes back to a name that it passed, or is longer than anybody follows. named calls
// that SERVFAIL, which sends resolvers to the zone's other servers for the same; Knot DNS, NSD and we leave it to them
// to see.
func endless(answer []dns.RR) bool {
	passed := map[string]bool{}
	target := ""
	for _, rr := range answer {
		if cname, ok := rr.(*dns.CNAME); ok {
			passed[strings.ToLower(cname.Hdr.Name)] = true
			target = strings.ToLower(cname.Target)
		}
	}
	return passed[target] || len(passed) > 10
}
