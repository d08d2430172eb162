package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/cockroach-go/v2/crdb"
	"github.com/cockroachdb/cockroach-go/v2/crdb/crdbpgxv5"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// postgres is a server, or several, that speak PostgreSQL's protocol.
type postgres struct {
	pool   *pgxpool.Pool
	near   *near // nil = none
	engine Engine
	stats  *stats
	nobody atomic.Int64 // no server takes writes, and until then nobody looks again, in unix ms; 0 = some server does
	leader atomic.Value // string HOST:PORT, the server that was last seen to take writes
}

// Bounds of a pool's connections. connectWait is short because a list of hosts is tried one after the other. While no
// server takes writes, one at a time looks for one, every lookAgain: each look costs every server a whole login, and all
// customers who wait for a leader together would keep the servers from electing one. finishWait is how long what has begun
// goes on after its caller.
const (
	maxConns    = 8
	connectWait = 2 * time.Second
	lookAgain   = 250 * time.Millisecond
	finishWait  = 5 * time.Second
)

func openPostgres(ctx context.Context, url string, engine Engine, st *stats) (*postgres, error) {
	url, host := cutNear(url)
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, err // pgx leaves the password out
	}
	config.MaxConns = maxConns
	config.ConnConfig.ConnectTimeout = connectWait
	config.ConnConfig.RuntimeParams["application_name"] = "shop"
	// A client that vanished must not hold locks for as long as TCP believes in it.
	config.ConnConfig.RuntimeParams["idle_in_transaction_session_timeout"] = "10s"
	p := &postgres{engine: engine, stats: st}
	if host != "" {
		if p.near, err = openNear(ctx, config.Copy(), host); err != nil {
			return nil, err
		}
	}
	config.BeforeConnect = func(_ context.Context, c *pgx.ConnConfig) error {
		p.leaderFirst(&c.Config)
		return nil
	}
	config.AfterConnect = func(_ context.Context, conn *pgx.Conn) error {
		p.leader.Store(conn.PgConn().Conn().RemoteAddr().String())
		return nil
	}
	if p.pool, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return nil, err
	}
	return p, nil
}

func (p *postgres) write(ctx context.Context, fn func(context.Context, Tx) error) error {
	return p.connected(ctx, func(ctx context.Context, conn *pgxpool.Conn) error {
		if p.engine == Cockroach {
			return p.attemptCockroach(ctx, conn, fn)
		}
		return attempt(ctx, conn, fn)
	})
}

// errAgain marks the end of an attempt that changed nothing and may be repeated.
var errAgain = errors.New("attempt changed nothing")

// errNobody says that no server takes writes, as somebody else has just seen.
var errNobody = errors.New("no server takes writes")

// leaderFirst moves the server that led when it was last looked for to the front of those that are tried: every other one
// costs a whole login before it says that it does not lead. Servers that are given by name keep their order.
func (p *postgres) leaderFirst(c *pgconn.Config) {
	leader, _ := p.leader.Load().(string)
	for _, f := range c.Fallbacks {
		if net.JoinHostPort(f.Host, strconv.Itoa(int(f.Port))) == leader {
			c.Host, f.Host = f.Host, c.Host
			c.Port, f.Port = f.Port, c.Port
			c.TLSConfig, f.TLSConfig = f.TLSConfig, c.TLSConfig
			return
		}
	}
}

// leaderless says that no server takes writes, as far as is known.
func (p *postgres) leaderless() bool { return p.nobody.Load() != 0 && p.pool.Stat().IdleConns() == 0 }

// acquire returns a connection to the server that takes writes.
func (p *postgres) acquire(ctx context.Context) (*pgxpool.Conn, error) {
	if until := p.nobody.Load(); until != 0 && p.leaderless() {
		now := time.Now()
		if now.UnixMilli() < until || !p.nobody.CompareAndSwap(until, now.Add(lookAgain).UnixMilli()) {
			return nil, errNobody
		}
	}
	conn, err := p.pool.Acquire(ctx)
	switch {
	case err == nil:
		p.nobody.Store(0)
	case isConnect(err):
		p.leader.Store("")
		p.nobody.Store(time.Now().Add(lookAgain).UnixMilli())
	}
	return conn, err
}

