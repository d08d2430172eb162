package store

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/jackc/pgx/v5/pgxpool"
)

// near is the PostgreSQL server that is asked for what may be old. It is in the process's own region, so it answers
// when the leader, or the way to it, is lost.
type near struct {
	pool    *pgxpool.Pool
	avoided atomic.Int64 // until then, in unix ms
}

// A near server that does not answer at once is no help: the leader is asked, and for a while only the leader. An answer
// that comes a little later is taken, then the server is asked to give up, and only then the connection is: a busy server
// would have more work with new logins than with answers.
const (
	nearWait  = 300 * time.Millisecond
	nearLate  = 300 * time.Millisecond // after nearWait
	nearGone  = 600 * time.Millisecond // after nearWait
	nearAvoid = time.Second
)

// cutNear takes the parameter near out of a URL: PostgreSQL knows nothing of it.
func cutNear(text string) (rest, host string) {
	u, err := url.Parse(text)
	if err != nil {
		return text, "" // pgx says what is wrong, without the password
	}
	q := u.Query()
	host = q.Get("near")
	q.Del("near")
	u.RawQuery = q.Encode()
	return u.String(), host
}

// openNear turns the configuration of the leader's pool into that of one server, whatever it is.
func openNear(ctx context.Context, config *pgxpool.Config, at string) (*near, error) {
	host, text, err := net.SplitHostPort(at)
	port, portErr := strconv.ParseUint(text, 10, 16)
	if err != nil || portErr != nil || host == "" || port == 0 {
		return nil, fmt.Errorf("near %q: want HOST:PORT", at)
	}
	c := config.ConnConfig
	c.Host, c.Port, c.Fallbacks, c.ValidateConnect = host, uint16(port), nil, nil
	c.BuildContextWatcherHandler = func(conn *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.CancelRequestContextWatcherHandler{Conn: conn, CancelRequestDelay: nearLate, DeadlineDelay: nearGone}
	}
	config.MaxConns = maxConns / 2
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	return &near{pool: pool}, nil
}

// nearReader reads from the near server, and from the leader when that one does not answer.
type nearReader struct{ *postgres }

func (r nearReader) Each(ctx context.Context, sql string, args []any, fn func(Row) error) error {
	leader, leaderless := poolReader(r), r.leaderless()
	if time.Now().UnixMilli() < r.near.avoided.Load() && !leaderless {
		return leader.Each(ctx, sql, args, fn)
	}
	rows := 0
	var fault error // of fn
	wait := nearWait
	if leaderless {
		wait = connectWait // nobody else can be asked
	}
	asking, cancel := context.WithTimeout(ctx, wait)
	err := pgReader{r.near.pool}.Each(asking, sql, args, func(row Row) error {
		rows++
		fault = fn(row)
		return fault
	})
	cancel()
	if err == nil || fault != nil || rows > 0 || ctx.Err() != nil {
		return err
	}
	r.near.avoided.Store(time.Now().Add(nearAvoid).UnixMilli())
	return leader.Each(ctx, sql, args, fn)
}

func (r nearReader) One(ctx context.Context, sql string, args []any, dest ...any) error {
	return first(ctx, r, sql, args, dest)
}
