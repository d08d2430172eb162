package drill

import (
	"fmt"
	"html"
	"maps"
	"slices"
	"strings"
	"time"
)

// The picture's measures, in its own units.
const (
	pictureWidth  = 960
	pictureLeft   = 130
	pictureRight  = 14
	pictureTop    = 34
	laneHeight    = 44
	laneGap       = 14
	pictureBottom = 30
	pictureSlices = 240 // moments that are drawn
)

// colours is how many sites have one of their own; the rest share the last.
const colours = 8

// picture draws a timeline as SVG: for each node how large a part of the clients it sent where, and under it what
// clients with caches noticed. Faults are shaded. Colours come from classes, so that a page decides how they look.
type picture struct {
	strings.Builder
	line  *Timeline
	sites []string
}

// Picture returns the timeline of a report as an SVG element, and the sites in the order of their colours.
func (r *Report) Picture() (svg string, sites []string) {
	p := &picture{line: &r.Timeline, sites: r.Timeline.named()}
	height := pictureTop + (len(r.Timeline.Nodes)+1)*(laneHeight+laneGap) + pictureBottom
	fmt.Fprintf(p, `<svg viewBox="0 0 %d %d" role="img" aria-labelledby="picture-title picture-text" xmlns="http://www.w3.org/2000/svg">`, pictureWidth, height)
	fmt.Fprintf(p, `<title id="picture-title">Where each node sent its clients</title><desc id="picture-text">%s</desc>`, html.EscapeString(r.Headline()))
	bottom := height - pictureBottom
	p.faults(bottom)
	y := pictureTop
	for i := range r.Timeline.Nodes {
		p.lane(&r.Timeline.Nodes[i], y)
		y += laneHeight + laneGap
	}
	p.errors(r.Metrics.Impact, y)
	p.axis(bottom)
	p.moments(r, bottom)
	p.WriteString(`</svg>`)
	return p.String(), p.sites
}

// named lists the sites that answers named, in the order of their names, configured ones first.
func (t *Timeline) named() (sites []string) {
	for _, s := range t.Sites {
		sites = append(sites, s.Name)
	}
	others := map[string]bool{}
	for i := range t.Series {
		for _, s := range t.Series[i].Spells {
			for _, name := range s.Sites {
				if !slices.Contains(sites, name) {
					others[name] = true
				}
			}
		}
	}
	return append(sites, slices.Sorted(maps.Keys(others))...)
}

func (p *picture) x(t time.Duration) float64 {
	end := max(p.line.End, time.Second)
	part := min(max(float64(t)/float64(end), 0), 1)
	return pictureLeft + part*(pictureWidth-pictureLeft-pictureRight)
}

func (p *picture) faults(bottom int) {
	for _, f := range p.line.Faults {
		from, to := p.x(f.From), p.x(f.To)
		fmt.Fprintf(p, `<rect class="fault" x="%.1f" y="%d" width="%.1f" height="%d"><title>%s</title></rect>`,
			from, pictureTop-6, max(to-from, 1), bottom-pictureTop+6, html.EscapeString(f.Fault.String()))
	}
}

// lane draws what one node answered: parts of the clients, stacked.
func (p *picture) lane(n *NodeLine, y int) {
	fmt.Fprintf(p, `<text class="label" x="%d" y="%d">%s</text>`, pictureLeft-8, y+laneHeight/2+4, html.EscapeString(n.Name))
	type block struct {
		class    string
		from, to float64 // along
		low, top float64 // of the stack, 0..1
		name     string
	}
	var open []block
	draw := func(b block) {
		h := (b.top - b.low) * laneHeight
		fmt.Fprintf(p, `<rect class="%s" x="%.1f" y="%.1f" width="%.1f" height="%.1f"><title>%s, %.0f %%</title></rect>`,
			b.class, b.from, float64(y)+laneHeight-b.top*laneHeight, b.to-b.from+0.3, h, html.EscapeString(b.name), (b.top-b.low)*100)
	}
	step := p.line.End / pictureSlices
	for k := range pictureSlices {
		from, to := p.x(time.Duration(k)*step), p.x(time.Duration(k+1)*step)
		parts := p.line.parts(n.Name, time.Duration(k)*step+step/2)
		var next []block
		low := 0.0
		for i, name := range p.sites {
			if part := parts[name]; part > 0 {
				next = append(next, block{fmt.Sprintf("site%d", min(i, colours-1)), from, to, low, low + part, name})
				low += part
			}
		}
		if part := parts[""]; part > 0 {
			next = append(next, block{"nothing", from, to, low, low + part, "no answer"})
		}
		same := len(open) == len(next) && len(open) > 0
		for i := range next {
			same = same && open[i].name == next[i].name && open[i].top == next[i].top && open[i].low == next[i].low
		}
		if same {
			for i := range open {
				open[i].to = to
			}
			continue
		}
		for _, b := range open {
			draw(b)
		}
		open = next
	}
	for _, b := range open {
		draw(b)
	}
	fmt.Fprintf(p, `<rect class="frame" x="%d" y="%d" width="%d" height="%d"/>`, pictureLeft, y, pictureWidth-pictureLeft-pictureRight, laneHeight)
}

