package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/meridian-gtm/meridian/cmd/internal/cmdline"
	"github.com/meridian-gtm/meridian/cmd/internal/terminal"
	"github.com/meridian-gtm/meridian/control"
	"github.com/meridian-gtm/meridian/health"
	"github.com/meridian-gtm/meridian/replication"
)

func statusCommand() *cli.Command {
	return &cli.Command{
		Name:  "status",
		Usage: "show what a node holds true: sites, votes, services, members, overrides, alarms",
		Description: "Examples:\n" +
			"  meridian status\n" +
			"  meridian status --api 10.0.0.5:8053\n" +
			"  meridian status --json | jq -r '.sites[] | select(.level!=\"up\") | .site'",
		Flags: []cli.Flag{apiFlag(), jsonFlag()},
		Action: func(c *cli.Context) error {
			return withStatus(c, func(w io.Writer, s *control.Status) error {
				if c.Bool("json") {
					return cmdline.WriteJSON(w, s)
				}
				return printStatus(w, terminal.PaintFor(w), s)
			})
		},
	}
}

func sitesCommand() *cli.Command {
	return &cli.Command{
		Name:  "sites",
		Usage: "show every site with each observer's opinion",
		Description: "Examples:\n" +
			"  meridian sites\n" +
			"  meridian sites --json",
		Flags: []cli.Flag{apiFlag(), jsonFlag()},
		Action: func(c *cli.Context) error {
			return withStatus(c, func(w io.Writer, s *control.Status) error {
				if c.Bool("json") {
					return cmdline.WriteJSON(w, s.Sites)
				}
				return printSites(w, terminal.PaintFor(w), s)
			})
		},
	}
}

func membersCommand() *cli.Command {
	return &cli.Command{
		Name:  "members",
		Usage: "show the nodes of the fleet as this node hears them",
		Description: "Examples:\n" +
			"  meridian members\n" +
			"  meridian members --json",
		Flags: []cli.Flag{apiFlag(), jsonFlag()},
		Action: func(c *cli.Context) error {
			return withStatus(c, func(w io.Writer, s *control.Status) error {
				if c.Bool("json") {
					return cmdline.WriteJSON(w, s.Members)
				}
				return printMembers(w, terminal.PaintFor(w), s.Members)
			})
		},
	}
}

func withStatus(c *cli.Context, show func(io.Writer, *control.Status) error) error {
	if err := cmdline.WantArgs(c); err != nil {
		return err
	}
	client, err := clientOf(c)
	if err != nil {
		return err
	}
	s, err := client.Status(c.Context)
	if err != nil {
		return err
	}
	return show(c.App.Writer, s)
}

func printStatus(w io.Writer, p terminal.Paint, s *control.Status) error {
	fmt.Fprintf(w, "%s (%s)  %s\n", p.Bold(s.Node), s.Datacenter, s.Summary)
	fmt.Fprintf(w, "mode %s  epoch %s  config %s  up %s  version %s\n",
		s.Mode, s.Epoch, s.Config.Hash, ago(time.Since(s.Started)), s.Version)
	for _, a := range s.Alarms {
		fmt.Fprintf(w, "%s %s\n", p.Bad("ALARM"), a)
	}
	if s.Config.LastError != "" {
		fmt.Fprintf(w, "%s last reload was refused, the configuration of %s still runs:\n%s\n",
			p.Warn("CONFIG"), s.Config.Loaded.Format(time.RFC3339), indent(s.Config.LastError))
	}
	fmt.Fprintln(w)
	t := terminal.NewTable(w, "SITE", "DATACENTER", "STATE", "WEIGHT", "FOR", "VOTES", "WHY")
	for _, site := range s.Sites {
		v := worstOf(site)
		t.Row(site.Site, site.Datacenter, level(p, site.Level), percent(site.Weight), ago(v.Age), votes(v.Votes), why(site, v))
	}
	t.Flush()
	fmt.Fprintln(w)
	t = terminal.NewTable(w, "SERVICE", "FAMILY", "AVAILABLE", "CAPACITY", "")
	for _, svc := range s.Services {
		note := ""
		if svc.AllDown {
			note = p.Bad("all-down policy answers")
		}
		t.Row(svc.Service, svc.Family, fmt.Sprintf("%d/%d %s", len(svc.Available), svc.Total, strings.Join(svc.Available, " ")),
			capacity(svc.Capacity, svc.CapacityTotal), note)
	}
	t.Flush()
	fmt.Fprintln(w)
	if err := printMembers(w, p, s.Members); err != nil {
		return err
	}
	if len(s.Override) > 0 {
		fmt.Fprintln(w)
		return printOverrides(w, s.Override)
	}
	return nil
}

