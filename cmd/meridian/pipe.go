package main

import (
	"errors"
	"io"
	"net"
	"net/url"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/meridian-gtm/meridian/cmd/internal/cmdline"
)

// pipeCommand brings the API, which listens on loopback only, to whoever may run a command on the node's machine.
func pipeCommand() *cli.Command {
	return &cli.Command{
		Name: "pipe", Usage: "carry one connection to the control API over standard input and output",
		Description: "For programs that reach a node's machine only by running a command there.\n\n" +
			"Examples:\n" +
			"  meridian pipe --api 127.0.0.1:8053\n" +
			"  ssh fra-1 meridian pipe\n" +
			"  docker exec --interactive meridian-eu-west-dns-1 meridian pipe",
		Flags: []cli.Flag{apiFlag()},
		Action: func(c *cli.Context) error {
			if err := cmdline.WantArgs(c); err != nil {
				return err
			}
			if _, err := clientOf(c); err != nil {
				return err
			}
			u, err := url.Parse("http://" + strings.TrimPrefix(c.String("api"), "http://"))
			if err != nil {
				return cmdline.UsageError{Err: err}
			}
			var dialer net.Dialer
			conn, err := dialer.DialContext(c.Context, "tcp", u.Host)
			if err != nil {
				return err
			}
			defer conn.Close()
			go func() {
				_, _ = io.Copy(conn, c.App.Reader) // the other side sees what is missing
				_ = conn.(*net.TCPConn).CloseWrite()
			}()
			if _, err := io.Copy(c.App.Writer, conn); err != nil && !errors.Is(err, net.ErrClosed) {
				return err
			}
			return nil
		},
	}
}
