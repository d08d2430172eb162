package main

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/meridian-gtm/meridian/cmd/internal/cmdline"
)

func reloadCommand() *cli.Command {
	return &cli.Command{
		Name:  "reload",
		Usage: "make a node read its configuration, zones, keys and geo files again, as SIGHUP does",
		Description: "A fault leaves the running configuration as it is and is printed with its file and line. Geo files are\n" +
			"loaded in the background: status shows them, or why the old ones stay.\n\n" +
			"Examples:\n" +
			"  meridian reload\n" +
			"  meridian check /etc/meridian/meridian.yaml && meridian reload",
		Flags: []cli.Flag{apiFlag(), jsonFlag()},
		Action: func(c *cli.Context) error {
			if err := cmdline.WantArgs(c); err != nil {
				return err
			}
			client, err := clientOf(c)
			if err != nil {
				return err
			}
			r, err := client.Reload(c.Context)
			if err != nil {
				return err
			}
			if c.Bool("json") {
				return cmdline.WriteJSON(c.App.Writer, r)
			}
			changed := "nothing changed"
			if r.Changed {
				changed = "changed"
			}
			fmt.Fprintf(c.App.Writer, "reloaded: %s, config %s\n", changed, r.Hash)
			return nil
		},
	}
}
