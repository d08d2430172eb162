package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/meridian-gtm/meridian/cmd/internal/cmdline"
	"github.com/meridian-gtm/meridian/cmd/internal/terminal"
	"github.com/meridian-gtm/meridian/whatif"
)

func whatifCommand() *cli.Command {
	return &cli.Command{
		Name:  "whatif",
		Usage: "say what a lost site or another configuration would do to clients, before it happens",
		Description: "Replays counts of queries by client network, a line each: PREFIX COUNT [SERVICE]. Nodes do not count\n" +
			"queries by client yet: take them from a packet capture or a query log. Exits 1 when a site would be sent more\n" +
			"than its capacity or clients would be sent to a site that is down.\n\n" +
			"Examples:\n" +
			"  meridian whatif --down eu-west --queries counts.txt --service shop\n" +
			"  meridian whatif --new new.yaml --queries counts.txt --load 1200 --farther 2000\n" +
			"  meridian whatif --down eu-west --queries counts.txt --json | jq '.sites[] | select(.over)'",
		Flags: []cli.Flag{
			&cli.StringSliceFlag{Name: "down", Usage: "`SITE` that is lost; more than once for several"},
			&cli.StringFlag{Name: "new", Usage: "configuration `FILE` instead of --config's"},
			&cli.StringFlag{Name: "queries", Usage: "`FILE` of counts by client network; - is standard input (required)"},
			&cli.StringFlag{Name: "service", Usage: "`SERVICE` of lines that name none"},
			&cli.Float64Flag{Name: "load", Usage: "what all counts together stand for, in the `UNIT` of the sites' capacity; default: counts are in it"},
			&cli.Float64Flag{Name: "farther", Value: 1000, Usage: "`KM` that a client may be moved away without being called far"},
			configFlag(), jsonFlag(),
		},
		Action: func(c *cli.Context) error {
			if err := cmdline.WantArgs(c); err != nil {
				return err
			}
			if c.String("queries") == "" {
				return cmdline.Usagef("whatif: --queries: want a file of counts by client network")
			}
			if len(c.StringSlice("down")) == 0 && c.String("new") == "" {
				return cmdline.Usagef("whatif: want --down, --new or both")
			}
			result, err := replay(c)
			if err != nil {
				return err
			}
			if c.Bool("json") {
				err = cmdline.WriteJSON(c.App.Writer, result)
			} else {
				printWhatif(c.App.Writer, terminal.PaintFor(c.App.Writer), result, c.Float64("farther"))
			}
			if err == nil && trouble(result) {
				return cmdline.ErrSaid
			}
			return err
		},
	}
}

func replay(c *cli.Context) (*whatif.Result, error) {
	var in io.Reader = os.Stdin
	if path := c.String("queries"); path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	demand, err := whatif.ReadDemand(c.String("queries"), in, c.String("service"))
	if err != nil {
		return nil, err
	}
	now, err := whatif.Load(c.String("config"))
	if err != nil {
		return nil, err
	}
	then := now
	if path := c.String("new"); path != "" {
		if then, err = whatif.Load(path); err != nil {
			return nil, err
		}
	}
	if then, err = then.Without(c.StringSlice("down")...); err != nil {
		return nil, err
	}
	return whatif.Replay(now, then, demand, whatif.Options{Total: c.Float64("load"), Farther: c.Float64("farther")})
}

// trouble says that the change would hurt.
func trouble(r *whatif.Result) bool {
	for _, s := range r.Sites {
		if s.Over {
			return true
		}
	}
	return r.Dead > 0
}

func printWhatif(w io.Writer, p terminal.Paint, r *whatif.Result, farther float64) {
	t := terminal.NewTable(w, "SITE", "NOW", "THEN", "CHANGE", "CAPACITY", "")
	for _, s := range r.Sites {
		note, capacity := "", "-"
		if s.Capacity > 0 {
			capacity = fmt.Sprintf("%.0f (%.0f %%)", s.Capacity, s.After/s.Capacity*100)
		}
		switch {
		case s.Down:
			note = p.Warn("down")
		case s.Over:
			note = p.Bad("OVER CAPACITY")
		}
		t.Row(s.Site, fmt.Sprintf("%.0f", s.Before), fmt.Sprintf("%.0f", s.After), fmt.Sprintf("%+.0f", s.After-s.Before), capacity, note)
	}
	t.Flush()
	fmt.Fprintf(w, "\nmoved: %s of %.0f; more than %.0f km farther: %s\n", share(r.Moved, r.Load), r.Load, farther, share(r.Far, r.Load))
	if r.Dead > 0 {
		fmt.Fprintf(w, "%s %s of the load would be sent to a site that is down, or nowhere\n", p.Bad("DEAD:"), share(r.Dead, r.Load))
	}
	if len(r.Moves) == 0 {
		return
	}
	fmt.Fprintln(w)
	t = terminal.NewTable(w, "CLIENT", "SERVICE", "LOAD", "NOW", "THEN", "")
	for _, m := range r.Moves {
		far := ""
		if m.Far {
			far = p.Warn("far")
		}
		t.Row(m.Client.String(), m.Service, fmt.Sprintf("%.0f", m.Load), way(m.From, m.FromKM), way(m.To, m.ToKM), far)
	}
	t.Flush()
	if r.More > 0 {
		fmt.Fprintf(w, "and %d more\n", r.More)
	}
}

func way(sites []string, km float64) string {
	if km == 0 {
		return list(sites)
	}
	return fmt.Sprintf("%s, %.0f km", strings.Join(sites, " "), km)
}

func share(part, all float64) string {
	if all == 0 {
		return "0"
	}
	return fmt.Sprintf("%.0f (%.1f %%)", part, part/all*100)
}
