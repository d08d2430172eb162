package drill

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/meridian-gtm/meridian/health"
)

// mostMoved bounds a list that is for people.
const mostMoved = 20

func (m *Metrics) detection(t *Timeline) {
	timed := 0 // nodes whose decision shows
	for i := range t.Nodes {
		n := &t.Nodes[i]
		if n.Dead {
			continue // it was not there to decide
		}
		if len(n.Levels) == 0 {
			at, shows := t.left(n.Name)
			if shows {
				timed++
			}
			if at != Never {
				m.Decided = append(m.Decided, NodeTime{n.Name, at})
			}
			continue
		}
		timed++
		if at := firstSeen(n.Seen, t); at != Never {
			m.Detected = append(m.Detected, NodeTime{n.Name, at})
		}
		for _, c := range n.Levels {
			if c.Level == health.Down && c.At >= t.Broken && slices.Contains(t.Target, c.Site) {
				m.Decided = append(m.Decided, NodeTime{n.Name, c.At - t.Broken})
				break
			}
		}
	}
	byTime(m.Detected)
	byTime(m.Decided)
	if len(m.Detected) > 0 {
		m.Detect = m.Detected[0].Took
	}
	if len(m.Decided) == timed && timed > 0 {
		m.Decide = m.Decided[len(m.Decided)-1].Took
		m.DecideP50 = m.Decided[(len(m.Decided)-1)/2].Took
		m.Spread = m.Decide - m.Decided[0].Took
	}
}

// left returns when a node that tells nothing of itself had left the broken sites out of every client's answers. It
// does not show at a node that never answered one.
func (t *Timeline) left(node string) (at time.Duration, shows bool) {
	for i := range t.Series {
		s := &t.Series[i]
		was, known := t.before(s)
		if s.Node != node || !known || !named(was.Sites, t.Target) {
			continue
		}
		shows = true
		away := Never
		for j := range s.Spells {
			if r := &s.Spells[j]; r.Fault == Good && r.From > t.Broken && r.From <= t.Healed && !named(r.Sites, t.Target) {
				away = r.From - t.Broken
				break
			}
		}
		if away == Never {
			return Never, true
		}
		at = max(at, away)
	}
	if !shows {
		return Never, false
	}
	return at, true
}

func firstSeen(seen []Sighting, t *Timeline) time.Duration {
	first := Never
	for _, s := range seen {
		if at := max(0, s.At-t.Broken); slices.Contains(t.Target, s.Site) && s.At <= t.Healed && (first == Never || at < first) {
			first = at
		}
	}
	return first
}

func byTime(list []NodeTime) {
	slices.SortStableFunc(list, func(a, b NodeTime) int { return int(a.Took - b.Took) })
}

// answers looks at what was answered while something was broken.
func (m *Metrics) answers(t *Timeline) {
	last := map[string]time.Duration{}
	var wrong, weight float64
	for i := range t.Series {
		series := &t.Series[i]
		w := t.Clients[series.Client].Weight
		weight += w
		was, known := t.before(series)
		for j := range series.Spells {
			r := &series.Spells[j]
			if r.To < t.Broken || r.Fault != Good {
				continue
			}
			until := r.To
			if j+1 < len(series.Spells) {
				until = series.Spells[j+1].From
			}
			for _, f := range t.Faults {
				if part := share(r.Sites, f.Fault); part > 0 && f.From < until && r.From <= f.To {
					wrong += w * part * (min(until, f.To) - max(r.From, f.From)).Seconds()
					last[series.Node] = max(last[series.Node], min(r.To, f.To)-t.Broken)
				}
			}
			if known && r.From > t.Broken && r.From < t.Healed && !r.answer().same(was) {
				if text := fmt.Sprintf("%s %s: %s, was %s", series.Node, t.Clients[series.Client].Prefix, r.answer(), was); len(m.Moved) < mostMoved {
					m.Moved = append(m.Moved, text)
				}
			}
		}
	}
	if weight > 0 {
		m.WrongSeconds = wrong / weight
	}
	for node, took := range last {
		m.LastOlds = append(m.LastOlds, NodeTime{node, took})
		m.LastOld = max(m.LastOld, took)
	}
	slices.SortFunc(m.LastOlds, func(a, b NodeTime) int { return strings.Compare(a.Node, b.Node) })
}

// share is how large a part of an answer leads to the site of a fault that breaks it for everybody.
func share(sites []string, f Fault) float64 {
	if !f.Kind.breaksSite() || len(sites) == 0 {
		return 0
	}
	n := 0
	for _, name := range sites {
		if name == f.Site {
			n++
		}
	}
	return float64(n) / float64(len(sites))
}

// levels counts what nodes held true of sites.
func (m *Metrics) levels(t *Timeline) {
	for i := range t.Nodes {
		n := &t.Nodes[i]
		level := map[string]health.Level{}
		changes := map[string]int{}
		for _, c := range n.Levels {
			old, known := level[c.Site]
			level[c.Site] = c.Level
			if !known || old == c.Level || c.At < t.Broken {
				continue
			}
			if (old == health.Down) != (c.Level == health.Down) {
				changes[c.Site]++
			}
			switch {
			case slices.Contains(t.Target, c.Site):
				m.Transitions = max(m.Transitions, changes[c.Site])
			case c.Level == health.Down:
				m.FalsePulls = append(m.FalsePulls, fmt.Sprintf("%s held %s down after %s", n.Name, c.Site, seconds(c.At-t.Broken)))
			}
		}
	}
}
