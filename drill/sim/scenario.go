package sim

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Scenario is a fleet and what befalls it. Its file form is one directive per line, see [Scenario.String].
type Scenario struct {
	Name        string // of the file, for messages
	Seed        uint64 // of chance: delays, losses, phases
	Nodes       int    // 1..5000, spread over the datacenters in turn
	Datacenters int    // 1..26, named a, b, c, ...
	Sites       int    // 1..Datacenters; site-a is in datacenter a, and so on; datacenters beyond only observe
	Fast        bool   // health.FastPolicy and FastTiming instead of the defaults
	Demand      int    // load of each service; every site carries 100
	For         time.Duration
	Quiet       time.Duration // at the end: every fault has ended by For - Quiet
	Faults      []Fault       // by time
}

// Fault is something that befalls the fleet.
type Fault struct {
	At   time.Duration // from the start
	For  time.Duration // 0 = an instant, or an override without expiry
	Kind string        // one of [FaultKinds]
	Args []string
}

// limits of a scenario.
const (
	maxNodes       = 5000
	maxDatacenters = 26
	maxFaults      = 1000
	maxFor         = 24 * time.Hour
)

// String returns the scenario's file. Times are durations as Go writes them.
//
//	seed 7
//	nodes 9
//	datacenters 3
//	sites 3
//	policy default
//	demand 120
//	for 2m30s
//	quiet 1m
//	fault 10s 30s site site-a blackhole
func (s Scenario) String() string {
	var b strings.Builder
	policy := "default"
	if s.Fast {
		policy = "fast"
	}
	fmt.Fprintf(&b, "seed %d\nnodes %d\ndatacenters %d\nsites %d\npolicy %s\ndemand %d\nfor %v\nquiet %v\n",
		s.Seed, s.Nodes, s.Datacenters, s.Sites, policy, s.Demand, s.For, s.Quiet)
	for _, f := range s.Faults {
		fmt.Fprintf(&b, "fault %s\n", f)
	}
	return b.String()
}

// String returns the fault as a scenario's file has it after "fault".
func (f Fault) String() string {
	return strings.TrimSpace(fmt.Sprintf("%v %v %s %s", f.At, f.For, f.Kind, strings.Join(f.Args, " ")))
}

// Parse reads what [Scenario.String] wrote. Empty lines and what follows a # are passed over; directives that are
// missing keep the values of [Default]. It reports every fault with its line.
func Parse(text string) (Scenario, error) {
	s := Default()
	s.Faults = nil
	var faults []error
	for i, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(line, "#")
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		if err := s.directive(words); err != nil {
			faults = append(faults, fmt.Errorf("line %d: %w", i+1, err))
		}
	}
	if len(faults) > 0 {
		return Scenario{}, errors.Join(faults...)
	}
	slices.SortStableFunc(s.Faults, func(a, b Fault) int { return int(a.At - b.At) })
	return s, s.Validate()
}

// Default is a small fleet that nothing befalls.
func Default() Scenario {
	return Scenario{Seed: 1, Nodes: 9, Datacenters: 3, Sites: 3, For: 2 * time.Minute, Quiet: time.Minute}
}

func (s *Scenario) directive(words []string) error {
	if words[0] == "fault" {
		f, err := parseFault(words[1:])
		s.Faults = append(s.Faults, f)
		return err
	}
	if len(words) != 2 {
		return fmt.Errorf("%s: %d words: want a name and a value", words[0], len(words))
	}
	name, value := words[0], words[1]
	var err error
	switch name {
	case "seed":
		s.Seed, err = strconv.ParseUint(value, 10, 64)
	case "nodes":
		s.Nodes, err = strconv.Atoi(value)
	case "datacenters":
		s.Datacenters, err = strconv.Atoi(value)
	case "sites":
		s.Sites, err = strconv.Atoi(value)
	case "demand":
		s.Demand, err = strconv.Atoi(value)
	case "for":
		s.For, err = time.ParseDuration(value)
	case "quiet":
		s.Quiet, err = time.ParseDuration(value)
	case "policy":
		if value != "default" && value != "fast" {
			return fmt.Errorf("policy %q: want default or fast", value)
		}
		s.Fast = value == "fast"
	default:
		return fmt.Errorf("%q: want seed, nodes, datacenters, sites, policy, demand, for, quiet or fault", name)
	}
	return err
}

func parseFault(words []string) (Fault, error) {
	if len(words) < 3 {
		return Fault{}, fmt.Errorf("fault: %d words: want a time, a duration, a kind and what it needs", len(words))
	}
	at, err := time.ParseDuration(words[0])
	if err != nil {
		return Fault{}, fmt.Errorf("fault: %w", err)
	}
	lasts, err := time.ParseDuration(words[1])
	if err != nil {
		return Fault{}, fmt.Errorf("fault: %w", err)
	}
	return Fault{At: at, For: lasts, Kind: words[2], Args: words[3:]}, nil
}

// Validate reports everything that makes the scenario impossible to play, joined.
func (s Scenario) Validate() error {
	var faults []error
	within := func(what string, n, low, high int) {
		if n < low || n > high {
			faults = append(faults, fmt.Errorf("%s %d: want %d..%d", what, n, low, high))
		}
	}
	within("nodes", s.Nodes, 1, maxNodes)
	within("datacenters", s.Datacenters, 1, min(maxDatacenters, max(1, s.Nodes)))
	within("sites", s.Sites, 1, s.Datacenters)
	within("demand", s.Demand, 0, 1_000_000)
	within("faults", len(s.Faults), 0, maxFaults)
	if s.For <= 0 || s.For > maxFor {
		faults = append(faults, fmt.Errorf("for %v: want above 0, at most %v", s.For, maxFor))
	}
	if s.Quiet < 0 || s.Quiet > s.For {
		faults = append(faults, fmt.Errorf("quiet %v: want 0s..%v", s.Quiet, s.For))
	}
	if len(faults) > 0 {
		return errors.Join(faults...)
	}
	for _, f := range s.Faults {
		if err := s.validFault(f); err != nil {
			faults = append(faults, fmt.Errorf("fault %q: %w", f, err))
		}
	}
	return errors.Join(faults...)
}

func datacenterName(i int) string { return string(rune('a' + i)) }
func siteName(i int) string       { return "site-" + datacenterName(i) }

// nodeName names the node of a number: nodes are dealt to datacenters in turn.
func (s Scenario) nodeName(i int) string {
	return fmt.Sprintf("%s%d", datacenterName(i%s.Datacenters), i/s.Datacenters+1)
}

func (s Scenario) nodeNumber(name string) int {
	if len(name) < 2 {
		return -1
	}
	dc := int(name[0]) - 'a'
	n, err := strconv.Atoi(name[1:])
	i := (n-1)*s.Datacenters + dc
	if err != nil || n < 1 || dc < 0 || dc >= s.Datacenters || i >= s.Nodes {
		return -1
	}
	return i
}