// connected runs fn with a connection to the server that takes writes, again as long as that changes nothing. What has a
// connection goes on for finishWait after its caller is over: to give up a statement costs the connection, and a busy server
// would have more work with logins than with orders, of which none would be finished in time. Whoever asks again finds what
// was done.
func (p *postgres) connected(ctx context.Context, fn func(context.Context, *pgxpool.Conn) error) error {
	return p.again(ctx, func() error {
		conn, err := p.acquire(ctx)
		if err != nil {
			return fmt.Errorf("connect: %w: %w", errAgain, err)
		}
		defer conn.Release()
		longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
		defer cancel()
		defer context.AfterFunc(ctx, func() { time.AfterFunc(finishWait, cancel) })()
		return fn(longer, conn)
	})
}

// attempt runs fn in a transaction of its own.
func attempt(ctx context.Context, conn *pgxpool.Conn, fn func(context.Context, Tx) error) error {
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.Serializable})
	if err != nil {
		return fmt.Errorf("begin: %w: %w", errAgain, err)
	}
	if err := fn(ctx, pgTx{pgReader{tx}, tx}); err != nil {
		// Nothing of it was committed, and the server forgets it with the connection if not before.
		rollback(tx)
		drop(conn.Conn(), err)
		if repeatable(err) {
			return fmt.Errorf("%w: %w", errAgain, err)
		}
		return err
	}
	err = tx.Commit(ctx)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, pgx.ErrTxCommitRollback):
		return fmt.Errorf("commit: %w", err)
	case refused(err):
		return fmt.Errorf("commit: %w: %w", errAgain, err)
	case rejected(err):
		return fmt.Errorf("commit: %w", err)
	}
	// pgconn.SafeToRetry is no help here: of a connection that ends while it waits for the answer, it says that
	// nothing was sent.
	return fmt.Errorf("commit: %w: %w", ErrAmbiguous, err)
}

// again repeats attempts that changed nothing until ctx ends. The pauses grow, and differ between competitors.
func (p *postgres) again(ctx context.Context, attempt func() error) error {
	for pause := 2 * time.Millisecond; ; pause = min(2*pause, 250*time.Millisecond) {
		err := attempt()
		if !errors.Is(err, errAgain) {
			return err
		}
		timer := time.NewTimer(pause/2 + rand.N(pause))
		select {
		case <-timer.C:
			p.stats.retries.Add(1)
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("%w: %w", ErrBusy, err)
		}
	}
}

// attemptCockroach is attempt with cockroach-go, which repeats what the server refused.
func (p *postgres) attemptCockroach(ctx context.Context, conn *pgxpool.Conn, fn func(context.Context, Tx) error) error {
	attempts := 0
	err := crdbpgx.ExecuteTx(ctx, conn, pgx.TxOptions{}, func(tx pgx.Tx) error {
		if attempts++; attempts > 1 {
			p.stats.retries.Add(1)
		}
		err := fn(ctx, pgTx{pgReader{tx}, tx})
		drop(tx.Conn(), err)
		return err
	})
	_, ambiguous := errors.AsType[*crdb.AmbiguousCommitError](err)
	switch {
	case err == nil:
		return nil
	case ambiguous && !rejected(err):
		return fmt.Errorf("commit: %w: %w", ErrAmbiguous, err)
	case ambiguous:
		return fmt.Errorf("commit: %w", err)
	case attempts == 0, refused(err), repeatable(err):
		return fmt.Errorf("%w: %w", errAgain, err)
	}
	return err
}

func (p *postgres) view(ctx context.Context, fn func(context.Context, Reader) error) error {
	options := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	if p.engine == Cockroach {
		options.IsoLevel = pgx.Serializable
	}
	return p.connected(ctx, func(ctx context.Context, conn *pgxpool.Conn) error {
		tx, err := conn.BeginTx(ctx, options)
		if err != nil {
			return fmt.Errorf("begin: %w: %w", errAgain, err)
		}
		defer rollback(tx)
		err = fn(ctx, pgReader{tx})
		drop(tx.Conn(), err)
		if repeatable(err) {
			return fmt.Errorf("%w: %w", errAgain, err)
		}
		return err
	})
}

func (p *postgres) reader(f Freshness) Reader {
	if f != Current && p.near != nil {
		return nearReader{p}
	}
	return poolReader{p}
}

// poolReader reads outside of transactions. A connection that died in the pool is noticed at its next use: as long as
// no row was handed out, another one is tried.
type poolReader struct{ *postgres }

