// Command prepare writes what the containers of the compose world read before they start: keys and passwords, made
// anew for every world; the configuration of the nodes, the proxies and Patroni; zone and geo databases; and the
// address of the database. It runs once per `docker compose up` and leaves secrets that are there alone.
//
//	prepare --fleet DIR --keys DIR --shop DIR --postgres DIR
//	prepare --shop DIR --database postgres
package main

import (
	"flag"
	"fmt"
	"os"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "prepare: %v\n", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	flags := flag.NewFlagSet("prepare", flag.ContinueOnError)
	dirs := Folders{}
	flags.StringVar(&dirs.Fleet, "fleet", "/fleet", "`DIR` of what nodes, directors and proxies read")
	flags.StringVar(&dirs.Keys, "keys", "/keys", "`DIR` of the gossip keyring")
	flags.StringVar(&dirs.Shop, "shop", "/shop", "`DIR` of the shop's secrets and of the address of its database")
	flags.StringVar(&dirs.Postgres, "postgres", "/postgres", "`DIR` of Patroni's configuration and passwords")
	engine := flags.String("database", "", "write only the address of the database: `ENGINE` postgres or cockroach")
	net := flags.String("net", getenv("DEMO_NET", "198.18"), "first two bytes of every address, `N.N`")
	advert := flags.String("advert", getenv("DEMO_ADVERT", "100ms"), "`DURATION` between VRRP adverts")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("%q: want only flags", flags.Args())
	}
	w, err := NewWorld(*net, *advert)
	if err != nil {
		return err
	}
	if *engine != "" {
		return w.writeDatabase(dirs, *engine)
	}
	return w.write(dirs)
}

// getenv returns an environment variable, or what stands for an empty one.
func getenv(name, otherwise string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return otherwise
}
