package drill

import (
	"fmt"
	"io"
	"math"
	"time"
)

// DefaultTolerance is the percentage by which a figure may be worse than the baseline's. Detection depends on the
// moment within a probe interval at which something breaks, so that two equal fleets differ by a half.
const DefaultTolerance = 50

// slack is what a time or a share may be worse by, however small the baseline: a step of what measures it.
const slack = 0.25

// Comparison holds a report against an earlier one.
type Comparison struct {
	Tolerance int      `json:"tolerance_percent"`
	Same      bool     `json:"same"` // drill, site, world and pace
	Ratios    []Ratio  `json:"ratios"`
	Notes     []string `json:"notes,omitempty"`
}

// Ratio is one figure in both reports. For all figures less is better.
type Ratio struct {
	Name   string  `json:"name"`
	Before float64 `json:"before"` // seconds, or a share; -1 = never
	Now    float64 `json:"now"`
	Ratio  float64 `json:"ratio"` // now / before; 0 = not to be told
	Worse  bool    `json:"worse"`
}

// Worse says that some figure is worse beyond the tolerance, or that the reports cannot be compared.
func (c *Comparison) Worse() bool {
	if !c.Same {
		return true
	}
	for _, r := range c.Ratios {
		if r.Worse {
			return true
		}
	}
	return false
}

// Compare holds now against before. A figure is worse when it exceeds the earlier one by more than tolerance percent
// and by more than 0.25 s (or, for shares, 0.25 of a percentage point), or did not come true any more.
func Compare(before, now *Report, tolerance int) *Comparison {
	c := &Comparison{Tolerance: tolerance, Same: true, Ratios: []Ratio{}}
	if a, b := before.Plan, now.Plan; a.Drill != b.Drill || a.Target != b.Target || a.World != b.World || a.Pace != b.Pace {
		c.Same = false
		c.Notes = append(c.Notes, fmt.Sprintf("not comparable: %s, and %s", before.Headline(), now.Headline()))
	}
	a, b := &before.Metrics, &now.Metrics
	took := func(name string, before, now time.Duration) {
		c.add(name, inSeconds(before), inSeconds(now))
	}
	took("first observer saw it, s", a.Detect, b.Detect)
	took("decided by all nodes, s", a.Decide, b.Decide)
	took("spread between nodes, s", a.Spread, b.Spread)
	took("last answer that named a broken site, s", a.LastOld, b.LastOld)
	took("answered again after the heal, s", a.Return, b.Return)
	took("every answer as before after the heal, s", a.Restore, b.Restore)
	took("all nodes on one plan after the heal, s", a.Converge, b.Converge)
	c.add("wrong answers of an average client, s", a.WrongSeconds, b.WrongSeconds)
	c.add("seconds of error of an obeying client, s", a.Impact.Obeying, b.Impact.Obeying)
	c.add("peak of client errors, %", a.Impact.Peak*100, b.Impact.Peak*100)
	c.add("peak load of a survivor, %", a.Impact.PeakLoad()*100, b.Impact.PeakLoad()*100)
	c.add("false pulls", float64(len(a.FalsePulls)), float64(len(b.FalsePulls)))
	c.add("queries left without an address", float64(a.Count.Bad()), float64(b.Count.Bad()))
	return c
}

func inSeconds(d time.Duration) float64 {
	if d == Never {
		return -1
	}
	return d.Seconds()
}

func (c *Comparison) add(name string, before, now float64) {
	r := Ratio{Name: name, Before: round(before), Now: round(now)}
	if before > 0 && now >= 0 {
		r.Ratio = round(now / before)
	}
	limit := before * (1 + float64(c.Tolerance)/100)
	switch {
	case before < 0:
	case now < 0:
		r.Worse = true
	default:
		r.Worse = now > limit && now-before > slack
	}
	c.Ratios = append(c.Ratios, r)
}

func round(v float64) float64 { return math.Round(v*1000) / 1000 }

// WriteText writes a comparison for people.
func (c *Comparison) WriteText(out io.Writer) error {
	text := fmt.Sprintf("\ncompared with the baseline, tolerance %d %%:\n", c.Tolerance)
	for _, n := range c.Notes {
		text += "FAIL  " + n + "\n"
	}
	for _, r := range c.Ratios {
		mark := "ok  "
		if r.Worse {
			mark = "FAIL"
		}
		ratio := "-"
		if r.Ratio > 0 {
			ratio = fmt.Sprintf("x%.2f", r.Ratio)
		}
		text += fmt.Sprintf("%s  %-44s %10s -> %10s  %s\n", mark, r.Name, number(r.Before), number(r.Now), ratio)
	}
	_, err := io.WriteString(out, text)
	return err
}

func number(v float64) string {
	if v < 0 {
		return "never"
	}
	return fmt.Sprintf("%.2f", v)
}
