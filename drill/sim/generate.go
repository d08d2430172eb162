package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/meridian-gtm/meridian/replication"
)

// Shape is what a generated scenario must be like; zero fields are drawn.
type Shape struct {
	Nodes, Datacenters, Sites int
	For                       time.Duration
	Fast                      *bool
	Groups                    []string // of faults, see [FaultGroups]; none = all
}

// Generate draws a scenario: a fleet, and faults that lean to edges. Durations lie around the limits of the policy,
// faults begin when others end, and hit the same few nodes and sites again and again.
func Generate(seed uint64, shape Shape) Scenario {
	g := generator{Rand: rand.New(rand.NewPCG(seed, 0x67656e)), shape: shape}
	s := &g.s
	s.Seed = seed
	s.Datacenters = pick(&g, shape.Datacenters, 3, 3, 3, 3, 4, 5, 2, 1)
	s.Nodes = pick(&g, shape.Nodes, 9, 9, 9, 9, 9, 12, 15, 6+g.IntN(25))
	s.Datacenters = min(s.Datacenters, s.Nodes)
	s.Sites = min(s.Datacenters, pick(&g, shape.Sites, s.Datacenters, s.Datacenters, 2+g.IntN(4), max(1, s.Datacenters-1)))
	s.Fast = g.IntN(2) == 0
	if s.Nodes > cohortsFrom {
		s.Fast = false // its probes, eight a second for each target, are for a few nodes on one machine
	}
	if shape.Fast != nil {
		s.Fast = *shape.Fast
	}
	if g.IntN(3) == 0 {
		s.Demand = siteCapacity * s.Sites * (20 + g.IntN(100)) / 100
	}
	g.warm, s.Quiet = 45*time.Second, 60*time.Second
	s.For = shape.For
	if s.For == 0 {
		s.For = g.warm + s.Quiet + time.Duration(10+g.IntN(80))*time.Second
	}
	s.Quiet = min(s.Quiet, s.For/2)
	g.warm = min(g.warm, s.For/4)
	g.draw()
	slices.SortStableFunc(s.Faults, func(a, b Fault) int { return int(a.At - b.At) })
	return *s
}

// generator draws one scenario.
type generator struct {
	*rand.Rand
	s     Scenario
	shape Shape
	warm  time.Duration // before it nothing happens, mostly
	last  []time.Duration
}

func pick(g *generator, fixed int, from ...int) int {
	n := from[g.IntN(len(from))]
	if fixed > 0 {
		return fixed
	}
	return n
}

// themes are the kinds of faults that make up one scenario.
var themes = [][]string{
	{"site"},
	{"site", "crash", "pause"},
	{"partition", "isolate", "backbone", "oneway", "site"},
	{"partition", "isolate", "crash", "override", "clear"},
	{"cut", "deaf", "loss", "delay", "duplicate", "reorder", "site", "override"},
	{"crash", "pause", "slow", "disk", "override", "clear"},
	{"clock", "drift", "override", "clear", "crash"},
	{"override", "clear", "override", "site"},
	{"path", "egress", "site", "crash"},
	{"poison", "files", "pause", "crash"},
	{"crash", "crash", "pause", "loss"},
	nil, // all
}

func (g *generator) draw() {
	kinds := themes[g.IntN(len(themes))]
	var all []string
	for _, name := range kindNames() {
		if len(g.shape.Groups) == 0 || slices.Contains(g.shape.Groups, faultKinds[name].group) {
			all = append(all, name)
		}
	}
	kinds = slices.DeleteFunc(slices.Clone(kinds), func(k string) bool { return !slices.Contains(all, k) })
	if len(kinds) == 0 {
		kinds = all
	}
	count := []int{1, 2, 3, 4, 6, 8, 12, 16}[g.IntN(8)]
	if count == 1 {
		kinds = kinds[:1] // a single fault in a calm fleet
	}
	for range count {
		f := g.fault(kinds[g.IntN(len(kinds))])
		g.s.Faults = append(g.s.Faults, f)
		g.s.Faults = append(g.s.Faults, g.companion(f, kinds)...)
	}
}

// companion is what makes a fault worse, one time in three.
func (g *generator) companion(f Fault, kinds []string) []Fault {
	if g.IntN(3) > 0 {
		return nil
	}
	has := func(kind string) bool { return slices.Contains(kinds, kind) }
	end := g.s.For - g.s.Quiet
	switch {
	case f.Kind == "override" && has("crash") && g.IntN(2) == 0:
		// The power fails while the decision is stored, or just after.
		after := []time.Duration{time.Millisecond, 5 * time.Millisecond, 13 * time.Millisecond, 500 * time.Millisecond}
		return []Fault{{At: f.At + after[g.IntN(len(after))], For: time.Second, Kind: "crash", Args: f.Args[:1]}}
	case f.Kind == "override" && has("clear"):
		// Somebody clears it through another node.
		at := min(f.At+time.Duration(1+g.IntN(20))*time.Second, end)
		return []Fault{{At: at, Kind: "clear", Args: []string{g.arg("node", "clear"), f.Args[1], f.Args[2]}}}
	case f.Kind == "clock" && has("override"):
		// An operator trusts the node whose clock is wrong.
		at := min(f.At+f.For/2, end)
		return []Fault{{At: at, For: g.span(), Kind: "override", Args: []string{f.Args[0], g.arg("action", ""), g.arg("site", "")}}}
	}
	return nil
}

