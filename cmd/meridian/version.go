package main

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/meridian-gtm/meridian/cmd/internal/cmdline"
	"github.com/meridian-gtm/meridian/node"
)

func versionCommand() *cli.Command {
	return &cli.Command{
		Name: "version", Usage: "print the version of this program",
		Description: "Examples:\n  meridian version --json",
		Flags:       []cli.Flag{jsonFlag()},
		Action: func(c *cli.Context) error {
			v := node.BuildVersion()
			if c.Bool("json") {
				return cmdline.WriteJSON(c.App.Writer, v)
			}
			fmt.Fprintf(c.App.Writer, "meridian %s %s\n", v.Version, v.Go)
			return nil
		},
	}
}
