package main

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/meridian-gtm/meridian/cmd/internal/cmdline"
	"github.com/meridian-gtm/meridian/demo/shop/load"
)

func loadCommand() *cli.Command {
	return &cli.Command{
		Name:  "load",
		Usage: "be the customers, and remember every order that was acknowledged",
		Flags: []cli.Flag{
			&cli.StringSliceFlag{Name: "target", EnvVars: []string{"SHOP_TARGETS"}, Usage: "`URL` of a region's shop; repeat it for the regions to fail over to", Value: cli.NewStringSlice("http://127.0.0.1:8000")},
			&cli.StringFlag{Name: "log", EnvVars: []string{"SHOP_ACKED"}, Value: "acked.jsonl", Usage: "`FILE` of acknowledged orders; appended to; - = tell each on the standard output, and the result on the error stream"},
			&cli.Float64Flag{Name: "rate", Value: 20, Usage: "orders per second; 0.01..10000"},
			&cli.DurationFlag{Name: "for", Usage: "how long; default until SIGTERM"},
			&cli.IntFlag{Name: "orders", Usage: "how many; default no limit"},
			&cli.BoolFlag{Name: "json", Usage: "print the result as JSON"},
			regionsFlag(),
		},
		Action: buy,
	}
}

func buy(c *cli.Context) error {
	if err := cmdline.WantArgs(c); err != nil {
		return err
	}
	o := load.Options{Regions: c.StringSlice("regions"), Rate: c.Float64("rate"), Orders: c.Int("orders")}
	for _, text := range c.StringSlice("target") {
		u, err := url.Parse(text)
		if err != nil || u.Host == "" {
			return cmdline.Usagef("target %q: want http://HOST:PORT", text)
		}
		o.Targets = append(o.Targets, u)
	}
	out := c.App.Writer
	if path := c.String("log"); path == "-" {
		o.Log, out = load.TellAcks(out), c.App.ErrWriter
	} else {
		log, err := load.OpenAckLog(path)
		if err != nil {
			return err
		}
		defer log.Close()
		o.Log = log
	}
	ctx := c.Context
	if d := c.Duration("for"); d > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d)
		defer cancel()
	}
	start := time.Now()
	result, err := load.Run(ctx, o)
	if err != nil {
		return err
	}
	if c.Bool("json") {
		return cmdline.WriteJSON(out, result)
	}
	fmt.Fprintf(out, "%v in %v\n", result, time.Since(start).Round(time.Millisecond))
	return nil
}
