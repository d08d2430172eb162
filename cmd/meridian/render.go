package main

import (
	"io"
	"os"

	"github.com/urfave/cli/v2"

	"github.com/meridian-gtm/meridian/cmd/internal/cmdline"
	"github.com/meridian-gtm/meridian/config"
	"github.com/meridian-gtm/meridian/director"
)

// configFlag names the file for commands that work without a node.
func configFlag() cli.Flag {
	return &cli.StringFlag{Name: "config", Aliases: []string{"c"}, EnvVars: []string{"MERIDIAN_CONFIG"},
		Value: "meridian.yaml", Usage: "configuration `FILE`"}
}

func renderCommand() *cli.Command {
	flags := func(more ...cli.Flag) []cli.Flag {
		return append([]cli.Flag{
			&cli.StringFlag{Name: "site", Usage: "`SITE` whose directors it is for (required)"},
			&cli.StringFlag{Name: "out", Usage: "write to `FILE`; default: standard output"},
			configFlag(),
		}, more...)
	}
	return &cli.Command{
		Name:  "render",
		Usage: "write the configuration of a site's directors",
		Description: "The section sites.NAME.directors of the configuration says what they are.\n\n" +
			"Examples:\n" +
			"  meridian render keepalived --site eu-west --director a --out keepalived.conf\n" +
			"  meridian render haproxy --site eu-west | haproxy -c -f /dev/stdin",
		Subcommands: []*cli.Command{
			{
				Name: "keepalived", Usage: "VRRP, and the virtual servers of IPVS",
				Description: "Examples:\n  meridian render keepalived --site eu-west --director b",
				Flags:       flags(&cli.StringFlag{Name: "director", Value: "a", Usage: "which of the two: `NAME` a or b"}),
				Action: func(c *cli.Context) error {
					return render(c, func(cfg *config.Config) (string, error) {
						return director.Keepalived(cfg, c.String("site"), c.String("director"))
					})
				},
			},
			{
				Name: "haproxy", Usage: "the same for both directors, of sites whose mode is haproxy",
				Description: "Examples:\n  meridian render haproxy --site eu-west --out haproxy.cfg",
				Flags:       flags(),
				Action: func(c *cli.Context) error {
					return render(c, func(cfg *config.Config) (string, error) { return director.HAProxy(cfg, c.String("site")) })
				},
			},
		},
		Action: func(c *cli.Context) error {
			if name := c.Args().First(); name != "" {
				return cmdline.Usagef("render: unknown command %q", name)
			}
			return cli.ShowSubcommandHelp(c)
		},
	}
}

func render(c *cli.Context, make func(*config.Config) (string, error)) error {
	if err := cmdline.WantArgs(c); err != nil {
		return err
	}
	if c.String("site") == "" {
		return cmdline.Usagef("%s: --site: want the name of a site", c.Command.FullName())
	}
	cfg, err := config.Load(c.String("config"))
	if err != nil {
		return err
	}
	text, err := make(cfg)
	if err != nil {
		return err
	}
	if path := c.String("out"); path != "" {
		return os.WriteFile(path, []byte(text), 0o600) // it may hold a password
	}
	_, err = io.WriteString(c.App.Writer, text)
	return err
}
