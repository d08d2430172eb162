package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/meridian-gtm/meridian/cmd/internal/cmdline"
	"github.com/meridian-gtm/meridian/cmd/internal/terminal"
	"github.com/meridian-gtm/meridian/control"
	"github.com/meridian-gtm/meridian/replication"
)

// changeFlags are on every command that changes what is answered.
func changeFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "why", Usage: "`REASON`, kept with the override (required)"},
		&cli.StringFlag{Name: "who", EnvVars: []string{"MERIDIAN_WHO"}, Usage: "`USER` on whose behalf; default: your account"},
		&cli.StringFlag{Name: "until", Usage: "`WHEN` it ends by itself: 30m, 2h, 7d or 2026-12-24T18:00:00Z; default: when cleared"},
		&cli.StringFlag{Name: "service", Usage: "only for this `SERVICE`; default: every service"},
		&cli.BoolFlag{Name: "dry-run", Usage: "show what would change, change nothing"},
		&cli.BoolFlag{Name: "force", Usage: "even if it leaves a service without an available site"},
		&cli.StringFlag{Name: "ack", Value: string(control.AckMajority), Usage: "wait until it is in force on `LEVEL`: local, majority or all nodes"},
		&cli.DurationFlag{Name: "wait", Value: 5 * time.Second, Usage: "at most so long for --ack, `DURATION`"},
		apiFlag(), jsonFlag(),
	}
}

func drainCommand() *cli.Command {
	return &cli.Command{
		Name:      "drain",
		Usage:     "take a site out of every answer, on every node",
		ArgsUsage: "SITE",
		Description: "New answers leave the site out at once; clients that hold an older one come for its TTL, and the\n" +
			"command says until when. Refused when a service would be left without an available site.\n\n" +
			"Examples:\n" +
			"  meridian drain eu-west --why \"disk swap, CHG-1042\" --until 2h\n" +
			"  meridian drain eu-west --why \"disk swap\" --dry-run\n" +
			"  meridian drain eu-west --service api --why \"bad deploy\" --ack all",
		Flags: changeFlags(),
		Action: func(c *cli.Context) error {
			return change(c, replication.Override{Action: replication.Drain})
		},
	}
}

func undrainCommand() *cli.Command {
	return &cli.Command{
		Name:      "undrain",
		Usage:     "end a drain",
		ArgsUsage: "SITE",
		Description: "Examples:\n" +
			"  meridian undrain eu-west --why \"disk swapped\"\n" +
			"  meridian undrain eu-west --service api --why \"rolled back\"",
		Flags: changeFlags(),
		Action: func(c *cli.Context) error {
			return change(c, replication.Override{Action: replication.Drain, Cleared: true})
		},
	}
}

func overrideCommand() *cli.Command {
	set := func(action replication.Action, usage, example string) *cli.Command {
		return &cli.Command{
			Name: string(action), Usage: usage, ArgsUsage: "SITE",
			Description: "Examples:\n  meridian override " + example,
			Flags:       changeFlags(),
			Action: func(c *cli.Context) error {
				return change(c, replication.Override{Action: action})
			},
		}
	}
	return &cli.Command{
		Name:  "override",
		Usage: "put an operator's word above the probes' verdict",
		Description: "For one site, the first of these that is set wins:\n" +
			"freeze, isolate, force-up, drain, weight, the probes' verdict.\n\n" +
			"Examples:\n" +
			"  meridian override list\n" +
			"  meridian override freeze eu-west --why \"probe rollout\" --until 30m\n" +
			"  meridian override clear freeze eu-west --why \"rollout done\"",
		Subcommands: []*cli.Command{
			overrideListCommand(),
			set(replication.Freeze, "hold the site's verdict as it is now", "freeze eu-west --why \"probe rollout\" --until 30m"),
			set(replication.Isolate, "never answer the site, not even when everything is down",
				"isolate eu-west --why \"data is behind\""),
			set(replication.ForceUp, "answer the site whatever the probes say", "force-up eu-west --why \"probes are wrong\" --until 1h"),
			set(replication.Drain, "the same as meridian drain", "drain eu-west --why \"disk swap\" --until 2h"),
			weightCommand(), clearCommand(),
		},
		Action: func(c *cli.Context) error {
			if name := c.Args().First(); name != "" {
				return cmdline.Usagef("override: unknown command %q", name)
			}
			return cli.ShowSubcommandHelp(c)
		},
	}
}

func weightCommand() *cli.Command {
	return &cli.Command{
		Name: "weight", Usage: "give the site a percentage of its configured share", ArgsUsage: "SITE PERCENT",
		Description: "Examples:\n  meridian override weight eu-west 10 --why \"canary\" --until 1h",
		Flags:       changeFlags(),
		Action: func(c *cli.Context) error {
			if err := cmdline.WantArgs(c, "SITE", "PERCENT"); err != nil {
				return err
			}
			percent, err := strconv.Atoi(strings.TrimSuffix(c.Args().Get(1), "%"))
			if err != nil || percent < 0 || percent > 1000 {
				return cmdline.Usagef("weight %q: want 0..1000 percent", c.Args().Get(1))
			}
			return submit(c, c.Args().First(), replication.Override{Action: replication.Weight, Percent: percent})
		},
	}
}

