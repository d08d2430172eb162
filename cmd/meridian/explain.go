package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/meridian-gtm/meridian/cmd/internal/cmdline"
	"github.com/meridian-gtm/meridian/cmd/internal/terminal"
	"github.com/meridian-gtm/meridian/control"
	"github.com/meridian-gtm/meridian/dnsserver/steer"
)

func explainCommand() *cli.Command {
	return &cli.Command{
		Name:      "explain",
		Usage:     "say what a client is answered for a name, and why",
		ArgsUsage: "NAME",
		Description: "Examples:\n" +
			"  meridian explain www.shop.example --client 203.0.113.0/24\n" +
			"  meridian explain shop.example --type AAAA --client 2001:db8:1::/48\n" +
			"  meridian explain www.shop.example --json | jq '.trace.candidates[] | {site, why}'",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "client", Usage: "the client's address or ECS `PREFIX`; default: this machine"},
			&cli.StringFlag{Name: "type", Value: "A", Usage: "record `TYPE`"},
			apiFlag(), jsonFlag(),
		},
		Action: func(c *cli.Context) error {
			if err := cmdline.WantArgs(c, "NAME"); err != nil {
				return err
			}
			q := control.ExplainQuery{Name: c.Args().First(), Type: strings.ToUpper(c.String("type"))}
			if s := c.String("client"); s != "" {
				p, err := control.ParseClient(s)
				if err != nil {
					return cmdline.UsageError{Err: err}
				}
				q.Client = p
			}
			client, err := clientOf(c)
			if err != nil {
				return err
			}
			e, err := client.Explain(c.Context, q)
			if err != nil {
				return err
			}
			if c.Bool("json") {
				return cmdline.WriteJSON(c.App.Writer, e)
			}
			printExplanation(c.App.Writer, terminal.PaintFor(c.App.Writer), e)
			return nil
		},
	}
}

func printExplanation(w io.Writer, p terminal.Paint, e *control.Explanation) {
	fmt.Fprintf(w, "%s %s  %s  zone %s  node %s\n", p.Bold(e.Name), e.Type, e.RCode, orNone(e.Zone), e.Node)
	for _, rr := range e.Static {
		fmt.Fprintf(w, "  %s\n", rr)
	}
	t := e.Trace
	if t == nil {
		return
	}
	fmt.Fprintf(w, "service    %s\n", t.Service)
	fmt.Fprintf(w, "client     %s (%s)\n", t.Client, t.Source)
	fmt.Fprintf(w, "place      %s, known for %s%s\n", place(t), t.PlacePrefix, region(t.Region))
	for i, s := range t.Steps {
		head := "decided by"
		if i > 0 {
			head = ""
		}
		fmt.Fprintf(w, "%-10s %s\n", head, s)
	}
	if t.AllDown != "" {
		fmt.Fprintf(w, "%s no site is available: the all-down policy %q answers\n", p.Bad("ALL DOWN"), t.AllDown)
	}
	fmt.Fprintln(w)
	table := terminal.NewTable(w, "", "SITE", "ADDRESS", "DISTANCE", "WEIGHT", "WHY")
	for _, c := range t.Candidates {
		mark, distance := " ", "-"
		switch {
		case c.Chosen:
			mark = p.Good(">")
		case !c.Available:
			mark = p.Bad("x")
		}
		if t.Place.Located {
			distance = fmt.Sprintf("%.0f km", c.DistanceKM)
		}
		addr := "-"
		if c.Addr.IsValid() {
			addr = c.Addr.String()
		}
		table.Row(mark, c.Site, addr, distance, percent(c.Weight), c.Why)
	}
	table.Flush()
	fmt.Fprintln(w)
	if len(t.Answer) == 0 {
		fmt.Fprintf(w, "answer     none (NODATA)\n")
	}
	for i, a := range t.Answer {
		site := ""
		if i < len(t.Sites) {
			site = t.Sites[i]
		}
		fmt.Fprintf(w, "answer     %s  %s\n", p.Good(a.String()), site)
	}
	fmt.Fprintf(w, "ttl        %d s\nscope      /%d\nepoch      %s\n", t.TTL, t.Scope, t.Epoch)
}

func place(t *steer.Trace) string {
	var parts []string
	for _, s := range []string{t.Place.City, t.Place.Subdivision, t.Place.Country, t.Place.Continent} {
		if s != "" {
			parts = append(parts, s)
		}
	}
	if t.Place.ASN != 0 {
		parts = append(parts, fmt.Sprintf("AS%d", t.Place.ASN))
	}
	if t.Place.Label != "" {
		parts = append(parts, "label "+t.Place.Label)
	}
	if t.Place.Sites != "" {
		parts = append(parts, "sites "+t.Place.Sites)
	}
	if len(parts) == 0 {
		return "unknown"
	}
	return strings.Join(parts, ", ")
}

func region(name string) string {
	if name == "" {
		return ""
	}
	return ", region " + name
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}
