package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/meridian-gtm/meridian/cmd/internal/cmdline"
)

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	app := newApp(stdout, stderr)
	return cmdline.Finish("shop", app.RunContext(ctx, cmdline.FlagsFirst(app, args)), nil, stderr)
}

func newApp(stdout, stderr io.Writer) *cli.App {
	return cmdline.Prepare(&cli.App{
		Name:  "shop",
		Usage: "a web shop that runs in several regions and loses nothing",
		Description: "Examples:\n" +
			"  shop serve\n" +
			"  shop serve --roles web,cart --peer order=http://127.0.0.1:8001 --listen 127.0.0.1:8000 --db postgres://localhost/shop\n" +
			"  shop load --target http://127.0.0.1:8000 --log acked.jsonl --for 30s\n" +
			"  shop check --acked acked.jsonl\n" +
			"  shop traveler --dns 127.0.0.1:5300 --port 8000 --city frankfurt=198.51.100.0/26",
		Writer: stdout, ErrWriter: stderr,
		Action: func(c *cli.Context) error {
			if name := c.Args().First(); name != "" {
				return cmdline.Usagef("unknown command %q", name)
			}
			return cli.ShowAppHelp(c)
		},
		Commands: []*cli.Command{serveCommand(), checkCommand(), loadCommand(), initCommand(), schemaCommand(), probeCommand(), travelerCommand()},
	})
}

// databaseFlags say where the database is. databaseOf reads them.
func databaseFlags(more ...cli.Flag) []cli.Flag {
	return append([]cli.Flag{
		&cli.StringFlag{
			Name: "db", EnvVars: []string{"SHOP_DB"}, Value: "sqlite:shop.sqlite",
			Usage: "the database: sqlite:PATH, postgres://... or cockroach://..., as `URL`",
		},
		&cli.StringFlag{Name: "db-file", EnvVars: []string{"SHOP_DB_FILE"}, Usage: "`FILE` that has the URL instead"},
	}, more...)
}

func databaseOf(c *cli.Context) (string, error) {
	path := c.String("db-file")
	if path == "" {
		return c.String("db"), nil
	}
	if c.IsSet("db") {
		return "", cmdline.Usagef("--db and --db-file: want one of them")
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	url := strings.TrimSpace(string(b))
	if url == "" {
		return "", fmt.Errorf("%s: empty: want the URL of a database", path)
	}
	return url, nil
}

func regionsFlag() cli.Flag {
	return &cli.StringSliceFlag{
		Name: "regions", EnvVars: []string{"SHOP_REGIONS"}, Value: cli.NewStringSlice("us-east", "eu-west", "ap-south"),
		Usage: "all regions of the shop, the primary one first, as `LIST`",
	}
}
