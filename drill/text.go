package drill

import (
	"fmt"
	"io"
	"strings"
)

// WriteText writes a report for people, without colour.
func (r *Report) WriteText(out io.Writer) error {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	m := &r.Metrics
	line("%s: %s", strings.ToUpper(string(r.Outcome)), r.Headline())
	line("%s", r.What)
	if r.Forced != "" {
		line("forced: %s", r.Forced)
	}
	if r.Facts.Aborted != "" {
		line("stopped: %s", r.Facts.Aborted)
	}
	line("")
	for _, c := range r.Checks {
		mark := "ok  "
		if !c.Passed {
			mark = "FAIL"
		}
		line("%s  %-58s %-28s (%s)", mark, c.Name, c.Got, c.Want)
	}
	line("")
	for _, f := range r.Figures() {
		line("%-44s %s", f.Name, f.Text)
	}
	line("")
	if len(m.Decided) > 0 || len(m.LastOlds) > 0 {
		line("%-20s %12s %12s %12s", "node", "own probes", "decided", "last old answer")
		for _, n := range r.Timeline.Nodes {
			line("%-20s %12s %12s %12s", n.Name, of(m.Detected, n.Name), of(m.Decided, n.Name), of(m.LastOlds, n.Name))
		}
		line("")
	}
	for _, a := range r.Assumptions {
		line("assumed: %s", a)
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// Headline names drill, site and world.
func (r *Report) Headline() string {
	return fmt.Sprintf("%s (%s) at %s in world %s, %s pace", r.Plan.Drill, r.Plan.Title, r.Plan.Target, r.Plan.World, r.Plan.Pace)
}

// Figure is one number of a report, for people.
type Figure struct{ Name, Text string }

// Figures lists what was measured. A figure that could not be seen says "never".
func (r *Report) Figures() []Figure {
	m := &r.Metrics
	list := []Figure{
		{"first observer saw it", seconds(m.Detect)},
		{"decided: half of the nodes, all", seconds(m.DecideP50) + ", " + seconds(m.Decide)},
		{"spread between nodes", seconds(m.Spread)},
		{"last answer that named a broken site", seconds(m.LastOld)},
		{"wrong answers, of an average client", fmt.Sprintf("%.2f s", m.WrongSeconds)},
		{"false pulls, level changes", fmt.Sprintf("%d, %d", len(m.FalsePulls), m.Transitions)},
		{"answered again, after the heal", seconds(m.Return)},
		{"every answer as before, after the heal", seconds(m.Restore)},
		{"full weight, after the heal", seconds(m.Ramp)},
		{"all nodes on one plan, after the heal", seconds(m.Converge)},
		{"most clients back within a second", fmt.Sprintf("%.0f %%", m.Herd*100)},
		{"client errors (assumed mix): peak, mean", fmt.Sprintf("%.1f %%, %.1f %%", m.Impact.Peak*100, m.Impact.Mean*100)},
		{"seconds of error per client: obeying, mix", fmt.Sprintf("%.2f s, %.2f s", m.Impact.Obeying, m.Impact.Seconds)},
	}
	for _, l := range m.Impact.Loads {
		if l.Survivor {
			list = append(list, Figure{"peak load of " + l.Site, fmt.Sprintf("%.0f %% of capacity", l.Load*100)})
		}
	}
	if o := r.Orders; o != nil {
		list = append(list, o.figures()...)
	}
	return append(list,
		Figure{"asked", m.Count.String()},
		Figure{"rounds a second at the slowest node", fmt.Sprintf("%.1f with %d networks", m.Rate, len(r.Timeline.Clients))},
	)
}

// figures lists what became of the orders.
func (o *Orders) figures() []Figure {
	if o.Fault != "" {
		return []Figure{{"orders", fmt.Sprintf("%d acknowledged, not looked at: %s", o.Acked, o.Fault)}}
	}
	return []Figure{
		{"orders acknowledged", fmt.Sprintf("%d, of %d in the shop", o.Acked, o.Verdicts.Orders)},
		{"lost, duplicate, oversold, stuck", fmt.Sprintf("%d, %d, %d, %d", o.Lost, o.Duplicate, o.Oversold, o.Stuck)},
		{"first order after the loss", seconds(o.First)},
		{"longest time without an order, longest wait", seconds(o.Gap) + ", " + seconds(o.Slowest)},
	}
}

func of(list []NodeTime, node string) string {
	for _, n := range list {
		if n.Node == node {
			return seconds(n.Took)
		}
	}
	return "-"
}
