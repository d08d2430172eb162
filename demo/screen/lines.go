package screen

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Lines says in one line each what is new in next: for logs, pipes and terminals that cannot move the cursor.
func Lines(prev, next Facts) []string {
	var lines []string
	say := func(at time.Time, format string, args ...any) {
		lines = append(lines, at.Format(time.TimeOnly)+"  "+clean(fmt.Sprintf(format, args...)))
	}
	last := 0
	if n := len(prev.Events); n > 0 {
		last = prev.Events[n-1].Seq
	}
	for _, e := range next.Events {
		if e.Seq > last {
			say(e.At, "%s", e.Text)
		}
	}
	for _, s := range next.Sites {
		i := slices.IndexFunc(prev.Sites, func(p Site) bool { return p.Name == s.Name })
		if i < 0 || prev.Sites[i].Verdict != s.Verdict {
			_, shape, text := look(s.Verdict)
			line := fmt.Sprintf("site %s %s %s", s.Name, shape, text)
			if s.Reason != "" {
				line += ": " + s.Reason
			}
			say(next.Now, "%s", line)
		}
	}
	for _, c := range next.Cities {
		i := slices.IndexFunc(prev.Cities, func(p City) bool { return p.Name == c.Name })
		switch {
		case i >= 0 && prev.Cities[i].Site == c.Site && prev.Cities[i].Fault == c.Fault && slices.Equal(prev.Cities[i].Addrs, c.Addrs):
		case c.Fault != "":
			say(next.Now, "%s gets no answer: %s", c.Name, c.Fault)
		default:
			say(next.Now, "%s is answered %s (%s), TTL %d s", c.Name, strings.Join(c.Addrs, ", "), c.Site, c.TTL)
		}
	}
	return lines
}
