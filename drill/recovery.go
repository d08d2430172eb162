package drill

import (
	"slices"
	"time"

	"github.com/meridian-gtm/meridian/health"
)

// recovery looks at the way back.
func (m *Metrics) recovery(t *Timeline) {
	if t.Healed == 0 {
		return
	}
	restored := true
	back := map[string]time.Duration{} // node -> when it answered a broken site again
	had := map[string]bool{}           // nodes that answered one before
	for i := range t.Series {
		series := &t.Series[i]
		was, known := t.before(series)
		if !known {
			continue
		}
		if named(was.Sites, t.Target) {
			had[series.Node] = true
		}
		settled := Never
		for j := range series.Spells {
			r := &series.Spells[j]
			if r.Fault != Good || r.To < t.Healed {
				continue
			}
			from := max(0, r.From-t.Healed)
			if !r.answer().same(was) {
				settled = Never
			} else if settled == Never {
				settled = from
			}
			if named(r.Sites, t.Target) {
				if have, ok := back[series.Node]; !ok || from < have {
					back[series.Node] = from
				}
			}
		}
		if settled == Never {
			restored = false
		}
		m.Restore = max(m.Restore, settled)
	}
	if !restored {
		m.Restore = Never
	}
	for node := range had {
		took, ok := back[node]
		if !ok {
			m.Return = Never
			break
		}
		m.Return = max(m.Return, took)
	}
	m.Ramp, m.Converge = t.ramped(), t.converged()
	m.Herd = t.herd()
}

func named(sites, among []string) bool {
	return slices.ContainsFunc(sites, func(s string) bool { return slices.Contains(among, s) })
}

// ramped returns when the last site got its full weight for good.
func (t *Timeline) ramped() time.Duration {
	took := time.Duration(0)
	for i := range t.Nodes {
		full := map[string]time.Duration{}
		for _, c := range t.Nodes[i].Levels {
			switch at, ok := full[c.Site]; {
			case c.Level != health.Up || c.Weight != health.FullWeight:
				full[c.Site] = Never
			case !ok || at == Never:
				full[c.Site] = max(0, c.At-t.Healed)
			}
		}
		for _, at := range full {
			if at == Never {
				return Never
			}
			took = max(took, at)
		}
	}
	return took
}

// converged returns since when all nodes have answered from the same plan in normal mode.
func (t *Timeline) converged() time.Duration {
	var last *PlanChange
	took := time.Duration(0)
	for i := range t.Nodes {
		plans := t.Nodes[i].Plans
		if len(plans) == 0 {
			continue // a node that tells nothing of itself
		}
		p := &plans[len(plans)-1]
		if p.Mode != string(health.ModeNormal) || last != nil && last.Epoch != p.Epoch {
			return Never
		}
		last = p
	}
	if last == nil {
		return Never
	}
	// Walk back to the last moment at which they differed.
	for i := range t.Nodes {
		plans := t.Nodes[i].Plans
		for j := range plans {
			if end := t.End; plans[j].At > t.Healed || j+1 < len(plans) && plans[j+1].At > t.Healed || j+1 == len(plans) {
				if j+1 < len(plans) {
					end = plans[j+1].At
				}
				if at := t.differed(i, max(plans[j].At, t.Healed), end); at > took+t.Healed {
					took = at - t.Healed
				}
			}
		}
	}
	return took
}

// differed returns until when, within from..to, some node had another plan than node i, or not in normal mode.
func (t *Timeline) differed(i int, from, to time.Duration) time.Duration {
	until := time.Duration(0)
	mine := t.Nodes[i].planAt(from)
	for k := range t.Nodes {
		plans := t.Nodes[k].Plans
		for j := range plans {
			end := t.End
			if j+1 < len(plans) {
				end = plans[j+1].At
			}
			alike := plans[j].Epoch == mine.Epoch && plans[j].Mode == string(health.ModeNormal)
			if !alike && plans[j].At < to && end > from {
				until = max(until, min(end, to))
			}
		}
	}
	return until
}

func (n *NodeLine) planAt(t time.Duration) (p PlanChange) {
	for i := range n.Plans {
		if n.Plans[i].At > t {
			break
		}
		p = n.Plans[i]
	}
	return p
}

// herd returns the largest part of a broken site's clients that returned to it within a second, by fresh answers.
func (t *Timeline) herd() float64 {
	worst := 0.0
	for _, site := range t.Target {
		type arrival struct {
			at     time.Duration
			weight float64
		}
		var came []arrival
		total := 0.0
		for i := range t.Series {
			series := &t.Series[i]
			was, known := t.before(series)
			if !known || !slices.Contains(was.Sites, site) {
				continue
			}
			w := t.Clients[series.Client].Weight
			total += w
			away := false
			for j := range series.Spells {
				r := &series.Spells[j]
				if r.Fault != Good {
					continue
				}
				here := slices.Contains(r.Sites, site)
				if here && away && r.From > t.Healed {
					came = append(came, arrival{r.From, w})
				}
				away = !here
			}
		}
		slices.SortFunc(came, func(a, b arrival) int { return int(a.at - b.at) })
		sum, first := 0.0, 0
		for i := range came {
			sum += came[i].weight
			for came[i].at-came[first].at >= time.Second {
				sum -= came[first].weight
				first++
			}
			worst = max(worst, sum/total)
		}
	}
	return worst
}
