package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/meridian-gtm/meridian/cmd/internal/cmdline"
	"github.com/meridian-gtm/meridian/cmd/internal/terminal"
	"github.com/meridian-gtm/meridian/control"
)

func eventsCommand() *cli.Command {
	return &cli.Command{
		Name:  "events",
		Usage: "show what happened on a node: verdicts, overrides, reloads, members, alarms",
		Description: "With --json one event a line.\n\nExamples:\n" +
			"  meridian events\n" +
			"  meridian events --follow --json | jq -c 'select(.kind==\"verdict\")'",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "follow", Aliases: []string{"f"}, Usage: "go on until interrupted"},
			apiFlag(), jsonFlag(),
		},
		Action: func(c *cli.Context) error {
			if err := cmdline.WantArgs(c); err != nil {
				return err
			}
			client, err := clientOf(c)
			if err != nil {
				return err
			}
			p, enc := terminal.PaintFor(c.App.Writer), json.NewEncoder(c.App.Writer)
			err = client.Events(c.Context, 0, c.Bool("follow"), func(e control.Event) error {
				if c.Bool("json") {
					return enc.Encode(e)
				}
				_, err := fmt.Fprintf(c.App.Writer, "%s  %-8s  %s\n", e.Time.Local().Format("15:04:05.000"), p.Bold(e.Kind), e.Text)
				return err
			})
			if errors.Is(err, context.Canceled) {
				return nil
			}
			return err
		},
	}
}
