package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"
)

// Errors that callers branch on.
var (
	// ErrNoRows means that a statement that wants one row found none.
	ErrNoRows = errors.New("no rows")
	// ErrBusy means that others held what the transaction needs for too long: nothing was changed, try again.
	ErrBusy = errors.New("database busy")
	// ErrAmbiguous means that nobody knows whether the transaction was committed, or still will be.
	ErrAmbiguous = errors.New("commit outcome unknown")
)

// Engine is a kind of database.
type Engine string

// The engines.
const (
	SQLite    Engine = "sqlite"
	Postgres  Engine = "postgres"
	Cockroach Engine = "cockroach"
)

// Engines returns every engine.
func Engines() []Engine { return []Engine{SQLite, Postgres, Cockroach} }

// Row is one row of a result.
type Row interface{ Scan(dest ...any) error }

// Reader reads. Statements take $1, $2, ... and are constants, so that a test can find and parse all of them.
type Reader interface {
	// Each calls fn for every row. An error of fn ends the reading and is returned.
	Each(ctx context.Context, sql string, args []any, fn func(Row) error) error
	// One scans the first row, or returns ErrNoRows.
	One(ctx context.Context, sql string, args []any, dest ...any) error
}

// Tx is a writing transaction. It belongs to the function that it was given to and to one goroutine.
type Tx interface {
	Reader
	// Exec returns how many rows were changed.
	Exec(ctx context.Context, sql string, args ...any) (int64, error)
}

// Freshness says how old the rows of a reading outside of transactions may be. On CockroachDB the statement says with
// /*as-of*/, behind its last table, where the age goes. PostgreSQL asks the server that the URL names as near, if it
// does, and that one's copy is as old as its replication is late. Otherwise what is read is current.
type Freshness int

// The ages. An old copy is read from the nearest replica, also when the region that leads the row is cut off.
const (
	Current  Freshness = iota
	Follower           // some 4 s old: for lists, and for statements of any kind
	Bounded            // as new as the nearest replica has it, at most 10 s old: for rows of one table in one region
)

// asOf is where a statement's age goes.
const asOf = "/*as-of*/"

// Render returns the statement as engine gets it.
func Render(engine Engine, sql string, f Freshness) string {
	if engine != Cockroach {
		return sql
	}
	switch f {
	case Follower:
		return strings.ReplaceAll(sql, asOf, "AS OF SYSTEM TIME follower_read_timestamp()")
	case Bounded:
		return strings.ReplaceAll(sql, asOf, "AS OF SYSTEM TIME with_max_staleness('10s')")
	}
	return sql
}

// driver is one engine's way. An error of fn is returned as it is.
type driver interface {
	write(ctx context.Context, fn func(context.Context, Tx) error) error
	view(ctx context.Context, fn func(context.Context, Reader) error) error
	reader(f Freshness) Reader
	declare(ctx context.Context, statements []string) error
	describe(ctx context.Context) (string, error)
	close() error
}

// DB is a database. Make one with Open.
type DB struct {
	engine Engine
	driver driver
	stats  *stats
}

// Stats counts what transactions went through since Open.
type Stats struct {
	Retries   int64 // attempts after the first
	Ambiguous int64 // transactions whose end is unknown
}

type stats struct{ retries, ambiguous atomic.Int64 }

// maxWait bounds a transaction whose caller set no deadline: a network that swallows everything would hold it for
// ever.
const maxWait = 15 * time.Second