func kindNames() []string {
	var out []string
	for name := range faultKinds {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

func (g *generator) fault(kind string) Fault {
	k := faultKinds[kind]
	end := g.s.For - g.s.Quiet
	f := Fault{Kind: kind, At: g.moment(end)}
	if !k.instant {
		f.For = min(g.span(), max(time.Second, end-f.At))
	}
	for _, a := range k.args {
		f.Args = append(f.Args, g.arg(a, kind))
	}
	if len(f.Args) == 2 && k.args[1] == "node" && f.Args[0] == f.Args[1] {
		f.Args[1] = g.s.nodeName((g.s.nodeNumber(f.Args[0]) + 1) % g.s.Nodes)
	}
	if kind == "override" && g.IntN(4) == 0 {
		f.For = 0
	}
	g.last = append(g.last, f.At, f.At+f.For)
	return f
}

// moment is when a fault begins: somewhere, or just before or after another begins or ends.
func (g *generator) moment(end time.Duration) time.Duration {
	low, high := g.warm, max(g.warm+time.Second, end-time.Second)
	if g.IntN(12) == 0 {
		low = 0
	}
	at := low + time.Duration(g.Int64N(int64(high-low)))
	if len(g.last) > 0 && g.IntN(2) == 0 {
		near := []time.Duration{0, time.Millisecond, 100 * time.Millisecond, time.Second, -time.Second, 3 * time.Second}
		at = g.last[g.IntN(len(g.last))] + near[g.IntN(len(near))]
	}
	return min(max(at, low), high).Round(time.Millisecond)
}

// span is how long a fault lasts: around the limits of the policy.
func (g *generator) span() time.Duration {
	p := g.s.policy()
	edges := []time.Duration{
		100 * time.Millisecond, time.Second, 3 * time.Second, 10 * time.Second, 30 * time.Second, time.Minute,
		p.Stale, p.MinorityHold, p.Stale + p.MinorityHold, p.CorroborationHold, p.BrakeWindow, p.BrakeHold, p.Hold, p.Settle,
	}
	d := edges[g.IntN(len(edges))]
	switch g.IntN(4) {
	case 0:
		d += time.Duration(g.Int64N(int64(2 * time.Second)))
	case 1:
		d -= min(d/2, time.Duration(g.Int64N(int64(2*time.Second))))
	case 2:
		d += 12 * time.Second // until gossip has given a member up
	}
	return max(d, 50*time.Millisecond).Round(time.Millisecond)
}

func (g *generator) arg(want, kind string) string {
	few := func(n int) int {
		if g.IntN(2) == 0 {
			return g.IntN(min(n, 2))
		}
		return g.IntN(n)
	}
	choose := func(from ...string) string { return from[g.IntN(len(from))] }
	switch want {
	case "node":
		return g.s.nodeName(few(g.s.Nodes))
	case "dc":
		return datacenterName(few(g.s.Datacenters))
	case "site":
		return siteName(few(g.s.Sites))
	case "percent":
		return choose("5", "20", "20", "60", "90")
	case "ms":
		if kind == "slow" {
			return choose("50", "300", "1500", "4000")
		}
		return choose("50", "300", "1000", "3000")
	case "offset":
		if kind == "drift" {
			return choose("1ms", "-1ms", "50ms", "-50ms", "500ms", "-500ms")
		}
		return choose("-1h", "-61s", "-59s", "-5s", "5s", "30s", "59s", "61s", "5m", "2h", "200h")
	case "action":
		return choose(string(replication.Drain), string(replication.Drain), string(replication.Isolate),
			string(replication.ForceUp), string(replication.Freeze), string(replication.Weight))
	}
	if want == "blackhole|refuse|slow|lossy|error|unready" && g.IntN(2) == 0 {
		return choose("blackhole", "refuse")
	}
	return choose(splitBar(want)...)
}

// String says what a shape asks for.
func (s Shape) String() string {
	show := func(n int) string {
		if n == 0 {
			return "any"
		}
		return strconv.Itoa(n)
	}
	return fmt.Sprintf("nodes %s, datacenters %s, faults %v", show(s.Nodes), show(s.Datacenters), s.Groups)
}
