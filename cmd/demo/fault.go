package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/meridian-gtm/meridian/cmd/internal/cmdline"
	"github.com/meridian-gtm/meridian/cmd/internal/terminal"
	"github.com/meridian-gtm/meridian/demo/world"
)

func controlFlag() cli.Flag {
	return &cli.StringFlag{Name: "control", EnvVars: []string{"MERIDIAN_DEMO"}, Value: "127.0.0.1:8082",
		Usage: "fault control of the running demo, `ADDRESS`"}
}

func jsonFlag() cli.Flag { return &cli.BoolFlag{Name: "json", Usage: "print JSON for machines"} }

func faultCommand() *cli.Command {
	var kinds []string
	for _, k := range world.Kinds() {
		kinds = append(kinds, string(k))
	}
	return &cli.Command{
		Name:      "fault",
		Usage:     "break something in a running demo; it heals by itself",
		ArgsUsage: "KIND SITE [TO]",
		Description: "Kinds: " + strings.Join(kinds, ", ") + "\n\n" +
			"Examples:\n" +
			"  demo fault lose eu-west --for 60s\n" +
			"  demo fault kill-director eu-west\n" +
			"  demo fault slow us-east --delay 600ms\n" +
			"  demo fault cut-path ap-south eu-west\n" +
			"  demo fault cut-gossip eu-west",
		Flags: []cli.Flag{
			&cli.DurationFlag{Name: "for", Value: world.DefaultFor, Usage: "heals after `DURATION`, at most 1h"},
			&cli.DurationFlag{Name: "delay", Usage: "slow: by `DURATION`"},
			&cli.IntFlag{Name: "percent", Usage: "lossy: `PERCENT` of packets"},
			&cli.BoolFlag{Name: "refuse", Usage: "lose: refuse connections instead of leaving them without an answer"},
			controlFlag(), jsonFlag(),
		},
		Action: func(c *cli.Context) error {
			if c.NArg() < 2 || c.NArg() > 3 {
				return cmdline.Usagef("fault: want KIND SITE [TO], got %d arguments", c.NArg())
			}
			client, err := clientOf(c)
			if err != nil {
				return err
			}
			f, err := client.Inject(c.Context, world.Fault{
				Kind: world.Kind(c.Args().Get(0)), Site: c.Args().Get(1), To: c.Args().Get(2), For: c.Duration("for"),
				Delay: c.Duration("delay"), Percent: c.Int("percent"), Refuse: c.Bool("refuse"),
			})
			if err != nil {
				return err
			}
			if c.Bool("json") {
				return cmdline.WriteJSON(c.App.Writer, f)
			}
			fmt.Fprintf(c.App.Writer, "fault %d: %s; heals at %s, or with: demo heal %d\n", f.ID, f, f.Until.Local().Format(time.TimeOnly), f.ID)
			return nil
		},
	}
}

func healCommand() *cli.Command {
	return &cli.Command{
		Name: "heal", Usage: "end one fault, or all", ArgsUsage: "[ID]",
		Description: "Examples:\n  demo heal\n  demo heal 3",
		Flags:       []cli.Flag{controlFlag()},
		Action: func(c *cli.Context) error {
			client, err := clientOf(c)
			if err != nil {
				return err
			}
			switch c.NArg() {
			case 0:
				n, err := client.HealAll(c.Context)
				if err != nil {
					return err
				}
				fmt.Fprintf(c.App.Writer, "healed %d faults\n", n)
				return nil
			case 1:
				id, err := strconv.Atoi(c.Args().First())
				if err != nil {
					return cmdline.Usagef("heal: fault %q: want a number, see: demo faults", c.Args().First())
				}
				return client.Heal(c.Context, id)
			default:
				return cmdline.Usagef("heal: want at most one fault, got %d", c.NArg())
			}
		},
	}
}

func faultsCommand() *cli.Command {
	return &cli.Command{
		Name: "faults", Usage: "list what is broken",
		Description: "Examples:\n  demo faults --json",
		Flags:       []cli.Flag{controlFlag(), jsonFlag()},
		Action: func(c *cli.Context) error {
			if err := cmdline.WantArgs(c); err != nil {
				return err
			}
			client, err := clientOf(c)
			if err != nil {
				return err
			}
			faults, err := client.Faults(c.Context)
			if err != nil {
				return err
			}
			if c.Bool("json") {
				return cmdline.WriteJSON(c.App.Writer, faults)
			}
			if len(faults) == 0 {
				fmt.Fprintln(c.App.Writer, "nothing is broken")
				return nil
			}
			t := terminal.NewTable(c.App.Writer, "ID", "FAULT", "HEALS IN")
			for _, f := range faults {
				t.Row(strconv.Itoa(f.ID), f.String(), time.Until(f.Until).Round(time.Second).String())
			}
			t.Flush()
			return nil
		},
	}
}

func clientOf(c *cli.Context) (*world.Client, error) {
	addr, err := netip.ParseAddrPort(c.String("control"))
	if err != nil {
		return nil, cmdline.Usagef("control %q: want ADDRESS:PORT", c.String("control"))
	}
	return world.NewClient(addr), nil
}

func hintFor(err error) string {
	if _, ok := errors.AsType[*net.OpError](err); ok && errors.Is(err, syscall.ECONNREFUSED) {
		return "is the demo running? start it with: go run ./cmd/demo"
	}
	return ""
}
