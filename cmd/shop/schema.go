package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/meridian-gtm/meridian/cmd/internal/cmdline"
	"github.com/meridian-gtm/meridian/demo/shop"
	"github.com/meridian-gtm/meridian/demo/shop/store"
)

func initCommand() *cli.Command {
	return &cli.Command{
		Name:  "init",
		Usage: "make the database, its tables and the catalogue where they are missing",
		Flags: databaseFlags(regionsFlag()),
		Action: func(c *cli.Context) error {
			if err := cmdline.WantArgs(c); err != nil {
				return err
			}
			url, err := databaseOf(c)
			if err != nil {
				return err
			}
			if err := store.Create(c.Context, url, c.StringSlice("regions")); err != nil {
				return err
			}
			s, err := shop.Open(c.Context, url, c.StringSlice("regions"), shop.Catalog())
			if err != nil {
				return err
			}
			defer s.Close()
			where, err := s.DB().Describe(c.Context)
			if err != nil {
				return err
			}
			fmt.Fprintf(c.App.Writer, "ready: %s\n", where)
			return nil
		},
	}
}

func schemaCommand() *cli.Command {
	return &cli.Command{
		Name:  "schema",
		Usage: "print the statements that make the tables",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "engine", Value: string(store.Cockroach), Usage: fmt.Sprintf("one of %v", store.Engines())},
			regionsFlag(),
		},
		Action: func(c *cli.Context) error {
			if err := cmdline.WantArgs(c); err != nil {
				return err
			}
			engine := store.Engine(c.String("engine"))
			if !slices.Contains(store.Engines(), engine) {
				return cmdline.Usagef("engine %q: want one of %v", engine, store.Engines())
			}
			var all []string
			if engine == store.Cockroach {
				all = store.DatabaseDDL("shop", c.StringSlice("regions"))
			}
			all = append(all, store.DDL(engine, shop.Tables(), c.StringSlice("regions"))...)
			fmt.Fprintln(c.App.Writer, strings.Join(all, ";\n\n")+";")
			return nil
		},
	}
}