// parts returns how large a part of its clients a node sent to each site at a time; "" = to none.
func (t *Timeline) parts(node string, at time.Duration) map[string]float64 {
	parts := map[string]float64{}
	total := 0.0
	for i := range t.Series {
		s := &t.Series[i]
		if s.Node != node {
			continue
		}
		w := t.Clients[s.Client].Weight
		var now *Spell
		for j := range s.Spells {
			if s.Spells[j].From > at && now != nil {
				break
			}
			now = &s.Spells[j]
		}
		if now == nil {
			continue
		}
		total += w
		if len(now.Sites) == 0 {
			parts[""] += w
		}
		for _, site := range now.Sites {
			parts[site] += w / float64(len(now.Sites))
		}
	}
	for name := range parts {
		parts[name] /= total
	}
	return parts
}

// errors draws what clients with caches noticed, as a line.
func (p *picture) errors(i Impact, y int) {
	fmt.Fprintf(p, `<text class="label" x="%d" y="%d">client errors</text>`, pictureLeft-8, y+laneHeight/2-2)
	top := max(i.Peak, 0.01)
	fmt.Fprintf(p, `<text class="small" x="%d" y="%d">top %.1f %%</text>`, pictureLeft-8, y+laneHeight/2+12, top*100)
	var points strings.Builder
	for _, e := range i.Errors {
		fmt.Fprintf(&points, "%.1f,%.1f ", p.x(e.At), float64(y)+laneHeight-e.Value/top*laneHeight)
	}
	fmt.Fprintf(p, `<polyline class="errors" points="%s"/>`, strings.TrimSpace(points.String()))
	fmt.Fprintf(p, `<rect class="frame" x="%d" y="%d" width="%d" height="%d"/>`, pictureLeft, y, pictureWidth-pictureLeft-pictureRight, laneHeight)
}

// axis writes seconds since the first fault.
func (p *picture) axis(bottom int) {
	every := time.Second
	for _, e := range []time.Duration{1, 2, 5, 10, 20, 30, 60, 120, 300, 600} {
		if every = e * time.Second; p.line.End/every <= 16 {
			break
		}
	}
	for at := p.line.Broken % every; at <= p.line.End; at += every {
		fmt.Fprintf(p, `<line class="tick" x1="%.1f" x2="%.1f" y1="%d" y2="%d"/><text class="small middle" x="%.1f" y="%d">%.0f s</text>`,
			p.x(at), p.x(at), bottom, bottom+5, p.x(at), bottom+18, (at - p.line.Broken).Seconds())
	}
}

// moments marks what the figures are about. Labels that would overlap step aside.
func (p *picture) moments(r *Report, bottom int) {
	t, m := &r.Timeline, &r.Metrics
	type moment struct {
		at   time.Duration
		text string
	}
	list := []moment{{t.Broken, "broken"}, {t.Healed, "healed"}}
	since := func(from, took time.Duration, text string) {
		if took != Never {
			list = append(list, moment{from + took, text})
		}
	}
	since(t.Broken, m.Decide, "decided")
	if m.Restore > 0 {
		since(t.Healed, m.Restore, "as before")
	}
	slices.SortStableFunc(list, func(a, b moment) int { return int(a.at - b.at) })
	var ends [2]float64 // of the labels in the two lines above the lanes
	for _, x := range list {
		at := p.x(x.at)
		row := 0
		if ends[0] > at {
			row = 1
		}
		ends[row] = at + 8*float64(len(x.text))
		fmt.Fprintf(p, `<line class="moment" x1="%.1f" x2="%.1f" y1="%d" y2="%d"/><text class="small" x="%.1f" y="%d">%s</text>`,
			at, at, pictureTop-8, bottom, at+2, 10+12*row, x.text)
	}
}