func (r poolReader) Each(ctx context.Context, sql string, args []any, fn func(Row) error) error {
	return r.again(ctx, func() error {
		conn, err := r.acquire(ctx)
		if err != nil {
			if errors.Is(err, errNobody) || isConnect(err) {
				return fmt.Errorf("connect: %w: %w", errAgain, err)
			}
			return err
		}
		defer conn.Release()
		rows := 0
		var fault error // of fn
		err = pgReader{conn}.Each(ctx, sql, args, func(row Row) error {
			rows++
			fault = fn(row)
			return fault
		})
		if err != nil && fault == nil && rows == 0 && repeatable(err) {
			return fmt.Errorf("%w: %w", errAgain, err)
		}
		return err
	})
}

func (r poolReader) One(ctx context.Context, sql string, args []any, dest ...any) error {
	return first(ctx, r, sql, args, dest)
}

func (p *postgres) close() error {
	p.pool.Close()
	if p.near != nil {
		p.near.pool.Close()
	}
	return nil
}

// rollback gives the server a moment of its own: the caller's may be over.
func rollback(tx pgx.Tx) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	tx.Rollback(ctx) // nothing was committed either way
}

// refused reports whether the server undid the transaction because of others.
func refused(err error) bool {
	switch code(err) {
	case "40001", // serialization_failure
		"40P01": // deadlock_detected
		return true
	}
	return false
}

// repeatable reports whether a statement before COMMIT failed in a way that another attempt may not.
func repeatable(err error) bool {
	if err == nil {
		return false
	}
	return refused(err) || elsewhere(err) || lost(err)
}

// elsewhere reports whether the server says that it is not the one to write to, or is leaving.
func elsewhere(err error) bool {
	switch code(err) {
	case "25006", // read_only_sql_transaction: a standby, or a leader that was
		"57P01", "57P02", "57P03": // admin_shutdown, crash_shutdown, cannot_connect_now
		return true
	}
	return false
}

// lost reports whether the connection ended under a statement, and not by the caller's will.
func lost(err error) bool {
	if code(err) != "" || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	// pgx says nothing more specific of a reset or an unexpected end; what fn itself found is not a network's doing.
	return isConnect(err) || pgconn.SafeToRetry(err) || errors.Is(err, errConnection) || errors.Is(err, io.ErrUnexpectedEOF)
}

func isConnect(err error) bool {
	_, ok := errors.AsType[*pgconn.ConnectError](err)
	return ok
}

// errConnection marks an error of a statement after which the connection is closed.
var errConnection = errors.New("connection lost")

// rejected reports whether the server itself said that COMMIT did not happen. 40003 and class 08 say that it does not
// know; shutdowns come from a server that may have been done.
func rejected(err error) bool {
	c := code(err)
	return c != "" && c != "40003" && c[:2] != "08" && c[:2] != "57" && c[:2] != "XX" && c[:2] != "58"
}

func code(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code
	}
	return ""
}

// drop closes a connection to a server that no longer is the right one, so that the pool looks for it again.
func drop(conn *pgx.Conn, err error) {
	if err != nil && elsewhere(err) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		conn.Close(ctx)
	}
}

// pgReader reads in a transaction or outside of one.
type pgReader struct {
	q interface {
		Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	}
}

func (r pgReader) Each(ctx context.Context, sql string, args []any, fn func(Row) error) error {
	rows, err := r.q.Query(ctx, sql, args...)
	if err != nil {
		return r.mark(err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := fn(rows); err != nil {
			return err
		}
	}
	return r.mark(rows.Err())
}

func (r pgReader) One(ctx context.Context, sql string, args []any, dest ...any) error {
	return first(ctx, r, sql, args, dest)
}

// mark tells an error that came with the end of the connection from others.
func (r pgReader) mark(err error) error {
	tx, ok := r.q.(pgx.Tx)
	return markLost(err, ok && tx.Conn().IsClosed())
}

func markLost(err error, closed bool) error {
	if err == nil || !closed || code(err) != "" {
		return err
	}
	return fmt.Errorf("%w: %w", errConnection, err)
}

type pgTx struct {
	pgReader
	tx pgx.Tx
}

func (t pgTx) Exec(ctx context.Context, sql string, args ...any) (int64, error) {
	tag, err := t.tx.Exec(ctx, sql, args...)
	return tag.RowsAffected(), markLost(err, t.tx.Conn().IsClosed())
}
