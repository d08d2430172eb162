package main

import (
	"context"
	"errors"
	"io"

	"github.com/urfave/cli/v2"

	"github.com/meridian-gtm/meridian/cmd/internal/cmdline"
	"github.com/meridian-gtm/meridian/control"
)

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	app := newApp(stdout, stderr)
	return cmdline.Finish("meridian", app.RunContext(ctx, cmdline.FlagsFirst(app, args)), hintFor, stderr)
}

func hintFor(err error) string {
	if _, ok := errors.AsType[*control.UnreachableError](err); ok {
		return "is the node running? its api.listen is what --api or MERIDIAN_API must name"
	}
	return ""
}

func newApp(stdout, stderr io.Writer) *cli.App {
	return cmdline.Prepare(&cli.App{
		Name:  "meridian",
		Usage: "send every client to the nearest healthy datacenter",
		Description: "serve runs a node: DNS, probes, gossip and the control API in one process. The other commands\n" +
			"speak to a running node over its control API, or work on files alone (check, version).",
		Writer: stdout, ErrWriter: stderr,
		Action: func(c *cli.Context) error {
			if name := c.Args().First(); name != "" {
				return cmdline.Usagef("unknown command %q", name)
			}
			return cli.ShowAppHelp(c)
		},
		Commands: []*cli.Command{
			serveCommand(), checkCommand(), statusCommand(), sitesCommand(), membersCommand(), explainCommand(),
			drainCommand(), undrainCommand(), overrideCommand(), eventsCommand(), reloadCommand(), versionCommand(),
			drillCommand(), renderCommand(), whatifCommand(), topCommand(), pipeCommand(),
		},
	})
}

// defaultAPI is where a node listens when its configuration does not say.
const defaultAPI = "http://127.0.0.1:8053"

// apiFlag and jsonFlag are on every command that speaks to a node.
func apiFlag() cli.Flag {
	return &cli.StringFlag{
		Name: "api", EnvVars: []string{"MERIDIAN_API"}, Value: defaultAPI,
		Usage: "control API of the node to speak to, `URL`",
	}
}

func jsonFlag() cli.Flag {
	return &cli.BoolFlag{Name: "json", Usage: "print JSON for machines"}
}

func clientOf(c *cli.Context) (*control.Client, error) {
	client, err := control.NewClient(c.String("api"))
	if err != nil {
		return nil, cmdline.UsageError{Err: err}
	}
	return client, nil
}
