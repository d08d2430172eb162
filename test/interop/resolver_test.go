package interop

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// startUnbound starts unbound before the world. Its stub zones name every server, since it looks for those in
// referrals at port 53 only.
func startUnbound(t *testing.T, w *world) (addr string) {
	t.Helper()
	bin := locate(t, "unbound", "unbound")
	var stubs strings.Builder
	for _, stub := range []struct {
		zone string
		addr netip.Addr
	}{{".", rootAddr}, {"shop.example.", shopAddr}, {"sub.shop.example.", subAddr}} {
		fmt.Fprintf(&stubs, "stub-zone:\n  name: %q\n  stub-addr: %v@%d\n  stub-prime: no\n", stub.zone, stub.addr, w.port)
	}
	config := fmt.Sprintf(`
server:
  interface: %v
  port: %d
  access-control: 127.0.0.0/8 allow
  do-daemonize: no
  use-syslog: no
  logfile: ""
  pidfile: ""
  username: ""
  chroot: ""
  directory: %q
  num-threads: 1
  do-ip6: no
  do-not-query-localhost: no
  module-config: "subnetcache iterator"
  send-client-subnet: %v
  max-client-subnet-ipv4: 32
  max-client-subnet-ipv6: 64
  use-caps-for-id: yes
  qname-minimisation: yes
  qname-minimisation-strict: yes
  harden-referral-path: no
%s
remote-control:
  control-enable: no
`, resolverAddr, w.port, t.TempDir(), shopAddr, stubs.String())
	return startResolver(t, w, bin, config, func(file string) []string { return []string{"-d", "-c", file} })
}

// startNamed starts named before the world: from the root on by referrals and glue. Its option port says both where it
// listens and where it finds every server.
func startNamed(t *testing.T, w *world) (addr string) { return startNamedWith(t, w, "") }

// startNamedWith adds options.
func startNamedWith(t *testing.T, w *world, options string) (addr string) {
	t.Helper()
	bin := locate(t, "named", "bind9")
	dir := t.TempDir()
	hints := fmt.Sprintf(". 3600 NS a.root.\na.root. 3600 A %v\n", rootAddr)
	if err := os.WriteFile(filepath.Join(dir, "hints"), []byte(hints), 0o600); err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf(`
options {
  directory %[1]q;
  port %[2]d;
  listen-on { %[3]v; };
  listen-on-v6 { none; };
  recursion yes;
  dnssec-validation no;
  empty-zones-enable no;
  max-cache-size 32m;
  qname-minimization strict;
  pid-file none;
  session-keyfile none;
  managed-keys-directory %[1]q;
  %[4]s
};
controls { };
zone "." { type hint; file "hints"; };
`, dir, w.port, resolverAddr, options)
	return startResolver(t, w, bin, config, namedArgs)
}

// namedArgs keeps named in the foreground.
func namedArgs(file string) []string { return []string{"-g", "-n", "1", "-c", file} }

// startResolver starts a resolver of the world until the test ends.
func startResolver(t *testing.T, w *world, bin, config string, args func(file string) []string) (addr string) {
	t.Helper()
	addr = w.at(resolverAddr)
	startProgram(t, bin, config, args, addr, question("ns1.shop.example.", dns.TypeA))
	return addr
}

