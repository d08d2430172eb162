package main

import (
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/meridian-gtm/meridian/cmd/internal/cmdline"
	"github.com/meridian-gtm/meridian/config"
	"github.com/meridian-gtm/meridian/node"
)

func checkCommand() *cli.Command {
	return &cli.Command{
		Name:      "check",
		Usage:     "read a configuration, its zones and its geo files, and report every fault",
		ArgsUsage: "FILE",
		Description: "Exits 0 when a node would start with the file, 1 when it would not. Warnings are no faults.\n\n" +
			"Examples:\n" +
			"  meridian check /etc/meridian/meridian.yaml\n" +
			"  meridian check --json meridian.yaml | jq '.faults[].path'",
		Flags: []cli.Flag{jsonFlag()},
		Action: func(c *cli.Context) error {
			if err := cmdline.WantArgs(c, "FILE"); err != nil {
				return err
			}
			summary, err := node.Check(c.Args().First())
			if c.Bool("json") {
				return checkJSON(c, summary, err)
			}
			if err != nil {
				fmt.Fprintln(c.App.ErrWriter, err)
				return cmdline.ErrSaid
			}
			for _, w := range summary.Warnings {
				fmt.Fprintf(c.App.ErrWriter, "warning: %s\n", w)
			}
			fmt.Fprintf(c.App.Writer, "%s: ok: %d datacenters, %d sites, %d services, %d zones, hash %s\n",
				summary.File, summary.Datacenters, summary.Sites, summary.Services, summary.Zones, summary.Hash)
			return nil
		},
	}
}

func checkJSON(c *cli.Context, summary *node.CheckSummary, err error) error {
	out := struct {
		OK      bool               `json:"ok"`
		Summary *node.CheckSummary `json:"summary,omitempty"`
		Faults  []config.Fault     `json:"faults"`
		Errors  []string           `json:"errors,omitempty"`
	}{OK: err == nil, Summary: summary, Faults: []config.Fault{}}
	var faults config.Faults
	switch {
	case errors.As(err, &faults):
		out.Faults = faults
	case err != nil:
		out.Errors = []string{err.Error()}
	}
	if e := cmdline.WriteJSON(c.App.Writer, out); e != nil {
		return e
	}
	if err != nil {
		return cmdline.ErrSaid
	}
	return nil
}
