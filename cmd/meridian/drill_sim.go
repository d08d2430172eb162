package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/meridian-gtm/meridian/cmd/internal/cmdline"
	"github.com/meridian-gtm/meridian/drill/sim"
)

func drillSimCommand() *cli.Command {
	return &cli.Command{
		Name:      "sim",
		Usage:     "simulate a fleet in virtual time, break it in every way, and check what must always hold",
		ArgsUsage: "[FILE]",
		Description: "Plays generated scenarios with the very code that nodes run, or replays the one in FILE. A scenario that\n" +
			"breaks an invariant is made as small as it can be and written to a file that replays. Equal seeds give equal\n" +
			"runs. Exits 0 when every invariant held, 1 when one did not, 2 for a wrong command line.\n\n" +
			"Examples:\n" +
			"  meridian drill sim --seeds 1000\n" +
			"  meridian drill sim --seed 42 --nodes 30 --datacenters 3 --faults sites,partitions --for 10m --trace\n" +
			"  meridian drill sim --nodes 1000 --datacenters 20 --sites 20 --for 10m\n" +
			"  meridian drill sim sim-seed-42.txt --trace\n" +
			"  meridian drill sim --list",
		Flags: []cli.Flag{
			&cli.Uint64Flag{Name: "seed", Value: 1, Usage: "first `SEED`"},
			&cli.IntFlag{Name: "seeds", Value: 1, Usage: "play `COUNT` scenarios"},
			&cli.IntFlag{Name: "nodes", Usage: "fleet of `N` nodes; default: drawn by the seed, 6..30"},
			&cli.IntFlag{Name: "datacenters", Usage: "in `N` datacenters; default: drawn, 1..5"},
			&cli.IntFlag{Name: "sites", Usage: "with `N` sites, one per datacenter; default: drawn"},
			&cli.StringFlag{Name: "faults", Usage: "only faults of these `GROUPS`: " + strings.Join(sim.FaultGroups(), ",")},
			&cli.StringFlag{Name: "policy", Usage: "health `POLICY` default or fast; default: drawn"},
			&cli.DurationFlag{Name: "for", Usage: "`DURATION` in virtual time; default: drawn, about 2m"},
			&cli.StringFlag{Name: "out", Value: ".", Usage: "`DIRECTORY` for the file of a scenario that fails"},
			&cli.BoolFlag{Name: "trace", Usage: "print what happens, one scenario at a time"},
			&cli.BoolFlag{Name: "list", Usage: "list invariants and faults"},
			jsonFlag(),
		},
		Action: drillSim,
	}
}

// simReport is what the command prints for machines.
type simReport struct {
	Seeds      int             `json:"seeds"` // played
	Failed     []simFailure    `json:"failed"`
	Stats      sim.Stats       `json:"stats"` // of all
	Virtual    float64         `json:"virtual_seconds"`
	Took       float64         `json:"took_seconds"`
	NodeSecs   float64         `json:"node_seconds"` // virtual
	Invariants []sim.Invariant `json:"invariants"`
	Hash       string          `json:"hash"` // of the last one
}

type simFailure struct {
	Seed      uint64        `json:"seed"`
	Violation sim.Violation `json:"violation"`
	File      string        `json:"file,omitempty"`
}

func drillSim(c *cli.Context) error {
	if c.Bool("list") {
		return listSim(c)
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(800) // worlds are small beside what they throw away
	}
	if c.NArg() > 1 {
		return cmdline.Usagef("drill sim: want at most one FILE, got %d arguments", c.NArg())
	}
	if c.NArg() == 1 {
		text, err := os.ReadFile(c.Args().First())
		if err != nil {
			return err
		}
		s, err := sim.Parse(string(text))
		if err != nil {
			return fmt.Errorf("%s: %w", c.Args().First(), err)
		}
		return playSim(c, []sim.Scenario{s})
	}
	shape, err := simShape(c)
	if err != nil {
		return cmdline.UsageError{Err: err}
	}
	seed, count := c.Uint64("seed"), c.Int("seeds")
	if count < 1 {
		return cmdline.Usagef("drill sim: seeds %d: want at least 1", count)
	}
	if err := sim.Generate(seed, shape).Validate(); err != nil {
		return cmdline.UsageError{Err: err}
	}
	if c.Bool("trace") || count == 1 {
		var list []sim.Scenario
		for i := range count {
			list = append(list, sim.Generate(seed+uint64(i), shape))
		}
		return playSim(c, list)
	}
	return huntSim(c, seed, count, shape)
}

func simShape(c *cli.Context) (sim.Shape, error) {
	shape := sim.Shape{Nodes: c.Int("nodes"), Datacenters: c.Int("datacenters"), Sites: c.Int("sites"), For: c.Duration("for")}
	switch p := c.String("policy"); p {
	case "":
	case "default", "fast":
		fast := p == "fast"
		shape.Fast = &fast
	default:
		return shape, fmt.Errorf("drill sim: policy %q: want default or fast", p)
	}
	if d := max(shape.Datacenters, shape.Sites); shape.Nodes > 0 && d > shape.Nodes {
		return shape, fmt.Errorf("drill sim: nodes %d: want at least one for each of %d datacenters", shape.Nodes, d)
	}
	if list := c.String("faults"); list != "" {
		shape.Groups = strings.Split(list, ",")
	}
	for _, g := range shape.Groups {
		if !slices.Contains(sim.FaultGroups(), g) {
			return shape, fmt.Errorf("drill sim: faults %q: want some of %v", g, sim.FaultGroups())
		}
	}
	return shape, nil
}

