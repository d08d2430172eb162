package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/meridian-gtm/meridian/cmd/internal/cmdline"
	"github.com/meridian-gtm/meridian/demo/shop/role"
	"github.com/meridian-gtm/meridian/demo/shop/web"
)

func serveCommand() *cli.Command {
	return &cli.Command{
		Name:  "serve",
		Usage: "run the shop, or some of its roles, until SIGTERM",
		Flags: databaseFlags(
			&cli.StringSliceFlag{Name: "roles", EnvVars: []string{"SHOP_ROLES"}, Value: cli.NewStringSlice("all"), Usage: fmt.Sprintf("all, or some of %v, as `LIST`", role.All())},
			&cli.StringFlag{Name: "region", EnvVars: []string{"SHOP_REGION"}, Usage: "where the process is; default alone in the world, in the first of the regions"},
			&cli.StringFlag{Name: "replica", EnvVars: []string{"SHOP_REPLICA"}, Usage: "`NAME` on the badge; default the host's name"},
			&cli.StringFlag{Name: "listen", EnvVars: []string{"SHOP_LISTEN"}, Value: "127.0.0.1:8000", Usage: "`ADDRESS` of pages, API, health and metrics"},
			&cli.StringFlag{Name: "bank-listen", EnvVars: []string{"SHOP_BANK_LISTEN"}, Value: "127.0.0.1:8090", Usage: "`ADDRESS` of the mock bank, with that role"},
			&cli.StringFlag{Name: "bank-book", EnvVars: []string{"SHOP_BANK_BOOK"}, Value: "bank.book", Usage: "journal of the mock bank, as `FILE`"},
			&cli.StringFlag{Name: "bank", EnvVars: []string{"SHOP_BANK"}, Usage: "`ADDRESS` of the bank to ask; default the one in this process"},
			&cli.StringSliceFlag{Name: "peer", EnvVars: []string{"SHOP_PEERS"}, Usage: "where a role is that is not here, as `ROLE=URL`; may be repeated"},
			&cli.StringFlag{Name: "secret-file", EnvVars: []string{"SHOP_SECRET_FILE"}, Usage: "`FILE` with the key that signs the bank's calls"},
			&cli.IntFlag{Name: "weight", EnvVars: []string{"SHOP_WEIGHT"}, Value: 100, Usage: "told to the traffic manager; 1..100"},
			&cli.DurationFlag{Name: "drain", EnvVars: []string{"SHOP_DRAIN"}, Usage: "how long to say that it leaves before it leaves"},
			regionsFlag(),
		),
		Action: serve,
	}
}

func serve(c *cli.Context) (err error) {
	if err := cmdline.WantArgs(c); err != nil {
		return err
	}
	roles, err := role.Parse(c.StringSlice("roles"))
	if err != nil {
		return cmdline.UsageError{Err: err}
	}
	o := role.Options{
		Roles: roles, Region: c.String("region"), Replica: c.String("replica"), Regions: c.StringSlice("regions"),
		Book: c.String("bank-book"), Ask: c.String("bank"), Weight: c.Int("weight"), Drain: c.Duration("drain"),
		Logger: slog.New(slog.NewTextHandler(c.App.ErrWriter, nil)),
	}
	if o.Database, err = databaseOf(c); err != nil {
		return err
	}
	if o.Region == "" {
		o.Region, o.Alone = o.Regions[0], true
	}
	if o.Weight < 1 || o.Weight > 100 {
		return cmdline.Usagef("weight %d: want 1..100", o.Weight)
	}
	if o.Replica == "" {
		if o.Replica, err = os.Hostname(); err != nil {
			return err
		}
	}
	if o.Peer, err = peers(c.StringSlice("peer")); err != nil {
		return cmdline.UsageError{Err: err}
	}
	if path := c.String("secret-file"); path != "" {
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		o.Secret = []byte(strings.TrimSpace(string(b)))
	}
	if slices.Contains(roles, role.Payment) && !slices.Contains(roles, role.Bank) && o.Ask == "" {
		return cmdline.Usagef("role payment: want --bank, or the role bank in this process")
	}
	if o.HTTP, err = net.Listen("tcp", c.String("listen")); err != nil {
		return cmdline.HintedError{Err: err, Hint: "another port: --listen 127.0.0.1:0"}
	}
	defer o.HTTP.Close()
	if slices.Contains(roles, role.Bank) {
		if o.Bank, err = net.Listen("tcp", c.String("bank-listen")); err != nil {
			return errors.Join(cmdline.HintedError{Err: err, Hint: "another port: --bank-listen 127.0.0.1:0"})
		}
		defer o.Bank.Close()
		fmt.Fprintf(c.App.Writer, "bank at %s\n", o.Bank.Addr())
	}
	fmt.Fprintf(c.App.Writer, "shop of %s at http://%s\n", o.Region, o.HTTP.Addr())
	return role.Run(c.Context, o)
}

// peers reads "role=URL".
func peers(list []string) (map[web.Part]*url.URL, error) {
	all := map[web.Part]*url.URL{}
	for _, text := range list {
		name, address, _ := strings.Cut(text, "=")
		u, err := url.Parse(address)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, fmt.Errorf("peer %q: want ROLE=http://HOST:PORT", text)
		}
		if !slices.Contains(web.Parts(), web.Part(name)) {
			return nil, fmt.Errorf("peer %q: role %q: want one of %v", text, name, web.Parts())
		}
		all[web.Part(name)] = u
	}
	return all, nil
}
