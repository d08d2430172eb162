package sim

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/meridian-gtm/meridian/replication"
)

// faultKind is one way to break a fleet.
type faultKind struct {
	doc     string
	args    []string // what each argument is: node, dc, site, percent, ms, offset, action, or alternatives with |
	group   string   // for --faults
	instant bool     // has no duration
}

var faultKinds = map[string]faultKind{
	"site":      {"a site is dead or ill for everybody", []string{"site", "blackhole|refuse|slow|lossy|error|unready"}, "sites", false},
	"path":      {"a datacenter's probes of a site are lost on the way", []string{"dc", "site"}, "paths", false},
	"egress":    {"a datacenter's probes of every site are lost, its gossip and witnesses are not", []string{"dc"}, "paths", false},
	"isolate":   {"a datacenter loses all its lines: gossip, probes of other sites, witnesses", []string{"dc"}, "partitions", false},
	"partition": {"a datacenter's gossip with all others is cut, both ways", []string{"dc"}, "partitions", false},
	"oneway":    {"what a datacenter gossips to others is lost; what others send arrives", []string{"dc"}, "partitions", false},
	"backbone":  {"gossip between all datacenters is cut", nil, "partitions", false},
	"cut":       {"gossip between two nodes is cut", []string{"node", "node"}, "links", false},
	"deaf":      {"gossip from the first node to the second is lost", []string{"node", "node"}, "links", false},
	"loss":      {"gossip packets are lost everywhere", []string{"percent"}, "links", false},
	"delay":     {"gossip between datacenters takes longer", []string{"ms"}, "links", false},
	"duplicate": {"gossip packets come twice", []string{"percent"}, "links", false},
	"reorder":   {"gossip packets overtake each other by so much", []string{"ms"}, "links", false},
	"crash":     {"a node loses its power, and starts again at the end", []string{"node"}, "nodes", false},
	"pause":     {"a node's process stands still", []string{"node"}, "nodes", false},
	"slow":      {"a node does everything so much too late", []string{"node", "ms"}, "nodes", false},
	"files":     {"a node has no file descriptors left for probes", []string{"node"}, "nodes", false},
	"clock":     {"a node's wall clock jumps by an offset, and back at the end", []string{"node", "offset"}, "clocks", false},
	"drift":     {"a node's wall clock gains or loses so many ms in a second", []string{"node", "offset"}, "clocks", false},
	"disk":      {"a node's disk refuses every write", []string{"node"}, "disks", false},
	"poison":    {"a node runs a check definition that nothing can pass", []string{"node"}, "config", false},
	"override":  {"an operator acts through a node; the duration is the override's, 0s = until cleared", []string{"node", "action", "site"}, "operators", false},
	"clear":     {"an operator clears an override through a node", []string{"node", "action", "site"}, "operators", true},
}

// FaultKinds lists the kinds of faults with what they need and do, one per line, sorted.
func FaultKinds() []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(faultKinds)) {
		k := faultKinds[name]
		out = append(out, fmt.Sprintf("%-9s %-40s %s (%s)", name, fmt.Sprint(k.args), k.doc, k.group))
	}
	return out
}

// FaultGroups lists the groups that --faults and [Options] know.
func FaultGroups() []string {
	groups := map[string]bool{}
	for _, k := range faultKinds {
		groups[k.group] = true
	}
	return slices.Sorted(maps.Keys(groups))
}

func (s Scenario) validFault(f Fault) error {
	k, ok := faultKinds[f.Kind]
	if !ok {
		return fmt.Errorf("kind %q: want one of %v", f.Kind, slices.Sorted(maps.Keys(faultKinds)))
	}
	if len(f.Args) != len(k.args) {
		return fmt.Errorf("%d arguments: want %v", len(f.Args), k.args)
	}
	if f.At < 0 || f.For < 0 || f.At > s.For {
		return fmt.Errorf("at %v for %v: want 0s or more, begun within %v", f.At, f.For, s.For)
	}
	for i, want := range k.args {
		if err := s.validArg(want, f.Args[i]); err != nil {
			return err
		}
	}
	return nil
}

func (s Scenario) validArg(want, arg string) error {
	ok := false
	switch want {
	case "node":
		ok = s.nodeNumber(arg) >= 0
	case "dc":
		ok = len(arg) == 1 && arg[0] >= 'a' && int(arg[0]-'a') < s.Datacenters
	case "site":
		ok = len(arg) == 6 && arg[:5] == "site-" && arg[5] >= 'a' && int(arg[5]-'a') < s.Sites
	case "percent":
		n, err := strconv.Atoi(arg)
		ok = err == nil && n >= 0 && n <= 100
	case "ms":
		n, err := strconv.Atoi(arg)
		ok = err == nil && n >= 0 && n <= 60_000
	case "offset":
		_, err := time.ParseDuration(arg)
		ok = err == nil
	case "action":
		switch replication.Action(arg) {
		case replication.Freeze, replication.Isolate, replication.ForceUp, replication.Drain, replication.Weight:
			ok = true
		}
	default:
		ok = slices.Contains(splitBar(want), arg)
	}
	if !ok {
		return fmt.Errorf("%q: want a %s of this scenario", arg, want)
	}
	return nil
}

func splitBar(s string) []string {
	var out []string
	for len(s) > 0 {
		i := 0
		for i < len(s) && s[i] != '|' {
			i++
		}
		out = append(out, s[:i])
		s = s[min(i+1, len(s)):]
	}
	return out
}
