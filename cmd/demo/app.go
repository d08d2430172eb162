package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"

	"github.com/urfave/cli/v2"

	"github.com/meridian-gtm/meridian/cmd/internal/cmdline"
	"github.com/meridian-gtm/meridian/demo/lab"
	"github.com/meridian-gtm/meridian/demo/tour"
)

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	app := newApp(stdout, stderr)
	return cmdline.Finish("demo", app.RunContext(ctx, cmdline.FlagsFirst(app, args)), hintFor, stderr)
}

func newApp(stdout, stderr io.Writer) *cli.App {
	return cmdline.Prepare(&cli.App{
		Name:  "demo",
		Usage: "three datacenters and their traffic manager in one process",
		Description: "Without a command it runs until q or Ctrl-C, with a live view on a terminal. The meridian command\n" +
			"works against it unchanged; faults can be injected from another terminal with: demo fault ...\n\n" +
			"Examples:\n" +
			"  go run ./cmd/demo\n" +
			"  go run ./cmd/demo --tour\n" +
			"  go run ./cmd/demo fault lose eu-west --for 30s\n" +
			"  go run ./cmd/demo heal",
		Writer: stdout, ErrWriter: stderr,
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "tour", Usage: "play the demo by itself and exit; 0 only if every step was seen in real DNS answers"},
			&cli.BoolFlag{Name: "json", Usage: "with --tour: print the report as JSON"},
			&cli.BoolFlag{Name: "plain", Usage: "lines instead of the live view"},
			&cli.BoolFlag{Name: "any-port", Usage: "ports that are free now, instead of 5300, 8000, 8053, 8080 and 8082"},
			&cli.StringFlag{Name: "log", Usage: "write the nodes' logs to `FILE`"},
		},
		Action: func(c *cli.Context) error {
			if name := c.Args().First(); name != "" {
				return cmdline.Usagef("unknown command %q", name)
			}
			return demo(c)
		},
		Commands: []*cli.Command{faultCommand(), healCommand(), faultsCommand()},
	})
}

// demo runs the lab with the tour, the live view or plain lines on top of it.
func demo(c *cli.Context) error {
	logger, closeLog, err := openLog(c.String("log"))
	if err != nil {
		return err
	}
	defer closeLog()
	feed := new(feed)
	l, err := lab.New(c.Context, lab.Options{AnyPort: c.Bool("any-port"), Notify: feed.world, Logger: logger})
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(c.Context)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	select {
	case <-l.Ready():
	case err := <-ended:
		return err
	}
	switch {
	case c.Bool("tour"):
		err = playTour(ctx, c, l)
	default:
		err = watch(ctx, c, l, feed)
	}
	stop()
	return errors.Join(err, <-ended)
}

func playTour(ctx context.Context, c *cli.Context, l *lab.Lab) error {
	out := c.App.Writer
	if c.Bool("json") {
		out = c.App.ErrWriter
	}
	banner(out, l)
	report, err := tour.Run(ctx, l, out)
	if c.Bool("json") {
		return errors.Join(err, cmdline.WriteJSON(c.App.Writer, report))
	}
	return err
}

func openLog(path string) (*slog.Logger, func(), error) {
	if path == "" {
		return slog.New(slog.DiscardHandler), func() {}, nil
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, nil, err
	}
	return slog.New(slog.NewTextHandler(f, &slog.HandlerOptions{Level: slog.LevelDebug})), func() { f.Close() }, nil
}
