package store

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// declareLock is the key of the advisory lock under which tables are made on PostgreSQL: CREATE TABLE IF NOT EXISTS
// fails when two run at once. The number has no meaning.
const declareLock = 7_205_759_403

// declare makes tables. PostgreSQL takes all statements in one transaction. CockroachDB wants each alone, and queues
// them itself.
func (p *postgres) declare(ctx context.Context, statements []string) error {
	if p.engine == Postgres {
		return p.write(ctx, func(ctx context.Context, tx Tx) error {
			if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, int64(declareLock)); err != nil {
				return err
			}
			for _, s := range statements {
				if _, err := tx.Exec(ctx, s); err != nil {
					return fmt.Errorf("%w in %s", err, s)
				}
			}
			return nil
		})
	}
	for _, s := range statements {
		err := p.again(ctx, func() error {
			_, err := p.pool.Exec(ctx, s)
			if refused(err) || lost(err) {
				return fmt.Errorf("%w: %w", errAgain, err)
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("%w in %s", err, s)
		}
	}
	return nil
}

// placeable returns regions if the cluster's nodes were started with all of them, or none if they were started
// without regions: rows then live where the cluster likes.
func (p *postgres) placeable(ctx context.Context, regions []string) ([]string, error) {
	for {
		var have []string
		err := p.reader(Current).Each(ctx, `SELECT region FROM [SHOW REGIONS FROM CLUSTER]`, nil, func(row Row) error {
			var r string
			err := row.Scan(&r)
			have = append(have, r)
			return err
		})
		missing := slices.DeleteFunc(slices.Clone(regions), func(r string) bool { return slices.Contains(have, r) })
		switch {
		case err == nil && len(have) == 0:
			return nil, nil
		case err == nil && len(missing) == 0:
			return regions, nil
		case err == nil:
			err = fmt.Errorf("regions of the cluster are %s: want %s too", strings.Join(have, ", "), strings.Join(missing, ", "))
		}
		// Nodes of a starting cluster come one by one.
		timer := time.NewTimer(time.Second)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, err
		}
	}
}

func (p *postgres) describe(ctx context.Context) (string, error) {
	var version, where string
	if p.engine == Cockroach {
		if err := p.reader(Current).One(ctx, `SELECT version(), gateway_region()`, nil, &version, &where); err != nil {
			// A cluster without regions has no answer to that.
			if err := p.reader(Current).One(ctx, `SELECT version()`, nil, &version); err != nil {
				return "", err
			}
			where = "without regions"
		}
		return words(version, 3) + ", gateway " + where, nil
	}
	err := p.reader(Current).One(ctx, `SELECT version(), COALESCE(host(inet_server_addr()) || ':' || inet_server_port(), 'a local socket')`,
		nil, &version, &where)
	return words(version, 2) + " at " + where, err
}

// words returns the first n words of a version text.
func words(s string, n int) string {
	all := strings.Fields(s)
	return strings.Join(all[:min(n, len(all))], " ")
}

// Create makes the database that url names where it is missing: on CockroachDB with the given regions, the first one
// primary, so that it survives the loss of any one of three. A SQLite file is made by Open.
func Create(ctx context.Context, url string, regions []string) error {
	scheme, rest, _ := strings.Cut(url, ":")
	if Engine(scheme) == SQLite {
		return nil
	}
	config, err := pgx.ParseConfig("postgres:" + rest)
	if err != nil {
		return fmt.Errorf("create database: %w", err)
	}
	name := config.Database
	statements := []string{}
	switch {
	case name == "" || strings.ContainsFunc(name, func(r rune) bool { return r != '_' && (r < 'a' || r > 'z') && (r < '0' || r > '9') }):
		return fmt.Errorf("create database %q: want a name of a-z, 0-9 and _", name)
	case strings.HasPrefix(scheme, string(Cockroach)):
		config.Database = "defaultdb"
		statements = DatabaseDDL(name, regions)
	default:
		config.Database = "postgres"
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return fmt.Errorf("create database %s: %w", name, err)
	}
	defer conn.Close(ctx)
	if config.Database == "postgres" {
		var found bool
		if err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM pg_database WHERE datname = $1)`, name).Scan(&found); err != nil {
			return fmt.Errorf("create database %s: %w", name, err)
		}
		if !found {
			statements = append(statements, "CREATE DATABASE "+name)
		}
	}
	for _, s := range statements {
		if _, err := conn.Exec(ctx, s); err != nil && code(err) != "42P04" { // duplicate_database: somebody was faster
			return fmt.Errorf("create database %s: %w", name, err)
		}
	}
	return nil
}
