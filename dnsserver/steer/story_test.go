package steer

import (
	"cmp"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/meridian-gtm/meridian/geo"
	"github.com/meridian-gtm/meridian/health"
	"github.com/meridian-gtm/meridian/replication"
)

var rewrite = flag.Bool("rewrite", false, "write what the stories say now into testdata")

// TestStories plays testdata/*.txt: a command, a line "----", what it says, a blank line. Each file is the story of
// one kind of failure. After a change run "go test ./dnsserver/steer -run Stories -rewrite" and read the diff: what
// you cannot explain to the person on call must not be committed.
func TestStories(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			told := newStory(t).play(string(text))
			if *rewrite {
				if err := os.WriteFile(file, []byte(told), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if told != string(text) {
				t.Errorf("%s now says:\n%s", file, told)
			}
		})
	}
}

// story is the state that the commands of a file change.
type story struct {
	t    *testing.T
	in   Inputs
	plan *Plan
}

func newStory(t *testing.T) *story {
	s := &story{t: t, in: threeSites()}
	s.in.allUp()
	return s
}

// play runs every block and returns the file with what the commands said.
func (s *story) play(text string) string {
	var told strings.Builder
	for block := range strings.SplitSeq(strings.TrimSpace(text), "\n\n") {
		command, _, isCommand := strings.Cut(block, "\n----")
		told.WriteString(command)
		if isCommand {
			told.WriteString("\n----\n" + s.run(command))
		} else {
			told.WriteString("\n")
		}
		told.WriteString("\n")
	}
	return strings.TrimSuffix(told.String(), "\n")
}

// run runs the lines of one block; comments are for the reader.
func (s *story) run(block string) string {
	var out strings.Builder
	for line := range strings.SplitSeq(block, "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		words := fields(line)
		options := map[string]string{}
		for _, w := range words {
			if k, v, ok := strings.Cut(w, "="); ok {
				options[k] = v
			}
		}
		out.WriteString(s.command(line, words, options))
	}
	if out.Len() == 0 {
		return "ok\n"
	}
	return out.String()
}

func (s *story) command(line string, words []string, o map[string]string) string {
	number := func(key string, otherwise int) int {
		if n, err := strconv.Atoi(o[key]); err == nil {
			return n
		}
		return otherwise
	}
	switch words[0] {
	case "site": // site NAME dc=NAME v4=ADDR v6=ADDR weight=N capacity=N
		site := Site{
			Name: words[1], Datacenter: o["dc"], Weight: uint32(number("weight", 100)),
			Capacity: uint32(number("capacity", 0)),
		}
		site.V4, _ = netip.ParseAddr(o["v4"])
		site.V6, _ = netip.ParseAddr(o["v6"])
		s.in.Sites = append(s.in.Sites, site)
		s.in.judge(site.Name, up())
	case "network": // network PREFIX FIELD=VALUE ... (a layer over the three cities)
		var b geo.Builder
		if err := cmp.Or(b.Add(s.in.World.Networks()), b.Add(geo.Layer(network(line[len("network "):])))); err != nil {
			s.t.Fatal(err)
		}
		s.in.World = b.World()
	case "service": // service NAME all-down=WORD last-resort=ADDR ttl=MIN..MAX checks=A,B: POLICY
		head, policy, _ := strings.Cut(line, ": ")
		service := shop(policy)
		service.Name = strings.TrimSuffix(fields(head)[1], ":")
		service.AllDown = AllDown(o["all-down"])
		for a := range strings.SplitSeq(o["last-resort"], ",") {
			if a, err := netip.ParseAddr(strings.TrimSuffix(a, ":")); err == nil {
				service.LastResort = append(service.LastResort, a)
			}
		}
		if o["checks"] == "none:" {
			service.Checks = nil
		}
		service.AllDown = AllDown(strings.TrimSuffix(string(service.AllDown), ":"))
		s.in.Services = append(s.in.Services, service)
	case "verdict": // verdict SITE LEVEL weight=N ttl=N age=DURATION avoid=REGION,... reason=TEXT v=4
		v := up()
		_ = v.Level.UnmarshalText([]byte(words[2]))
		if v.Level == health.Down {
			v = down(time.Hour)
		}
		v.Weight = uint16(number("weight", int(v.Weight)))
		v.TTL = uint32(number("ttl", int(v.TTL)))
		if age, err := time.ParseDuration(o["age"]); err == nil {
			v.Age = age
		}
		if o["avoid"] != "" {
			v.AvoidRegions = strings.Split(o["avoid"], ",")
		}
		if o["reason"] != "" {
			v.Reason = o["reason"]
		}
		for _, f := range families {
			if o["v"] == "" || "v"+o["v"] == f.String() {
				s.in.Verdicts[health.Target{Site: words[1], Check: "web", Family: f}] = v
			}
		}
	case "override": // override SITE ACTION percent=N level=LEVEL weight=N service=NAME who=NAME why=TEXT
		x := s.in.override(words[1], replication.Action(words[2]))
		x.Percent, x.FrozenLevel, x.FrozenWeight = number("percent", 0), o["level"], number("weight", 0)
		x.Service = o["service"]
		if o["why"] != "" {
			x.Why = o["why"]
		}
	case "clear": // clear: no override any more
		s.in.Overrides = nil
	case "explain", "answer": // explain SERVICE TYPE CLIENT ...
		return s.ask(words)
	case "pools":
		return s.pools()
	default:
		s.t.Fatalf("no command %q", words[0])
	}
	return ""
}

