package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/meridian-gtm/meridian/cmd/internal/cmdline"
	"github.com/meridian-gtm/meridian/cmd/internal/terminal"
	"github.com/meridian-gtm/meridian/control"
	"github.com/meridian-gtm/meridian/whatif"
)

func whatifCommand() *cli.Command {
	return &cli.Command{
		Name:  "whatif",
		Usage: "say what a lost site or another configuration would do to clients, before it happens",
		Description: "Replays counts of queries by client network: those that the nodes given by --api have observed, together, or\n" +
			"those of a file, a line each: PREFIX COUNT [SERVICE]. Observed counts become queries per second, and are compared\n" +
			"with capacities only when --load says what they stand for. Exits 1 when a site would be sent more than its\n" +
			"capacity or clients would be sent to a site that is down.\n\n" +
			"Examples:\n" +
			"  meridian whatif --down eu-west\n" +
			"  meridian whatif --down eu-west --api 127.0.0.1:8053 --api 127.0.0.1:9053 --load 1200\n" +
			"  meridian whatif --down eu-west --queries counts.txt --service shop\n" +
			"  meridian whatif --new new.yaml --queries counts.txt --load 1200 --farther 2000\n" +
			"  meridian whatif --down eu-west --queries counts.txt --json | jq '.sites[] | select(.over)'",
		Flags: []cli.Flag{
			&cli.StringSliceFlag{Name: "down", Usage: "`SITE` that is lost; more than once for several"},
			&cli.StringFlag{Name: "new", Usage: "configuration `FILE` instead of --config's"},
			&cli.StringFlag{Name: "queries", Usage: "`FILE` of counts by client network instead of the nodes' own; - is standard input"},
			&cli.StringSliceFlag{Name: "api", EnvVars: []string{"MERIDIAN_API"}, Usage: "control API of a node that has counted, `URL`; more than once for several"},
			&cli.StringFlag{Name: "service", Usage: "`SERVICE` of lines that name none; of the nodes' counts the only one to replay"},
			&cli.Float64Flag{Name: "load", Usage: "what all counts together stand for, in the `UNIT` of the sites' capacity; default: a file's counts are in it"},
			&cli.Float64Flag{Name: "farther", Value: 1000, Usage: "`KM` that a client may be moved away without being called far"},
			configFlag(), jsonFlag(),
		},
		Action: func(c *cli.Context) error {
			if err := cmdline.WantArgs(c); err != nil {
				return err
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
				if result.Uncapped {
					fmt.Fprintln(c.App.Writer, "\nloads are DNS queries per second: --load says what they stand for, to compare with capacities")
				}
			}
			if err == nil && trouble(result) {
				return cmdline.ErrSaid
			}
			return err
		},
	}
}

// demandOf reads a file, or asks the nodes.
func demandOf(c *cli.Context) ([]whatif.Demand, error) {
	path := c.String("queries")
	if path == "" {
		return observed(c)
	}
	var in io.Reader = os.Stdin
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	return whatif.ReadDemand(path, in, c.String("service"))
}

// observed adds up what the nodes have counted, per second: they have not all counted for the same time.
func observed(c *cli.Context) ([]whatif.Demand, error) {
	apis := c.StringSlice("api")
	if len(apis) == 0 {
		apis = []string{defaultAPI}
	}
	type key struct {
		client  netip.Prefix
		service string
	}
	sum := map[key]float64{}
	for _, api := range apis {
		client, err := control.NewClient(api)
		if err != nil {
			return nil, cmdline.UsageError{Err: err}
		}
		q, err := client.Queries(c.Context)
		if err != nil {
			return nil, err
		}
		seconds := max(q.Until.Sub(q.Since).Seconds(), 1)
		for _, n := range q.Counts {
			if only := c.String("service"); only == "" || only == n.Service {
				sum[key{n.Client, n.Service}] += float64(n.Count) / seconds
			}
		}
	}
	if len(sum) == 0 {
		return nil, errors.New("the nodes have counted no queries yet: want --queries FILE, or dns.traffic.sample of 1 where queries are few")
	}
	var all []whatif.Demand
	for k, n := range sum {
		all = append(all, whatif.Demand{Client: k.client, Count: n, Service: k.service})
	}
	slices.SortFunc(all, func(a, b whatif.Demand) int {
		return cmp.Or(strings.Compare(a.Service, b.Service), a.Client.Compare(b.Client))
	})
	return all, nil
}

func replay(c *cli.Context) (*whatif.Result, error) {
	demand, err := demandOf(c)
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
	return whatif.Replay(now, then, demand, whatif.Options{
		Total: c.Float64("load"), Farther: c.Float64("farther"),
		Uncapped: c.String("queries") == "" && c.Float64("load") == 0,
	})
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
		if s.Capacity > 0 && !r.Uncapped {
			capacity = fmt.Sprintf("%.0f (%.0f %%)", s.Capacity, s.After/s.Capacity*100)
		}
		switch {
		case s.Down:
			note = p.Warn("down")
		case s.Over:
			note = p.Bad("OVER CAPACITY")
		}
		t.Row(s.Site, number(s.Before), number(s.After), signed(s.After-s.Before), capacity, note)
	}
	t.Flush()
	fmt.Fprintf(w, "\nmoved: %s of %s; more than %.0f km farther: %s\n", share(r.Moved, r.Load), number(r.Load), farther, share(r.Far, r.Load))
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
		t.Row(m.Client.String(), m.Service, number(m.Load), way(m.From, m.FromKM), way(m.To, m.ToKM), far)
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
	return fmt.Sprintf("%s (%.1f %%)", number(part), part/all*100)
}

// number writes a load with as many digits as it takes to tell small ones apart.
func number(v float64) string {
	if v > 0 && v < 10 && v != math.Trunc(v) {
		return fmt.Sprintf("%.2g", v)
	}
	return fmt.Sprintf("%.0f", v)
}

// signed writes a difference with its sign.
func signed(v float64) string {
	if v < 0 {
		return "-" + number(-v)
	}
	return "+" + number(v)
}
