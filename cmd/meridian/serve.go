package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/urfave/cli/v2"

	"github.com/meridian-gtm/meridian/cmd/internal/cmdline"
	"github.com/meridian-gtm/meridian/config"
	"github.com/meridian-gtm/meridian/node"
)

func serveCommand() *cli.Command {
	return &cli.Command{
		Name:  "serve",
		Usage: "run a node: DNS, probes, gossip and the control API",
		Description: "SIGHUP reads the configuration, zones, keys and geo files again, as meridian reload does; SIGTERM stops\n" +
			"after the queries under way.\n\n" +
			"Examples:\n" +
			"  meridian serve --config /etc/meridian/meridian.yaml\n" +
			"  meridian serve --config fleet.yaml --name fra-1 --datacenter eu-west",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "config", Aliases: []string{"c"}, EnvVars: []string{"MERIDIAN_CONFIG"},
				Value: "meridian.yaml", Usage: "configuration `FILE`"},
			&cli.StringFlag{Name: "name", EnvVars: []string{"MERIDIAN_NAME"}, Usage: "`NAME` instead of node.name"},
			&cli.StringFlag{Name: "datacenter", EnvVars: []string{"MERIDIAN_DATACENTER"}, Usage: "`NAME` instead of node.datacenter"},
			&cli.StringFlag{Name: "data-dir", EnvVars: []string{"MERIDIAN_DATA_DIR"}, Usage: "`DIR` instead of node.data_dir"},
			&cli.BoolFlag{Name: "log-json", EnvVars: []string{"MERIDIAN_LOG_JSON"}, Usage: "log JSON lines"},
			&cli.BoolFlag{Name: "debug", EnvVars: []string{"MERIDIAN_DEBUG"}, Usage: "log more"},
		},
		Action: func(c *cli.Context) error {
			if err := cmdline.WantArgs(c); err != nil {
				return err
			}
			dataDir := c.String("data-dir")
			if dataDir != "" {
				// A path in the file begins at the file, one on the command line where the user stands.
				var err error
				if dataDir, err = filepath.Abs(dataDir); err != nil {
					return err
				}
			}
			// Before anything runs: a SIGHUP that comes early would end the process.
			hup := make(chan os.Signal, 1)
			signal.Notify(hup, syscall.SIGHUP)
			defer signal.Stop(hup)
			logger := newLogger(c)
			n, err := node.New(node.Options{
				ConfigFile: c.String("config"),
				Overrides: config.Overrides{
					NodeName: c.String("name"), Datacenter: c.String("datacenter"), DataDir: dataDir,
				},
				Logger: logger,
			})
			if err != nil {
				return err
			}
			ctx, stop := context.WithCancel(c.Context)
			var reloads sync.WaitGroup
			defer reloads.Wait()
			defer stop()
			reloads.Go(func() { reloadOn(ctx, hup, n, logger) })
			return n.Run(ctx)
		},
	}
}

// reloadOn reloads n for each signal until ctx ends.
func reloadOn(ctx context.Context, hup <-chan os.Signal, n *node.Node, logger *slog.Logger) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hup:
		}
		if _, err := n.Reload(ctx); err != nil && ctx.Err() == nil {
			logger.Error("reload refused, the running configuration stays", "err", err)
		}
	}
}

func newLogger(c *cli.Context) *slog.Logger {
	level := slog.LevelInfo
	if c.Bool("debug") {
		level = slog.LevelDebug
	}
	opts := &slog.HandlerOptions{Level: level}
	if c.Bool("log-json") {
		return slog.New(slog.NewJSONHandler(c.App.ErrWriter, opts))
	}
	return slog.New(slog.NewTextHandler(c.App.ErrWriter, opts))
}
