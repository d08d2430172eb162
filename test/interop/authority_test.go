package interop

import (
	"fmt"
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
			port := freePort(t)
			ours := netip.AddrPortFrom(shopAddr, port)
			serve(t, dnsserver.Options{Listen: []netip.AddrPort{ours}}, z, nil)
			theirs := netip.AddrPortFrom(resolverAddr, port).String()
			startProgram(t, bin, namedPrimary(dir, origin, port), namedArgs, theirs, question(origin, dns.TypeSOA))
			us, them := connect(t, ours.String()), connect(t, theirs)
			for _, name := range namesNear(z) {
				for _, qtype := range []uint16{
					dns.TypeA, dns.TypeAAAA, dns.TypeNS, dns.TypeSOA, dns.TypeCNAME, dns.TypeDNAME, dns.TypeDS, dns.TypeMX,
					dns.TypeTXT, dns.TypeSRV, dns.TypeHTTPS, dns.TypePTR, 65280,
				} {
					q := question(name, qtype)
					q.RecursionDesired = false
					got, want := describe(t, us(q)), describe(t, them(q))
					if got != want {
						t.Errorf("%s %v: we answer\n%s\nnamed answers\n%s", name, dns.Type(qtype), got, want)
					}
				}
			}
		})
	}
	if told < 8 {
		t.Errorf("%d stories", told)
	}
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

// namedPrimary is a configuration that serves the zone in a directory, as the master file has it.
func namedPrimary(dir, origin string, port uint16) string {
	return fmt.Sprintf(`
options {
  directory %[1]q;
  listen-on port %[2]d { %[3]v; };
  listen-on-v6 { none; };
  recursion no;
  minimal-responses yes;
  max-cache-size 32m;
  pid-file none;
  session-keyfile none;
  managed-keys-directory %[1]q;
};
controls { };
zone %[4]q {
  type primary;
  file "zone";
  zero-no-soa-ttl no;
  check-names ignore;
  check-integrity no;
  check-mx ignore;
};
`, dir, port, resolverAddr, origin)
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
