package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meridian-gtm/meridian/cmd/internal/cmdline"
	"github.com/meridian-gtm/meridian/demo/lab"
	"github.com/meridian-gtm/meridian/demo/tour"
	"github.com/meridian-gtm/meridian/demo/traveler"
	"github.com/meridian-gtm/meridian/demo/world"
)

func TestTour(t *testing.T) {
	var stdout, stderr bytes.Buffer
	args := []string{"demo", "--tour", "--json", "--any-port"}
	if code := run(t.Context(), args, &stdout, &stderr); code != cmdline.ExitOK {
		t.Fatalf("exit %d\n%s", code, stderr.String())
	}
	var report tour.Report
	if err := json.Unmarshal(stdout.Bytes(), &report); err != nil {
		t.Fatal(err)
	}
	if !report.Passed || len(report.Steps) < 8 || report.Queries.Asked < 1000 || report.Queries.Bad() != 0 {
		t.Errorf("report: %d steps, %s", len(report.Steps), report.Queries)
	}
	for _, s := range report.Steps {
		t.Logf("%6.2f s  %s", s.Took.Seconds(), s.Name)
	}
}

// startLab runs a lab on free ports until the test ends and checks that nothing of it is left.
func startLab(t *testing.T) *lab.Lab {
	t.Helper()
	l, err := lab.New(t.Context(), lab.Options{AnyPort: true})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("lab: %v", err)
		}
		if _, err := os.Stat(l.Dir()); !os.IsNotExist(err) {
			t.Errorf("%s is left behind: %v", l.Dir(), err)
		}
	})
	select {
	case <-l.Ready():
	case err := <-done:
		done <- err
		t.Fatalf("lab ended: %v", err)
	case <-time.After(patience):
		t.Fatal("lab is not ready in ", patience)
	}
	return l
}

// TestReadme plays the README's transcript: every dig must give what the README says.
func TestReadme(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	l := startLab(t)
	ask := func(server netip.AddrPort, subnet netip.Prefix) []string {
		r, err := traveler.Ask(t.Context(), server, lab.Host, 1, subnet)
		if err != nil {
			t.Fatal(err)
		}
		var addrs []string
		for _, a := range r.Addrs {
			addrs = append(addrs, a.String())
		}
		return addrs
	}
	digs, faults := 0, 0
	for _, cmd := range transcript(string(text)) {
		switch {
		case strings.HasPrefix(cmd.line, "dig "):
			digs++
			m := regexp.MustCompile(`^dig @127\.0\.0\.1 -p 5300 www\.shop\.example \+subnet=(\S+) \+short`).FindStringSubmatch(cmd.line)
			if m == nil {
				t.Fatalf("%q: want the form of the others", cmd.line)
			}
			subnet := netip.MustParsePrefix(m[1])
			eventually(t, cmd.line, func() bool { return slices.Equal(ask(l.Any, subnet), cmd.output) })
			if program, err := exec.LookPath("dig"); err == nil {
				eventually(t, "dig: "+cmd.line, func() bool {
					out, err := exec.CommandContext(t.Context(), program, "@127.0.0.1", "-p", portOf(l.Any), lab.Host,
						"+subnet="+subnet.String(), "+short").CombinedOutput()
					return err == nil && slices.Equal(strings.Fields(string(out)), cmd.output)
				})
			} else {
				t.Log("dig is not installed: asked with the library alone")
			}
		case strings.HasPrefix(cmd.line, "go run ./cmd/demo fault "), cmd.line == "go run ./cmd/demo heal":
			faults++
			args := append(strings.Fields(cmd.line)[2:], "--control", l.World.ControlAddr().String())
			args[0] = "demo"
			var stderr bytes.Buffer
			if code := run(t.Context(), args, io.Discard, &stderr); code != cmdline.ExitOK {
				t.Fatalf("%s: exit %d: %s", cmd.line, code, stderr.String())
			}
		}
	}
	if digs < 4 || faults < 2 {
		t.Errorf("the README has %d digs and %d faults: want at least 4 and 2", digs, faults)
	}
}

type command struct {
	line   string
	output []string
}

// transcript returns the commands of all console blocks, comments removed, with the lines printed below each.
func transcript(text string) (commands []command) {
	for _, block := range regexp.MustCompile("(?s)```console\n(.*?)```").FindAllStringSubmatch(text, -1) {
		for line := range strings.Lines(block[1]) {
			line = strings.TrimRight(line, "\n")
			if rest, ok := strings.CutPrefix(line, "$ "); ok {
				rest, _, _ = strings.Cut(rest, " #")
				commands = append(commands, command{line: strings.TrimSpace(rest)})
			} else if n := len(commands); n > 0 && line != "" {
				commands[n-1].output = append(commands[n-1].output, line)
			}
		}
	}
	return commands
}

