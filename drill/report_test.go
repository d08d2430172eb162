package drill

import (
	"bytes"
	"encoding/json"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// example is a report as a drill makes it.
func example(change func(*Timeline)) *Report {
	s, _ := Find("site-blackout")
	line := told(change)
	m := Measure(line, DefaultMix())
	r := &Report{
		Format: Format, What: s.What, Expect: s.Expect, Who: "ana", Metrics: m, Timeline: *line, Assumptions: assumptions(*line),
		Plan:   Plan{Drill: s.ID, Title: s.Title, World: "demo", Target: "a", Pace: Fast, Does: s.tell("a", []string{"a", "b"}, Fast), Breaks: []string{"a"}},
		Told:   []Told{{12 * sec, "n1", "verdict", "a down"}},
		Checks: Judge(s, Fast, m, Facts{}), Outcome: Passed,
	}
	return r
}

func TestReportComesBackFromItsFile(t *testing.T) {
	want := example(nil)
	b, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := ReadReport(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(got)
	if err != nil || !bytes.Equal(b, again) {
		t.Errorf("read and written again it differs: %v", err)
	}
	if m := Measure(&got.Timeline, DefaultMix()); !reflect.DeepEqual(m, want.Metrics) {
		t.Errorf("measured again: %+v\nwant %+v", m, want.Metrics)
	}
	for text, fault := range map[string]string{
		"":             "report: ",
		`{}`:           "format 0: want 1",
		`{"format":1}`: "no drill named",
		`{"format":1,"plan":{"drill":"x"},"timeline":{"series":[{"client":1}]}}`: "series of client 1: want 0..-1",
		`{"format":1,"plan":{"drill":"x"},"timeline":{"end":-5}}`:                "timeline: time -5ns: want 0s..48h0m0s",
	} {
		if _, err := ReadReport(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), fault) {
			t.Errorf("%s: %v: want %s", text, err, fault)
		}
	}
}

// outside finds what a page would fetch or run.
var outside = regexp.MustCompile(`(?i)<script|<link|<img|<iframe|src=|href=|url\(|@import|javascript:|\bon[a-z]+=`)

func TestPageStandsAlone(t *testing.T) {
	const hostile = `<script>alert("x")</script>&'`
	r := example(func(l *Timeline) {
		l.Nodes[0].Name, l.Sites[1].Name = hostile, hostile
		for i := range l.Series {
			if l.Series[i].Node == "n1" {
				l.Series[i].Node = hostile
			}
			for j := range l.Series[i].Spells {
				if l.Series[i].Spells[j].Sites[0] == "b" {
					l.Series[i].Spells[j].Sites = []string{hostile}
				}
			}
		}
		l.Faults[0].Fault.Site = hostile
	})
	r.Forced, r.Facts.Aborted, r.Plan.Refusals, r.Plan.Title = hostile, hostile, []string{hostile}, hostile
	r.Told[0].Text = hostile
	var page bytes.Buffer
	if err := r.WriteHTML(&page, Compare(example(nil), r, DefaultTolerance)); err != nil {
		t.Fatal(err)
	}
	text := page.String()
	if found := outside.FindString(text); found != "" {
		t.Errorf("the page has %q", found)
	}
	if strings.Contains(strings.ReplaceAll(text, "http://www.w3.org/2000/svg", ""), "://") {
		t.Error("the page names an address")
	}
	for _, want := range []string{
		`default-src 'none'`, "prefers-color-scheme:dark", `role="img"`, "&lt;script&gt;", "client errors", "as before", "Compared with the baseline",
		`class="site1"`, `class="fault"`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(text, "NaN") || strings.Contains(text, "ZgotmplZ") || strings.Contains(text, "Inf") {
		t.Error("the page has a number or a text that could not be written")
	}
}

func TestPictureOfNothing(t *testing.T) {
	r := &Report{Format: Format, Plan: Plan{Drill: "x"}}
	if svg, sites := r.Picture(); !strings.HasPrefix(svg, "<svg") || !strings.HasSuffix(svg, "</svg>") || strings.Contains(svg, "NaN") || len(sites) != 0 {
		t.Errorf("%s, %v", svg, sites)
	}
}

func TestReportForPeople(t *testing.T) {
	var text strings.Builder
	if err := example(nil).WriteText(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"PASSED: site-blackout (a site loses its power) at a in world demo, fast pace\n",
		"FAIL  decided by every node",
		"first observer saw it                        0.50 s\n",
		"decided: half of the nodes, all              2.00 s, 3.00 s\n",
		"n1                         1.00 s       2.00 s       2.00 s\n",
		"peak load of b                               84 % of capacity\n",
		"assumed: Errors and loads",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the report lacks %q:\n%s", want, text.String())
		}
	}
	var table strings.Builder
	if err := WriteTable(&table, []*Report{example(nil)}); err != nil {
		t.Fatal(err)
	}
	if lines := strings.Split(strings.TrimSpace(table.String()), "\n"); len(lines) != 3 || !strings.HasPrefix(lines[2], "| site-blackout | passed | 0.50 s | 3.00 s | 1.00 s | 3.00 s | 2 | 6.00 s |") {
		t.Errorf("table:\n%s", table.String())
	}
}

func FuzzReadReport(f *testing.F) {
	b, err := json.Marshal(example(nil))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"format":1,"plan":{"drill":"x"},"timeline":{"end":5000000000,"nodes":[{}],"series":[{"spells":[{}]}],"clients":[{}]}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ReadReport(bytes.NewReader(b))
		if err != nil {
			return
		}
		var out bytes.Buffer
		if err := r.WriteHTML(&out, Compare(r, r, 50)); err != nil {
			t.Fatal(err)
		}
		if found := outside.FindString(out.String()); found != "" && strings.Contains(found, "<") {
			t.Fatalf("the page has %q", found)
		}
	})
}