// startProgram starts a server until the test ends, and waits for its first answer at addr to a question.
func startProgram(t *testing.T, bin, config string, args func(file string) []string, addr string, first *dns.Msg) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "resolver.conf")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), unconfined(t, bin, dir), args(file)...)
	var log transcript
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	gone := make(chan struct{})
	go func() { _ = cmd.Wait(); close(gone) }()
	t.Cleanup(func() {
		<-gone
		if t.Failed() {
			t.Logf("%s:\n%s", bin, log.String())
		}
	})
	for give := deadline(); ; {
		if _, err := exchange(addr, first, time.Second); err == nil {
			return
		} else if time.Now().After(give) {
			t.Fatalf("%s: no answer in %v: %v", bin, patience, err)
		}
		select {
		case <-gone:
			t.Fatalf("%s: ended before its first answer", bin)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// unconfined copies a program. Debian's AppArmor profiles go by path, and would keep it from a configuration that is
// not in /etc.
func unconfined(t *testing.T, bin, dir string) (program string) {
	t.Helper()
	b, err := os.ReadFile(bin)
	if err != nil {
		t.Fatal(err)
	}
	program = filepath.Join(dir, filepath.Base(bin))
	if err := os.WriteFile(program, b, 0o700); err != nil {
		t.Fatal(err)
	}
	return program
}

// transcript is what a program writes.
type transcript struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (tr *transcript) Write(b []byte) (int, error) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return tr.text.Write(b)
}

func (tr *transcript) String() string {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return tr.text.String()
}

func question(name string, qtype uint16) *dns.Msg { return new(dns.Msg).SetQuestion(name, qtype) }

// exchange asks a resolver over TCP, so that no answer is too long.
func exchange(addr string, m *dns.Msg, timeout time.Duration) (*dns.Msg, error) {
	c := dns.Client{Net: "tcp", Timeout: timeout}
	answer, _, err := c.Exchange(m, addr)
	return answer, err
}

// resolve asks a resolver and fails the test when nothing comes.
func resolve(t *testing.T, addr string, m *dns.Msg) *dns.Msg {
	t.Helper()
	answer, err := exchange(addr, m, patience)
	if err != nil {
		t.Errorf("%v: %v", m.Question[0].Name, err)
		return new(dns.Msg)
	}
	return answer
}

var resolvers = []struct {
	name  string
	start func(*testing.T, *world) string
}{{"unbound", startUnbound}, {"named", startNamed}}

// Resolvers get every answer, from us and from their caches.
func TestResolvers(t *testing.T) {
	expectations := append(readExpectations(t, "answers.txt"), readExpectations(t, "iterated.txt")...)
	for _, r := range resolvers {
		t.Run(r.name, func(t *testing.T) {
			w := newWorld(t)
			addr := r.start(t, w)
			for range 2 {
				for _, e := range expectations {
					m := resolve(t, addr, question(e.name, typeOf(t, e.qtype)))
					if m.Rcode != e.rcode {
						t.Errorf("%v: got %s, want %s", e, dns.RcodeToString[m.Rcode], dns.RcodeToString[e.rcode])
					}
					compare(t, e.String(), m.Answer, e.answer, true)
					// Asking label by label, named ends at the first name that does not exist, and says no more than that.
					above := r.name == "named" && e.rcode == dns.RcodeNameError && dns.CountLabel(e.name) > 4
					if len(e.answer) == 0 && !above {
						checkNegative(t, e, m)
					}
				}
			}
			if n := len(resolve(t, addr, question("big.shop.example.", dns.TypeA)).Answer); n != 100 {
				t.Errorf("%d addresses behind a truncated answer, want 100", n)
			}
			if _, conns := w.seen[shopAddr].noted(); conns == 0 {
				t.Error("no connection for a truncated answer")
			}
		})
	}
}

// checkNegative wants the SOA that says for how long there is nothing (RFC 2308 section 5).
func checkNegative(t *testing.T, e expectation, m *dns.Msg) {
	t.Helper()
	if len(m.Ns) != 1 || m.Ns[0].Header().Rrtype != dns.TypeSOA || m.Ns[0].Header().Ttl > 60 {
		t.Errorf("%v: authority section is %v, want a SOA for 60 s at most", e, m.Ns)
	}
}

// Names are asked label by label (RFC 9156), and by unbound in random case: what the other tests show holds for these.
func TestHowResolversAsk(t *testing.T) {
	const name = "a.b.c.ent.shop.example."
	for _, r := range resolvers {
		t.Run(r.name, func(t *testing.T) {
			w := newWorld(t)
			addr := r.start(t, w)
			m := resolve(t, addr, question(name, dns.TypeA))
			compare(t, name, m.Answer, []dns.RR{parseRR(t, name+" 300 A 192.0.2.10")}, true)
			names, _ := w.seen[shopAddr].noted()
			asked := map[string]bool{}
			mixed := false
			for _, n := range names {
				asked[strings.TrimPrefix(strings.ToLower(n), "_.")] = true
				mixed = mixed || n != strings.ToLower(n)
			}
			for _, n := range []string{"ent.shop.example.", "c.ent.shop.example.", "b.c.ent.shop.example."} {
				if !asked[n] {
					t.Errorf("%s was not asked for: %v", n, names)
				}
			}
			if r.name == "unbound" && !mixed {
				t.Errorf("no mixed case: %v", names)
			}
			if roots, _ := w.seen[rootAddr].noted(); r.name == "named" && len(roots) == 0 {
				t.Error("the root was not asked")
			}
		})
	}
}

// A resolver that speaks of cookies learns one, though the server insists, and comes back with it.
func TestResolverCookies(t *testing.T) {
	w := newWorld(t)
	addr := startNamed(t, w)
	for _, name := range []string{"static.shop.example.", "mail.shop.example.", "x.wild.shop.example."} {
		if m := resolve(t, addr, question(name, dns.TypeA)); len(m.Answer) != 1 {
			t.Errorf("%s: got %v", name, m)
		}
	}
	if c := w.shop.Stats().UDP.Cookies; c.Client == 0 || c.Valid < 3 || c.Invalid > 0 {
		t.Errorf("got %+v, want a client cookie or more, then valid ones only", c)
	}
}

// A resolver that forwards client subnets caches each answer for the network that its scope names.
func TestResolverSubnets(t *testing.T) {
	w := newWorld(t)
	addr := startUnbound(t, w)
	for _, tt := range []struct {
		subnet, address string
		asks            bool // not to be answered from the cache
	}{
		{"198.51.100.0/24", euV4, true},
		{"192.0.2.0/24", usV4, true},
		{"198.51.100.128/25", euV4, false},
		{"192.0.2.77/32", usV4, false},
		{"203.0.113.0/24", usV4, true},
		{"2001:db8:7:1::/64", euV4, true},
		{"2001:db8:7:2::/64", euV4, false},
		{"2001:db8:9::/48", usV4, true},
	} {
		p := netip.MustParsePrefix(tt.subnet)
		m := question("www.shop.example.", dns.TypeA)
		m.SetEdns0(1232, false)
		family := uint16(1)
		if p.Addr().Is6() {
			family = 2
		}
		m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_SUBNET{
			Code: dns.EDNS0SUBNET, Family: family, SourceNetmask: uint8(p.Bits()), Address: p.Addr().AsSlice(),
		}}
		before, _ := w.seen[shopAddr].noted()
		answer := resolve(t, addr, m)
		compare(t, tt.subnet, answer.Answer, []dns.RR{parseRR(t, "www.shop.example. 30 A "+tt.address)}, true)
		after, _ := w.seen[shopAddr].noted()
		if asked := len(after) > len(before); asked != tt.asks {
			t.Errorf("%s: asked us: %v, want %v", tt.subnet, asked, tt.asks)
		}
	}
}
