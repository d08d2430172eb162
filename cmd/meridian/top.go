package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/meridian-gtm/meridian/cmd/internal/cmdline"
	"github.com/meridian-gtm/meridian/cmd/internal/terminal"
	"github.com/meridian-gtm/meridian/control"
)

func topCommand() *cli.Command {
	by := []string{control.ByName, control.ByClient, control.ByType}
	return &cli.Command{
		Name:  "top",
		Usage: "show what a node is asked most: names, client networks or types",
		Description: "Counts are of a sample of the queries answered in the last one to two hours, or what dns.traffic says, and\n" +
			"stand for all of them. Client networks are at most a /24 or a /48.\n\n" +
			"Examples:\n" +
			"  meridian top\n" +
			"  meridian top --by client --limit 50\n" +
			"  meridian top --by type --json | jq '.items[] | {key, share}'",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "by", Value: control.ByName, Usage: strings.Join(by, ", ") + ", as `WHAT`"},
			&cli.IntFlag{Name: "limit", Aliases: []string{"n"}, Value: 20, Usage: "`ITEMS` to show, 1..1000"},
			apiFlag(), jsonFlag(),
		},
		Action: func(c *cli.Context) error {
			if err := cmdline.WantArgs(c); err != nil {
				return err
			}
			q := control.TopQuery{By: c.String("by"), Limit: c.Int("limit")}
			if !slices.Contains(by, q.By) {
				return cmdline.Usagef("top: --by %q: want %s", q.By, strings.Join(by, ", "))
			}
			if q.Limit < 1 || q.Limit > 1000 {
				return cmdline.Usagef("top: --limit %d: want 1..1000", q.Limit)
			}
			client, err := clientOf(c)
			if err != nil {
				return err
			}
			t, err := client.Top(c.Context, q)
			if err != nil {
				return err
			}
			if c.Bool("json") {
				return cmdline.WriteJSON(c.App.Writer, t)
			}
			printTop(c.App.Writer, t)
			return nil
		},
	}
}

func printTop(w io.Writer, t *control.Top) {
	fmt.Fprintf(w, "%s: %s queries in %v, one of %d counted\n", t.Node, about(t.Total, t.Sample), t.Until.Sub(t.Since).Round(time.Second), t.Sample)
	if len(t.Items) == 0 {
		return
	}
	fmt.Fprintln(w)
	table := terminal.NewTable(w, strings.ToUpper(t.By), "QUERIES", "SHARE")
	for _, item := range t.Items {
		table.Row(item.Key, fmt.Sprint(item.Count), fmt.Sprintf("%.1f %%", item.Share*100))
	}
	table.Flush()
	if t.Estimated {
		fmt.Fprintln(w, "there are more than the node keeps in mind: small counts are rough")
	}
}

// about writes a count that stands for a sample.
func about(n uint64, sample int) string {
	if sample == 1 {
		return fmt.Sprint(n)
	}
	return fmt.Sprint("about ", n)
}
