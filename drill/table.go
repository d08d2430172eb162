package drill

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// WriteTable writes a line of Markdown for each report; where one has orders, with what became of them.
func WriteTable(out io.Writer, reports []*Report) error {
	var b strings.Builder
	ordered := slices.ContainsFunc(reports, func(r *Report) bool { return r.Orders != nil })
	b.WriteString("| drill | outcome | seen by probes | decided by all | spread | last old answer | pulled, back | as before after heal | " +
		"error of a client: obeys, mix | peak load | without an address |")
	rule := "|---|---|---|---|---|---|---|---|---|---|---|"
	if ordered {
		b.WriteString(" orders | lost, duplicate, oversold, stuck | first order after the loss |")
		rule += "---|---|---|"
	}
	b.WriteString("\n" + rule + "\n")
	for _, r := range reports {
		m := &r.Metrics
		outcome := string(r.Outcome)
		if r.Outcome != Passed {
			outcome = "**" + outcome + "**"
		}
		if r.Forced != "" {
			outcome += ", forced"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %d | %s | %.2f s, %.2f s | %.0f %% | %d of %d |",
			r.Plan.Drill, outcome, dash(m.Detect), dash(m.Decide), dash(m.Spread), dash(m.LastOld), m.Transitions, dash(m.Restore),
			m.Impact.Obeying, m.Impact.Seconds, m.Impact.PeakLoad()*100, m.Count.Bad(), m.Count.Asked)
		switch o := r.Orders; {
		case !ordered:
		case o == nil || o.Fault != "":
			b.WriteString(" - | - | - |")
		default:
			fmt.Fprintf(&b, " %d | %d, %d, %d, %d | %s |", o.Acked, o.Lost, o.Duplicate, o.Oversold, o.Stuck, dash(o.First))
		}
		b.WriteString("\n")
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// dash writes a time for a table, where what did not come is no news.
func dash(d time.Duration) string {
	if d == Never {
		return "-"
	}
	return seconds(d)
}
