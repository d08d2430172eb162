package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"time"

	"modernc.org/sqlite"
)

// busyTimeoutMS is how long a writer waits for another one's transaction. Transactions are a handful of statements,
// so that seconds of waiting mean that something holds the lock and will not let go soon.
const busyTimeoutMS = 5000

// sqliteDriver is one file.
//
// SQLite takes one writer at a time. w holds a single connection whose transactions take the lock when they begin
// (immediate): a transaction that read first and asked for the lock later could only be refused. r holds a few
// connections that cannot write; the write-ahead log lets them read while the writer writes.
type sqliteDriver struct{ w, r *sql.DB }

func openSQLite(path string) (*sqliteDriver, error) {
	if path == "" {
		return nil, errors.New("no path: want sqlite:PATH")
	}
	d := new(sqliteDriver)
	var err error
	// Full synchronisation: an acknowledged order is on the disk.
	if d.w, err = sql.Open("sqlite", sqliteDSN(path, "journal_mode(wal)", "synchronous(full)", "foreign_keys(1)")+"&_txlock=immediate"); err != nil {
		return nil, err
	}
	d.w.SetMaxOpenConns(1)
	if d.r, err = sql.Open("sqlite", sqliteDSN(path, "query_only(1)")); err != nil {
		return nil, errors.Join(err, d.w.Close())
	}
	d.r.SetMaxOpenConns(4)
	// A path that cannot be opened is said now, and readers do not come before the file is there.
	if err := d.awake(); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), d.close())
	}
	return d, nil
}

// awake makes the first connection. The change of a new file to the write-ahead log is the one lock that SQLite does
// not wait for: of processes that start together only one gets it.
func (d *sqliteDriver) awake() error {
	for deadline := time.Now().Add(busyTimeoutMS * time.Millisecond); ; time.Sleep(10 * time.Millisecond) {
		err := d.w.Ping()
		if !errors.Is(sqliteBusy(err), ErrBusy) || time.Now().After(deadline) {
			return err
		}
	}
}

// sqliteDSN names path with pragmas that every connection starts with. The busy timeout comes first because the
// others may have to wait for a lock themselves.
func sqliteDSN(path string, pragmas ...string) string {
	q := url.Values{"_pragma": append([]string{fmt.Sprintf("busy_timeout(%d)", busyTimeoutMS)}, pragmas...)}
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + q.Encode()
}

func (d *sqliteDriver) write(ctx context.Context, fn func(context.Context, Tx) error) error {
	tx, err := d.w.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin: %w", sqliteBusy(err))
	}
	if err := fn(ctx, sqliteTx{sqliteReader{tx}, tx}); err != nil {
		if rb := tx.Rollback(); rb != nil && !errors.Is(rb, sql.ErrTxDone) {
			return errors.Join(err, fmt.Errorf("rollback: %w", rb))
		}
		return err
	}
	err = tx.Commit()
	switch {
	case err == nil:
		return nil
	case errors.Is(sqliteBusy(err), ErrBusy):
		return fmt.Errorf("commit: %w", sqliteBusy(err))
	case errors.Is(err, sql.ErrTxDone), ctx.Err() != nil && errors.Is(err, ctx.Err()):
		// database/sql saw the end of ctx before it sent COMMIT, and rolled back.
		return fmt.Errorf("commit: not done: %w", errors.Join(ctx.Err(), err))
	}
	return fmt.Errorf("commit: %w: %w", ErrAmbiguous, err)
}

func (d *sqliteDriver) view(ctx context.Context, fn func(context.Context, Reader) error) error {
	tx, err := d.r.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return fmt.Errorf("begin: %w", sqliteBusy(err))
	}
	defer tx.Rollback()
	return fn(ctx, sqliteReader{tx})
}

func (d *sqliteDriver) reader(Freshness) Reader { return sqliteReader{d.r} }

// declare is one transaction: processes that start together wait for the lock.
func (d *sqliteDriver) declare(ctx context.Context, statements []string) error {
	return d.write(ctx, func(ctx context.Context, tx Tx) error {
		for _, s := range statements {
			if _, err := tx.Exec(ctx, s); err != nil {
				return fmt.Errorf("%w in %s", err, s)
			}
		}
		return nil
	})
}

func (d *sqliteDriver) describe(context.Context) (string, error) {
	return "one SQLite file standing in for the multi-region database", nil
}

func (d *sqliteDriver) close() error { return errors.Join(d.r.Close(), d.w.Close()) }

// sqliteReader reads in a transaction or outside of one.
type sqliteReader struct {
	q interface {
		QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	}
}

func (r sqliteReader) Each(ctx context.Context, query string, args []any, fn func(Row) error) error {
	rows, err := r.q.QueryContext(ctx, query, args...)
	if err != nil {
		return sqliteBusy(err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := fn(rows); err != nil {
			return err
		}
	}
	return sqliteBusy(rows.Err())
}

func (r sqliteReader) One(ctx context.Context, query string, args []any, dest ...any) error {
	return first(ctx, r, query, args, dest)
}

type sqliteTx struct {
	sqliteReader
	tx *sql.Tx
}

func (t sqliteTx) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	res, err := t.tx.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, sqliteBusy(err)
	}
	return res.RowsAffected()
}

// sqliteBusy adds ErrBusy to SQLite's ways of saying that somebody else holds the lock (SQLITE_BUSY 5, SQLITE_LOCKED
// 6).
func sqliteBusy(err error) error {
	if e, ok := errors.AsType[*sqlite.Error](err); ok && (e.Code()&0xff == 5 || e.Code()&0xff == 6) {
		return fmt.Errorf("%w: %w", ErrBusy, err)
	}
	return err
}

// errEnough ends a reading after its first row.
var errEnough = errors.New("enough")

func first(ctx context.Context, r Reader, query string, args []any, dest []any) error {
	found := false
	err := r.Each(ctx, query, args, func(row Row) error {
		found = true
		if err := row.Scan(dest...); err != nil {
			return err
		}
		return errEnough
	})
	switch {
	case errors.Is(err, errEnough):
		return nil
	case err == nil && !found:
		return ErrNoRows
	}
	return err
}