func (s *story) compile() string {
	plan, err := Compile(s.in, s.plan)
	if err != nil {
		return "error: " + err.Error() + "\n"
	}
	s.plan = plan
	return ""
}

// ask explains what each client is told, or with the word answer says it in one line.
func (s *story) ask(words []string) string {
	if fault := s.compile(); fault != "" {
		return fault
	}
	n, ok := s.plan.Service(words[1])
	if !ok {
		s.t.Fatalf("no service %q", words[1])
	}
	qtype := uint16(typeA)
	if words[2] == "AAAA" {
		qtype = typeAAAA
	}
	var b strings.Builder
	for _, client := range words[3:] {
		trace := s.plan.Explain(n, qtype, Client{Addr: addr(client), ECS: true})
		sites := strings.Join(trace.Sites, " ")
		if sites == "" {
			sites = "NODATA"
		}
		fmt.Fprintf(&b, "%s %s -> %s  ttl %d scope /%d", client, place(trace), sites, trace.TTL, trace.Scope)
		if trace.AllDown != "" {
			fmt.Fprintf(&b, " all-down %s", trace.AllDown)
		}
		b.WriteString("\n")
		if words[0] == "answer" {
			continue
		}
		for _, step := range trace.Steps {
			fmt.Fprintf(&b, "  %s\n", step)
		}
		for _, c := range trace.Candidates {
			mark := " "
			switch {
			case c.Chosen:
				mark = ">"
			case !c.Available:
				mark = "x"
			}
			fmt.Fprintf(&b, "  %s %-9s %5.0f km %4d  %s\n", mark, c.Site, c.DistanceKM, c.Weight, c.Why)
		}
	}
	return b.String()
}

func place(t Trace) string {
	if t.Place.City == "" {
		return "(nowhere)"
	}
	return "(" + t.Place.City + ", " + t.Region + ")"
}

func (s *story) pools() string {
	if fault := s.compile(); fault != "" {
		return fault
	}
	var b strings.Builder
	for _, p := range s.plan.Pools() {
		fmt.Fprintf(&b, "%s %s: %d of %d sites %v, capacity %d of %d, all down %t\n", p.Service, p.Family,
			len(p.Available), p.Total, p.Available, p.Capacity, p.CapacityTotal, p.AllDown)
	}
	return b.String()
}

// fields splits at spaces that are not inside double quotes, and drops the quotes.
func fields(line string) []string {
	var words []string
	quoted := false
	for _, w := range strings.FieldsFunc(line, func(r rune) bool {
		if r == '"' {
			quoted = !quoted
		}
		return r == ' ' && !quoted
	}) {
		words = append(words, strings.ReplaceAll(w, `"`, ""))
	}
	return words
}