// Open opens the database at url: "sqlite:PATH" (created when missing), "postgres://..." or "cockroach://..." with
// the parameters of libpq, several hosts included. A postgres URL may have near=HOST:PORT besides: the server to read
// from what may be old, whether it leads or follows. The caller closes the database. A server need not be there yet.
func Open(ctx context.Context, url string) (*DB, error) {
	scheme, rest, _ := strings.Cut(url, ":")
	db := &DB{engine: Engine(scheme), stats: new(stats)}
	var err error
	switch db.engine {
	case SQLite:
		db.driver, err = openSQLite(rest)
	case Postgres, "postgresql":
		db.engine = Postgres
		db.driver, err = openPostgres(ctx, "postgres:"+rest, Postgres, db.stats)
	case Cockroach, "cockroachdb":
		db.engine = Cockroach
		db.driver, err = openPostgres(ctx, "postgres:"+rest, Cockroach, db.stats)
	default:
		return nil, fmt.Errorf("database %.40q: want sqlite:PATH, or a URL of postgres or cockroach", scheme)
	}
	if err != nil {
		return nil, fmt.Errorf("database %s: %w", scheme, err)
	}
	return db, nil
}

// Engine returns what kind of database it is.
func (db *DB) Engine() Engine { return db.engine }

// Close ends all connections. Transactions under way end first.
func (db *DB) Close() error { return db.driver.close() }

// Stats returns the counters.
func (db *DB) Stats() Stats {
	return Stats{Retries: db.stats.retries.Load(), Ambiguous: db.stats.ambiguous.Load()}
}

// RunTx runs fn in one writing transaction, again when the engine asks for it, until ctx ends or 15 s are over. An attempt
// that a server has begun is finished first, for 5 s at most, with a context of its own that fn is given. Every transaction
// is as if it ran alone (serializable). Errors: ErrBusy, ErrAmbiguous, what fn returned, or the engine's
// own; but for ErrAmbiguous nothing was changed.
func (db *DB) RunTx(ctx context.Context, fn func(context.Context, Tx) error) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	err := db.driver.write(ctx, fn)
	if errors.Is(err, ErrAmbiguous) {
		db.stats.ambiguous.Add(1)
	}
	return err
}

// View runs fn on one consistent, current, read-only state.
func (db *DB) View(ctx context.Context, fn func(context.Context, Reader) error) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	return db.driver.view(ctx, fn)
}

// Each reads rows that may be as old as f allows, outside of transactions.
func (db *DB) Each(ctx context.Context, f Freshness, sql string, args []any, fn func(Row) error) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	return db.driver.reader(f).Each(ctx, Render(db.engine, sql, f), args, fn)
}

// One reads a row that may be as old as f allows, outside of transactions. Errors: ErrNoRows, or the engine's own.
func (db *DB) One(ctx context.Context, f Freshness, sql string, args []any, dest ...any) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	return db.driver.reader(f).One(ctx, Render(db.engine, sql, f), args, dest...)
}

// Declare makes the tables that are missing. regions are those of a multi-region CockroachDB, the first one primary;
// the other engines have no use for them. It is safe to call from several processes at once.
func (db *DB) Declare(ctx context.Context, tables []Table, regions []string) error {
	ctx, cancel := context.WithTimeout(ctx, declareWait)
	defer cancel()
	var faults []error
	for _, t := range tables {
		faults = append(faults, t.check())
	}
	if err := errors.Join(faults...); err != nil {
		return fmt.Errorf("schema: %w", err)
	}
	if db.engine != Cockroach {
		regions = nil
	}
	if p, ok := db.driver.(*postgres); ok && db.engine == Cockroach {
		var err error
		if regions, err = p.placeable(ctx, regions); err != nil {
			return fmt.Errorf("schema: %w", err)
		}
	}
	if err := db.driver.declare(ctx, DDL(db.engine, tables, regions)); err != nil {
		return fmt.Errorf("schema: %w", err)
	}
	return nil
}

// declareWait bounds the making of all tables. A multi-region CockroachDB takes seconds for each.
const declareWait = 5 * time.Minute

// Describe says for people what answers: product and version, and where the connection ends.
func (db *DB) Describe(ctx context.Context) (string, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	return db.driver.describe(ctx)
}

// bounded adds the deadline that the caller did not set.
func bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, maxWait)
}
