package interop

import (
	"context"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// client is a program that asks one question of one server and prints the answer as a master file does.
type client struct {
	program string
	args    func(server, port string, more ...string) []string // without name and type
	subnet  string                                             // what asks for a client of a network, PREFIX left out
	noRcode bool                                               // does not print an RCODE
	tcp     string                                             // what asks for TCP, where truncation does not
}

var clients = []client{
	{program: "dig", subnet: "+subnet=", args: func(server, port string, more ...string) []string {
		return append([]string{"@" + server, "-p", port, "+norecurse", "+nocookie", "+tries=2"}, more...)
	}},
	{program: "kdig", subnet: "+subnet=", args: func(server, port string, more ...string) []string {
		return append([]string{"@" + server, "-p", port, "+norec", "+edns", "+retry=1"}, more...)
	}},
	{program: "drill", tcp: "-t", args: func(server, port string, more ...string) []string {
		return append([]string{"-4", "-o", "rd", "-p", port, "@" + server}, more...)
	}},
	// It resolves and validates; -i leaves it with what a server says.
	{program: "delv", noRcode: true, args: func(server, port string, more ...string) []string {
		return append([]string{"-4", "-i", "@" + server, "-p", port}, more...)
	}},
}

// locate returns the path of a program, or skips the test loudly.
func locate(t *testing.T, program, pkg string) string {
	t.Helper()
	for _, path := range []string{program, "/usr/sbin/" + program, "/usr/local/sbin/" + program} {
		if bin, err := exec.LookPath(path); err == nil {
			return bin
		}
	}
	t.Skipf("SKIPPED: no %s: want Debian's package %s", program, pkg)
	return ""
}

// packages has the Debian package of each client.
var packages = map[string]string{
	"dig": "bind9-dnsutils", "delv": "bind9-dnsutils", "kdig": "knot-dnsutils", "drill": "ldnsutils",
}

// run asks one question.
func (c *client) run(t *testing.T, bin, server, port, name, qtype string, more ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	args := append(c.args(server, port, more...), name, qtype)
	out, err := exec.CommandContext(ctx, bin, args...).CombinedOutput()
	if err != nil && !c.noRcode {
		t.Errorf("%s %s: %v\n%s", c.program, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// Every client gets every answer, and sees it as we meant it.
func TestClients(t *testing.T) {
	expectations := readExpectations(t, "answers.txt")
	w := newWorld(t)
	for _, c := range clients {
		t.Run(c.program, func(t *testing.T) {
			bin := locate(t, c.program, packages[c.program])
			for _, e := range expectations {
				if c.program == "delv" && redirected(e) {
					continue // prints the DNAME as one of the question's own name, and no CNAME
				}
				out := c.run(t, bin, shopAddr.String(), w.portString(), e.name, e.qtype)
				compare(t, c.program+" "+e.String(), answerSection(t, out), e.answer, false)
				if c.noRcode {
					continue
				}
				if got := rcodeOf(out); got != dns.RcodeToString[e.rcode] {
					t.Errorf("%s %v: rcode %q, want %s:\n%s", c.program, e, got, dns.RcodeToString[e.rcode], out)
				}
			}
			_, before := w.seen[shopAddr].noted()
			var more []string
			if c.tcp != "" {
				out := c.run(t, bin, shopAddr.String(), w.portString(), "big.shop.example.", "A")
				if !strings.Contains(out, "qr aa tc") {
					t.Errorf("%s: want a truncated answer:\n%s", c.program, out)
				}
				more = []string{c.tcp}
			}
			out := c.run(t, bin, shopAddr.String(), w.portString(), "big.shop.example.", "A", more...)
			if n := len(answerSection(t, out)); n != 100 {
				t.Errorf("%s: %d addresses over TCP, want 100:\n%s", c.program, n, out)
			}
			if _, after := w.seen[shopAddr].noted(); after == before {
				t.Errorf("%s: no connection for a truncated answer", c.program)
			}
		})
	}
}

func redirected(e expectation) bool {
	return len(e.answer) > 0 && e.answer[0].Header().Rrtype == dns.TypeDNAME
}

// Clients that speak of a subnet get the answer for its clients.
func TestClientSubnets(t *testing.T) {
	w := newWorld(t)
	for _, c := range clients {
		if c.subnet == "" {
			continue
		}
		t.Run(c.program, func(t *testing.T) {
			bin := locate(t, c.program, packages[c.program])
			for _, tt := range []struct{ subnet, qtype, address, scope string }{
				{"198.51.100.0/24", "A", euV4, "198.51.100.0/24/24"},
				{"198.51.100.77/32", "AAAA", euV6, "198.51.100.77/32/24"},
				{"192.0.2.0/24", "A", usV4, "192.0.2.0/24/6"},
				{"2001:db8:7:1::/64", "AAAA", euV6, "2001:db8:7:1::/64/48"},
				{"2001:db8:9::/48", "A", usV4, "2001:db8:9::/48/45"},
			} {
				out := c.run(t, bin, shopAddr.String(), w.portString(), "www.shop.example.", tt.qtype, c.subnet+tt.subnet)
				want := parseRR(t, "www.shop.example. 30 "+tt.qtype+" "+tt.address)
				compare(t, c.program+" "+tt.subnet, answerSection(t, out), []dns.RR{want}, false)
				if !strings.Contains(out, tt.scope) {
					t.Errorf("%s %s: no scope %s in\n%s", c.program, tt.subnet, tt.scope, out)
				}
			}
		})
	}
}

var rcodeLine = regexp.MustCompile(`(?:status|rcode): ([A-Z]+)`)

// rcodeOf finds the RCODE in a client's output.
func rcodeOf(out string) string {
	if m := rcodeLine.FindStringSubmatch(out); m != nil {
		return m[1]
	}
	return ""
}

// answerSection reads the records of a client's output up to the next section.
func answerSection(t *testing.T, out string) (rrs []dns.RR) {
	t.Helper()
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, ";; AUTHORITY") || strings.HasPrefix(line, ";; ADDITIONAL") {
			break
		}
		if line = strings.TrimSpace(line); line != "" && line[0] != ';' {
			rrs = append(rrs, parseRR(t, line))
		}
	}
	return rrs
}
