package main

import (
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/meridian-gtm/meridian/cmd/internal/cmdline"
)

// probeCommand is for the health checks of containers that have no other program in them.
func probeCommand() *cli.Command {
	return &cli.Command{
		Name:      "probe",
		Usage:     "ask a shop whether it is ready; exit code 1 if it is not",
		ArgsUsage: "[URL]",
		Flags:     []cli.Flag{&cli.DurationFlag{Name: "timeout", Value: 2 * time.Second, Usage: "for the answer"}},
		Action: func(c *cli.Context) error {
			target := "http://127.0.0.1:8000/readyz"
			if c.NArg() > 0 {
				target = c.Args().First()
			}
			if c.NArg() > 1 {
				return cmdline.WantArgs(c, "URL")
			}
			client := &http.Client{Timeout: c.Duration("timeout")}
			resp, err := client.Get(target)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
			if err != nil {
				return err
			}
			fmt.Fprintf(c.App.Writer, "%s", body)
			if resp.StatusCode != http.StatusOK {
				return fmt.Errorf("%s: status %s: want 200", target, resp.Status)
			}
			return nil
		},
	}
}
