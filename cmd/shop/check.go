package main

import (
	"context"
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/meridian-gtm/meridian/cmd/internal/cmdline"
	"github.com/meridian-gtm/meridian/demo/shop/bank"
	"github.com/meridian-gtm/meridian/demo/shop/invariant"
	"github.com/meridian-gtm/meridian/demo/shop/load"
	"github.com/meridian-gtm/meridian/demo/shop/store"
)

func checkCommand() *cli.Command {
	return &cli.Command{
		Name:  "check",
		Usage: "prove that nothing was lost, doubled or oversold; exit code 1 if an invariant is violated",
		Flags: databaseFlags(
			&cli.StringFlag{Name: "bank", EnvVars: []string{"SHOP_BANK"}, Value: "127.0.0.1:8090", Usage: "`ADDRESS` of the bank; empty = do not compare with its book"},
			&cli.StringSliceFlag{Name: "acked", Usage: "`FILE` of acknowledged orders, written by shop load; - = standard input; may be repeated"},
			&cli.DurationFlag{Name: "late", Value: time.Minute, Usage: "how long something may wait before it is stuck"},
			&cli.DurationFlag{Name: "settle", Usage: "wait at most this long for what is on its way"},
			&cli.BoolFlag{Name: "json", Usage: "print the report as JSON"},
		),
		Action: check,
	}
}

func check(c *cli.Context) error {
	if err := cmdline.WantArgs(c); err != nil {
		return err
	}
	o := invariant.Options{Late: c.Duration("late")}
	if o.Late <= 0 {
		o.Late = -1
	}
	for _, path := range c.StringSlice("acked") {
		var acked []invariant.Ack
		var err error
		if path == "-" {
			acked, err = load.ReadAcks(c.App.Reader)
		} else {
			acked, err = load.ReadAckLog(path)
		}
		if err != nil {
			return err
		}
		o.Acked = append(append([]invariant.Ack{}, o.Acked...), acked...)
	}
	if addr := c.String("bank"); addr != "" {
		o.Book = bank.NewClient(addr, nil)
	}
	url, err := databaseOf(c)
	if err != nil {
		return err
	}
	db, err := store.Open(c.Context, url)
	if err != nil {
		return err
	}
	defer db.Close()
	report, err := settle(c.Context, db, o, c.Duration("settle"))
	if err != nil {
		return err
	}
	if c.Bool("json") {
		err = cmdline.WriteJSON(c.App.Writer, report)
	} else {
		_, err = report.WriteTo(c.App.Writer)
	}
	if err != nil {
		return err
	}
	if !report.OK() {
		return fmt.Errorf("violated: %v", report.Violated())
	}
	return nil
}

// settle repeats the check until nothing is on its way, or the time is over.
func settle(ctx context.Context, db *store.DB, o invariant.Options, wait time.Duration) (invariant.Report, error) {
	for deadline := time.Now().Add(wait); ; {
		reading, cancel := context.WithTimeout(ctx, 5*time.Minute)
		report, err := invariant.Check(reading, db, o)
		cancel()
		if err != nil || report.Open+report.Events == 0 || !time.Now().Before(deadline) {
			return report, err
		}
		select {
		case <-time.After(500 * time.Millisecond):
		case <-ctx.Done():
			return report, ctx.Err()
		}
	}
}