// playSim plays scenarios one after the other.
func playSim(c *cli.Context, list []sim.Scenario) error {
	report := simReport{Invariants: sim.Invariants(), Failed: []simFailure{}}
	start := time.Now()
	for _, s := range list {
		var trace io.Writer
		if c.Bool("trace") && !c.Bool("json") {
			trace = c.App.Writer
			fmt.Fprintf(trace, "%s\n", s)
		}
		stop := simProgress(c, func() string { return fmt.Sprintf("playing seed %d", s.Seed) })
		r := sim.Run(s, sim.Options{Trace: trace})
		stop()
		if err := report.add(c, s, r, c.NArg() == 1); err != nil {
			return err
		}
	}
	return report.end(c, start)
}

// huntSim plays many generated scenarios.
func huntSim(c *cli.Context, seed uint64, count int, shape sim.Shape) error {
	report := simReport{Invariants: sim.Invariants(), Failed: []simFailure{}}
	start := time.Now()
	last := start.Add(time.Second)
	var fault error
	sim.Hunt(c.Context, seed, count, runtime.GOMAXPROCS(0), shape, func(s sim.Scenario, r sim.Result) bool {
		if fault = report.add(c, s, r, false); fault != nil {
			return false
		}
		if time.Since(last) > time.Second {
			last = time.Now()
			fmt.Fprintf(c.App.ErrWriter, "%d of %d seeds, %d failed, %v\n", report.Seeds, count, len(report.Failed),
				time.Since(start).Truncate(time.Second))
		}
		return true
	})
	if fault != nil {
		return fault
	}
	if err := c.Context.Err(); err != nil {
		return fmt.Errorf("after %d of %d seeds: %w", report.Seeds, count, err)
	}
	return report.end(c, start)
}

// simProgress tells on stderr, from two seconds on, that work goes on.
func simProgress(c *cli.Context, say func() string) (stop func()) {
	done := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		start := time.Now()
		ticker := time.NewTicker(2 * time.Second)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
				fmt.Fprintf(c.App.ErrWriter, "%s: %v\n", say(), time.Since(start).Truncate(time.Second))
			}
		}
	}()
	return func() { close(done); <-ended }
}

// add takes one result; what failed is made small and written down, unless it came from a file.
func (r *simReport) add(c *cli.Context, s sim.Scenario, got sim.Result, replayed bool) error {
	r.Seeds++
	r.Stats = r.Stats.Plus(got.Stats)
	r.Virtual += got.Virtual.Seconds()
	r.NodeSecs += got.Virtual.Seconds() * float64(s.Nodes)
	r.Hash = got.Hash
	if len(got.Violations) == 0 {
		return nil
	}
	f := simFailure{Seed: s.Seed, Violation: got.Violations[0]}
	if !replayed {
		stop := simProgress(c, func() string { return fmt.Sprintf("making seed %d small", s.Seed) })
		small := sim.Shrink(s, f.Violation.Invariant, 200)
		stop()
		f.File = filepath.Join(c.String("out"), fmt.Sprintf("sim-seed-%d.txt", s.Seed))
		text := fmt.Sprintf("# seed %d violates %s: %s\n%s", s.Seed, f.Violation.Invariant, f.Violation, small)
		if err := os.WriteFile(f.File, []byte(text), 0o644); err != nil {
			return err
		}
	}
	r.Failed = append(r.Failed, f)
	if !c.Bool("json") {
		fmt.Fprintf(c.App.Writer, "seed %d: %s\n", s.Seed, f.Violation)
		if f.File != "" {
			fmt.Fprintf(c.App.Writer, "  replay it with: meridian drill sim %s --trace\n", f.File)
		}
	}
	return nil
}

func (r *simReport) end(c *cli.Context, start time.Time) error {
	r.Took = time.Since(start).Seconds()
	if c.Bool("json") {
		if err := cmdline.WriteJSON(c.App.Writer, r); err != nil {
			return err
		}
	} else {
		x := r.Stats
		fmt.Fprintf(c.App.Writer, "%d seeds, %d failed: %.0f s of virtual time in %.1f s\n", r.Seeds, len(r.Failed), r.Virtual, r.Took)
		fmt.Fprintf(c.App.Writer, "%d events, %d probes, %d merges, %d decisions, %d verdict changes, %d plans, %d queries, %d overrides\n",
			x.Events, x.Probes, x.Merges, x.Decisions, x.Transitions, x.Compilations, x.Queries, x.Acks)
		fmt.Fprintf(c.App.Writer, "gossip and anti-entropy: %.0f bytes per node and second\n", float64(x.Bytes)/r.NodeSecs)
		fmt.Fprintf(c.App.Writer, "%d invariants; hash %s\n", len(r.Invariants), r.Hash)
	}
	if len(r.Failed) > 0 {
		return cmdline.ErrSaid
	}
	return nil
}

func listSim(c *cli.Context) error {
	if c.Bool("json") {
		return cmdline.WriteJSON(c.App.Writer, sim.Invariants())
	}
	fmt.Fprintln(c.App.Writer, "Invariants, * after quiet only:")
	for _, i := range sim.Invariants() {
		mark := " "
		if i.Live {
			mark = "*"
		}
		fmt.Fprintf(c.App.Writer, "%s %-30s %s\n", mark, i.Name, i.Doc)
	}
	fmt.Fprintln(c.App.Writer, "\nFaults, with what each needs and its group:")
	for _, k := range sim.FaultKinds() {
		fmt.Fprintln(c.App.Writer, " ", k)
	}
	return nil
}