func clearCommand() *cli.Command {
	return &cli.Command{
		Name: "clear", Usage: "end an override", ArgsUsage: "ACTION SITE",
		Description: "Examples:\n  meridian override clear force-up eu-west --why \"probes fixed\"",
		Flags:       changeFlags(),
		Action: func(c *cli.Context) error {
			if err := cmdline.WantArgs(c, "ACTION", "SITE"); err != nil {
				return err
			}
			return submit(c, c.Args().Get(1), replication.Override{Action: replication.Action(c.Args().First()), Cleared: true})
		},
	}
}

func overrideListCommand() *cli.Command {
	return &cli.Command{
		Name: "list", Usage: "show the overrides in force",
		Description: "Examples:\n  meridian override list --json",
		Flags:       []cli.Flag{apiFlag(), jsonFlag()},
		Action: func(c *cli.Context) error {
			return withStatus(c, func(w io.Writer, s *control.Status) error {
				if c.Bool("json") {
					return cmdline.WriteJSON(w, s.Override)
				}
				if len(s.Override) == 0 {
					fmt.Fprintln(w, "no overrides in force")
					return nil
				}
				return printOverrides(w, s.Override)
			})
		},
	}
}

func change(c *cli.Context, o replication.Override) error {
	if err := cmdline.WantArgs(c, "SITE"); err != nil {
		return err
	}
	return submit(c, c.Args().First(), o)
}

func submit(c *cli.Context, site string, o replication.Override) error {
	if c.String("why") == "" {
		return cmdline.Usagef("%s: --why: want a reason", c.Command.FullName())
	}
	o.Site, o.Service, o.Why, o.Who = site, c.String("service"), c.String("why"), c.String("who")
	if o.Who == "" {
		o.Who = account()
	}
	if s := c.String("until"); s != "" {
		t, err := parseUntil(s, time.Now())
		if err != nil {
			return cmdline.UsageError{Err: err}
		}
		o.Expires = t.UnixMilli()
	}
	client, err := clientOf(c)
	if err != nil {
		return err
	}
	out, err := client.Apply(c.Context, control.Change{
		Override: o, DryRun: c.Bool("dry-run"), Force: c.Bool("force"),
		Ack: control.Ack(c.String("ack")), Wait: c.Duration("wait"),
	})
	if err != nil {
		return err
	}
	if c.Bool("json") {
		if err := cmdline.WriteJSON(c.App.Writer, out); err != nil {
			return err
		}
	} else {
		printOutcome(c.App.Writer, terminal.PaintFor(c.App.Writer), out, c.Bool("dry-run"))
	}
	switch {
	case out.Refused != "":
		return cmdline.HintedError{Err: fmt.Errorf("refused: %s", out.Refused), Hint: "--force does it all the same; --dry-run shows the effect"}
	case out.Applied && !out.Acked:
		return errors.New("in force here and durable, but not yet on as many nodes as --ack asks; it goes on spreading")
	}
	return nil
}

func printOutcome(w io.Writer, p terminal.Paint, o *control.Outcome, dryRun bool) {
	if len(o.Pools) == 0 {
		fmt.Fprintln(w, "no service's available sites change")
	}
	for _, c := range o.Pools {
		fmt.Fprintf(w, "%s %s: %s -> %s", c.Service, c.Family, list(c.Before), list(c.After))
		if c.CapacityBefore > 0 {
			fmt.Fprintf(w, "  capacity %d -> %d", c.CapacityBefore, c.CapacityAfter)
		}
		fmt.Fprintln(w)
	}
	switch {
	case dryRun:
		fmt.Fprintln(w, "dry run: nothing was changed")
	case o.Applied:
		verb, end := "set", ", until "+until(o.Override.Expires)
		if o.Override.Cleared {
			verb, end = "cleared", ""
		}
		fmt.Fprintf(w, "%s: %s %s for %s service%s\n", p.Good(verb), o.Override.Action, o.Override.Site,
			orAll(o.Override.Service), end)
		for _, n := range o.Nodes {
			state := p.Good("in force")
			switch {
			case !n.Applied && !n.Alive:
				state = p.Warn("not heard from: follows when it is back")
			case !n.Applied:
				state = p.Warn("not yet")
			}
			fmt.Fprintf(w, "  %s: %s\n", n.Node, state)
		}
		if !o.SafeAfter.IsZero() {
			fmt.Fprintf(w, "clients that obey TTL hold no earlier answer of these nodes after %s\n", o.SafeAfter.UTC().Format(time.RFC3339))
		}
	}
}

func list(sites []string) string {
	if len(sites) == 0 {
		return "none"
	}
	return strings.Join(sites, " ")
}

// account is the person at the keyboard, also behind sudo.
func account() string {
	if name := os.Getenv("SUDO_USER"); name != "" {
		return name
	}
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return "unknown"
}

// parseUntil reads a duration from now (with d for days) or an RFC 3339 time in the future.
func parseUntil(s string, now time.Time) (time.Time, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && n > 0 && n <= 3650 {
			return now.AddDate(0, 0, n), nil
		}
	}
	if d, err := time.ParseDuration(s); err == nil && d > 0 {
		return now.Add(d), nil
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		if !t.After(now) {
			return time.Time{}, fmt.Errorf("until %q: is past: want a time to come", s)
		}
		return t, nil
	}
	return time.Time{}, fmt.Errorf("until %q: want a duration such as 30m, 2h or 7d, or a time such as 2026-12-24T18:00:00Z", s)
}
