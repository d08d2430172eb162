package main

import (
	"context"
	"net"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/meridian-gtm/meridian/cmd/internal/cmdline"
	"github.com/meridian-gtm/meridian/drill"
	"github.com/meridian-gtm/meridian/drill/compose"
)

// drillDelayCommand is the part of the world compose that runs inside, beside a director. It is of no use elsewhere.
func drillDelayCommand() *cli.Command {
	return &cli.Command{
		Name: "delay", Hidden: true, Usage: "pass redirected connections on late; run by drills",
		Description: "Examples:\n  meridian drill delay --listen 0.0.0.0:17171 --delay 400ms --for 30s",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "listen", Required: true, Usage: "`ADDRESS` to which a packet filter redirects"},
			&cli.DurationFlag{Name: "delay", Required: true, Usage: "of what clients send; at most 1m"},
			&cli.DurationFlag{Name: "for", Required: true, Usage: "how long"},
		},
		Action: func(c *cli.Context) error {
			if err := cmdline.WantArgs(c); err != nil {
				return err
			}
			if d := c.Duration("delay"); d <= 0 || d > time.Minute {
				return cmdline.Usagef("delay %v: want more than 0s, 1m at most", d)
			}
			if d := c.Duration("for"); d <= 0 || d > 2*drill.MaxFor {
				return cmdline.Usagef("for %v: want more than 0s, %v at most", d, 2*drill.MaxFor)
			}
			listen, err := net.Listen("tcp", c.String("listen"))
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(c.Context, c.Duration("for"))
			defer cancel()
			return compose.Delay(ctx, listen, c.Duration("delay"))
		},
	}
}