func printSites(w io.Writer, p terminal.Paint, s *control.Status) error {
	for i, site := range s.Sites {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "%s  %s  weight %s\n", p.Bold(site.Site), level(p, site.Level), percent(site.Weight))
		for _, tv := range site.Targets {
			fmt.Fprintf(w, "  %s: %s\n", tv.Target, tv.Verdict.Reason)
		}
		t := terminal.NewTable(w, "  OBSERVER", "DATACENTER", "TARGET", "STATE", "FOR", "HEARD", "RTT", "WHY")
		for _, o := range site.Observers {
			t.Row("  "+o.Node, o.Datacenter, o.Target.Check+"/"+o.Target.Family.String(), o.State, ago(o.Age),
				ago(o.Silent)+" ago", o.RTT.Round(100*time.Microsecond).String(), o.Reason)
		}
		t.Flush()
	}
	return nil
}

func printMembers(w io.Writer, p terminal.Paint, members []control.Member) error {
	t := terminal.NewTable(w, "NODE", "DATACENTER", "GOSSIP", "MODE", "EPOCH", "CONFIG", "HEARD", "CLOCK", "DNS")
	for _, m := range members {
		name, heard, skew := m.Node, ago(m.Silent)+" ago", m.ClockSkew.Round(time.Millisecond).String()
		switch {
		case m.Self:
			name, heard, skew = m.Node+" *", "-", "-"
		case m.Silent == 0:
			heard = "never"
		}
		state := p.Good(m.State)
		if m.State != "alive" {
			state = p.Bad(m.State)
		}
		t.Row(name, m.Datacenter, state, m.Mode, m.Epoch, m.ConfigHash, heard, skew, m.DNS)
	}
	t.Flush()
	return nil
}

func printOverrides(w io.Writer, list []replication.Override) error {
	t := terminal.NewTable(w, "OVERRIDE", "SITE", "SERVICE", "WHO", "UNTIL", "WHY")
	for _, o := range list {
		action := string(o.Action)
		if o.Action == replication.Weight {
			action = fmt.Sprintf("weight %d%%", o.Percent)
		}
		t.Row(action, o.Site, orAll(o.Service), o.Who, until(o.Expires), o.Why)
	}
	t.Flush()
	return nil
}

// worstOf returns the verdict that makes a site's level.
func worstOf(site control.SiteStatus) health.Verdict {
	var worst health.Verdict
	for i, tv := range site.Targets {
		if i == 0 || tv.Verdict.Level == site.Level && worst.Level != site.Level {
			worst = tv.Verdict
		}
	}
	return worst
}

func why(site control.SiteStatus, v health.Verdict) string {
	parts := make([]string, 0, 2)
	for _, o := range site.Overrides {
		parts = append(parts, fmt.Sprintf("%s by %s: %s", o.Action, o.Who, o.Why))
	}
	if v.Reason != "" {
		parts = append(parts, v.Reason)
	}
	return strings.Join(parts, "; ")
}

// votes draws one mark per datacenter: up, split, down, no say; the site's own in brackets.
func votes(list []health.Vote) string {
	var b strings.Builder
	for _, v := range list {
		mark := "?"
		if v.Counted {
			mark = string("-~+"[v.U])
		}
		if v.Own {
			mark = "(" + mark + ")"
		}
		b.WriteString(mark)
	}
	if b.Len() == 0 {
		return "-"
	}
	return b.String()
}

func level(p terminal.Paint, l health.Level) string {
	switch l {
	case health.Up:
		return p.Good("up")
	case health.Down:
		return p.Bad("DOWN")
	case health.Partial:
		return p.Warn("partial")
	default:
		return p.Warn("unknown")
	}
}

func percent(permille uint16) string {
	if permille%10 == 0 {
		return fmt.Sprintf("%d%%", permille/10)
	}
	return fmt.Sprintf("%.1f%%", float64(permille)/10)
}

func capacity(now, total uint64) string {
	if total == 0 {
		return "-"
	}
	return fmt.Sprintf("%d of %d", now, total)
}

func ago(d time.Duration) string {
	switch {
	case d < time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	default:
		return d.Round(time.Second).String()
	}
}

func until(unixMS int64) string {
	if unixMS == 0 {
		return "cleared"
	}
	return time.UnixMilli(unixMS).UTC().Format(time.RFC3339)
}

func orAll(service string) string {
	if service == "" {
		return "every"
	}
	return service
}

func indent(s string) string { return "  " + strings.ReplaceAll(s, "\n", "\n  ") }
