package drill

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
)

//go:embed report.html.tmpl
var pageText string

// page is parsed once: it cannot fail at run time.
var page = template.Must(template.New("report").Funcs(template.FuncMap{"number": number}).Parse(pageText))

// WriteHTML writes a report as a page that stands alone: it asks nothing of any other place, runs no script, and
// follows the reader's light or dark. c may be nil.
func (r *Report) WriteHTML(out io.Writer, c *Comparison) error {
	type key struct{ Class, Name string }
	type node struct{ Name, Detected, Decided, LastOld string }
	type told struct{ At, Node, Kind, Text string }
	data := struct {
		Report     *Report
		Comparison *Comparison
		Picture    template.HTML
		Key        []key
		Nodes      []node
		Told       []told
	}{Report: r, Comparison: c}
	svg, sites := r.Picture()
	data.Picture = template.HTML(svg) // made here, with every text in it escaped
	for i, name := range sites {
		data.Key = append(data.Key, key{fmt.Sprintf("site%d", min(i, colours-1)), name})
	}
	data.Key = append(data.Key, key{"nothing", "no answer"}, key{"fault", "broken"})
	for _, n := range r.Timeline.Nodes {
		data.Nodes = append(data.Nodes, node{n.Name, of(r.Metrics.Detected, n.Name), of(r.Metrics.Decided, n.Name), of(r.Metrics.LastOlds, n.Name)})
	}
	for _, e := range r.Told {
		data.Told = append(data.Told, told{fmt.Sprintf("%+.2f s", (e.At - r.Timeline.Broken).Seconds()), e.Node, e.Kind, e.Text})
	}
	return page.Execute(out, data)
}