func TestFaultsFromAnotherTerminal(t *testing.T) {
	l := startLab(t)
	control := l.World.ControlAddr().String()
	var out bytes.Buffer
	play := func(args ...string) (int, string) {
		out.Reset()
		code := run(t.Context(), append(append([]string{"demo"}, args...), "--control", control), &out, &out)
		return code, out.String()
	}
	if code, text := play("fault", "slow", "us-east", "--delay", "300ms", "--json"); code != 0 || !json.Valid([]byte(text)) {
		t.Errorf("fault --json: exit %d: %s", code, text)
	}
	if code, text := play("faults"); code != 0 || !strings.Contains(text, "us-east: slow by 300ms") {
		t.Errorf("faults: exit %d: %s", code, text)
	}
	if code, text := play("heal"); code != 0 || text != "healed 1 faults\n" {
		t.Errorf("heal: exit %d: %s", code, text)
	}
	if code, text := play("faults"); code != 0 || text != "nothing is broken\n" {
		t.Errorf("faults: exit %d: %s", code, text)
	}
	if code, text := play("heal", "99"); code != cmdline.ExitFailed {
		t.Errorf("heal of no fault: exit %d: %s", code, text)
	}
	if code, text := play("fault", "lose", "atlantis"); code != cmdline.ExitFailed || !strings.Contains(text, "atlantis") {
		t.Errorf("fault at no site: exit %d: %s", code, text)
	}
	if code, text := play("fault", "lose"); code != cmdline.ExitUsage || !strings.Contains(text, "hint: ") {
		t.Errorf("fault without a site: exit %d: %s", code, text)
	}
	if len(l.World.Faults()) != 0 {
		t.Errorf("left broken: %v", l.World.Faults())
	}
}

// TestEveryNodeAnswersAlike asks all nodes for many clients and names, with all sites up and with one lost.
func TestEveryNodeAnswersAlike(t *testing.T) {
	l := startLab(t)
	names := []string{lab.Host, lab.Zone, "docs.shop.example"}
	same := func() bool {
		epochs := map[string]bool{}
		for _, m := range l.Members {
			s, err := m.API.Status(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			epochs[s.Epoch] = true
		}
		return len(epochs) == 1
	}
	compare := func() {
		t.Helper()
		eventually(t, "one epoch on all nodes", same)
		for third := range 3 {
			for last := 0; last < 256; last += 16 {
				a := [][4]byte{{192, 0, 2, byte(last)}, {198, 51, 100, byte(last)}, {203, 0, 113, byte(last)}}[third]
				subnet := netip.PrefixFrom(netip.AddrFrom4(a), 28)
				for _, name := range names {
					var first traveler.Reply
					for i, m := range l.Members {
						r, err := traveler.Ask(t.Context(), m.DNS, name, 1, subnet)
						if err != nil {
							t.Fatal(err)
						}
						r.Took = 0
						if i == 0 {
							first = r
						}
						if r.Rcode != "NOERROR" || len(r.Addrs) != 1 || r.Addrs[0] != first.Addrs[0] || r.TTL != first.TTL || r.Scope != first.Scope {
							t.Errorf("%s for %s: %s says %+v, %s says %+v", name, subnet, m.Name, r, l.Members[0].Name, first)
						}
					}
				}
			}
		}
	}
	settled := func() bool {
		for _, m := range l.Members {
			s, err := m.API.Status(t.Context())
			if err != nil || s.Mode != "normal" {
				return false
			}
			for _, site := range s.Sites {
				for _, tv := range site.Targets {
					// A verdict that has settled does not change its TTL while we compare.
					if tv.Verdict.TTL != s.Sites[0].Targets[0].Verdict.TTL || tv.Verdict.Age < 12*time.Second {
						return false
					}
				}
			}
		}
		return same()
	}
	eventually(t, "all settled", settled)
	compare()
	if _, err := l.World.Inject(world.Fault{Kind: world.Lose, Site: "eu-west", For: 5 * time.Minute}); err != nil {
		t.Fatal(err)
	}
	gone := func() bool {
		for _, m := range l.Members {
			r, err := traveler.Ask(t.Context(), m.DNS, lab.Host, 1, l.Clients[1].Prefix)
			if err != nil || len(r.Addrs) != 1 || l.SiteOf(r.Addrs[0]) == "eu-west" {
				return false
			}
		}
		return true
	}
	eventually(t, "eu-west is out", gone)
	eventually(t, "settled without eu-west", settled)
	compare()
}

// patience is for machines that do much else: fleets settle in a quarter of a minute when left alone.
const patience = 2 * time.Minute

// eventually polls cond.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for !cond() {
		select {
		case <-ticker.C:
		case <-deadline.C:
			t.Fatalf("not in %s: %s", patience, what)
		}
	}
}

func portOf(a netip.AddrPort) string {
	_, port, _ := strings.Cut(a.String(), ":")
	return port
}
