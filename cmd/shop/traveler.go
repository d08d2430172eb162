package main

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/meridian-gtm/meridian/cmd/internal/cmdline"
	"github.com/meridian-gtm/meridian/control"
	"github.com/meridian-gtm/meridian/demo/traveler"
)

// dnsPort is where DNS servers are that are named without a port.
const dnsPort = 53

func travelerCommand() *cli.Command {
	return &cli.Command{
		Name:  "traveler",
		Usage: "show the shop to a browser as clients in other cities see it, until SIGTERM",
		Description: "Every city is a name under localhost: http://frankfurt.localhost:8080. The n-th city asks the n-th DNS\n" +
			"server first, and the others when that one is silent.\n\n" +
			"Examples:\n" +
			"  shop traveler --dns 127.0.0.1:5300 --name www.shop.example --port 8000 --city frankfurt=198.51.100.0/26\n" +
			"  shop traveler --dns 203.0.113.1,203.0.113.2 --name www.shop.example --city 'New York=192.0.2.0/26' --city Frankfurt=198.51.100.0/26",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "listen", EnvVars: []string{"SHOP_LISTEN"}, Value: "127.0.0.1:8080", Usage: "`ADDRESS` for browsers"},
			&cli.StringSliceFlag{Name: "dns", Usage: "DNS servers to ask, as `LIST` of ADDRESS or ADDRESS:PORT"},
			&cli.StringSliceFlag{Name: "api", Usage: "control APIs of the same nodes in the same order, as `LIST`; default unknown: answers are not explained"},
			&cli.StringFlag{Name: "name", Value: "www.shop.example", Usage: "`NAME` of the shop"},
			&cli.UintFlag{Name: "port", Value: 80, Usage: "`PORT` of the shop's addresses"},
			&cli.StringSliceFlag{Name: "city", Usage: "a city and its clients' network, as `NAME=PREFIX`, such as 'New York=192.0.2.0/26'; repeat it"},
		},
		Action: travel,
	}
}

func travel(c *cli.Context) error {
	if err := cmdline.WantArgs(c); err != nil {
		return err
	}
	if c.Uint("port") < 1 || c.Uint("port") > 65535 {
		return cmdline.Usagef("port %d: want 1..65535", c.Uint("port"))
	}
	servers, err := dnsServers(c.StringSlice("dns"), c.StringSlice("api"))
	if err != nil {
		return cmdline.UsageError{Err: err}
	}
	logger := slog.New(slog.NewTextHandler(c.App.ErrWriter, nil))
	o := traveler.Options{Shop: c.String("name"), Port: uint16(c.Uint("port")), Logger: logger}
	for i, text := range c.StringSlice("city") {
		name, network, _ := strings.Cut(text, "=")
		prefix, err := netip.ParsePrefix(network)
		if err != nil {
			return cmdline.Usagef("city %q: want NAME=PREFIX, such as frankfurt=198.51.100.0/26", text)
		}
		if name != "" {
			name = strings.ToUpper(name[:1]) + name[1:]
		}
		city := traveler.City{Title: name, Prefix: prefix}
		for j := range servers {
			city.Servers = append(city.Servers, servers[(i+j)%len(servers)])
		}
		o.Cities = append(o.Cities, city)
	}
	t, err := traveler.New(o)
	if err != nil {
		return cmdline.UsageError{Err: err}
	}
	ln, err := net.Listen("tcp", c.String("listen"))
	if err != nil {
		return cmdline.HintedError{Err: err, Hint: "another port: --listen 127.0.0.1:0"}
	}
	fmt.Fprintf(c.App.Writer, "traveler at http://%s\n", ln.Addr())
	return traveler.Serve(c.Context, ln, t, logger)
}

// dnsServers reads addresses of DNS servers and, in the same order, of their nodes' APIs.
func dnsServers(addrs, apis []string) (servers []traveler.Server, err error) {
	if len(apis) > 0 && len(apis) != len(addrs) {
		return nil, fmt.Errorf("%d APIs for %d DNS servers: want one for each, or none", len(apis), len(addrs))
	}
	for i, text := range addrs {
		at, err := netip.ParseAddrPort(text)
		if err != nil {
			addr, err := netip.ParseAddr(text)
			if err != nil {
				return nil, fmt.Errorf("dns %q: want ADDRESS or ADDRESS:PORT", text)
			}
			at = netip.AddrPortFrom(addr, dnsPort)
		}
		server := traveler.Server{Addr: at}
		if len(apis) > 0 {
			if server.API, err = control.NewClient(apis[i]); err != nil {
				return nil, err
			}
		}
		servers = append(servers, server)
	}
	return servers, nil
}
