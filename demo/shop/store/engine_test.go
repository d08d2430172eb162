package store_test

import (
	"context"
	"errors"
	"net"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/meridian-gtm/meridian/demo/shop/dbtest"
	"github.com/meridian-gtm/meridian/demo/shop/store"
)

func TestMain(m *testing.M) { os.Exit(dbtest.Main(m)) }

func openAccounts(t *testing.T, at string) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	accounts := store.Table{
		Name: "accounts", Columns: []store.Column{{Name: "region"}, {Name: "id"}, {Name: "balance", Type: store.Int}}, Key: []string{"region", "id"},
	}
	if err := db.Declare(t.Context(), []store.Table{accounts}, dbtest.Regions); err != nil {
		t.Fatal(err)
	}
	set(t, db, 100, 100)
	return db
}

func set(t *testing.T, db *store.DB, a, b int) {
	t.Helper()
	err := db.RunTx(t.Context(), func(ctx context.Context, tx store.Tx) error {
		for id, n := range map[string]int{"a": a, "b": b} {
			if _, err := tx.Exec(ctx, `INSERT INTO accounts (region, id, balance) VALUES ('us-east', $1, $2)
				ON CONFLICT (region, id) DO UPDATE SET balance = excluded.balance`, id, n); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

const (
	sumOfAccounts = `SELECT CAST(SUM(balance) AS BIGINT) FROM accounts`
	takeFrom      = `UPDATE accounts SET balance = balance - $1 WHERE region = 'us-east' AND id = $2`
)

// TestNoWriteSkew lets two transactions read both accounts and take from one each, if there is enough in both
// together. One at a time there is enough for one only; who lets both through is not serializable, and who tells both
// that they were done and did one has lost a transaction.
func TestNoWriteSkew(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, e store.Engine) {
		db := openAccounts(t, dbtest.New(t, e))
		for round := range 20 {
			set(t, db, 100, 100)
			poor := errors.New("not enough")
			var wg sync.WaitGroup
			var mu sync.Mutex
			done := 0
			// Both read before one of them writes, where the engine lets two in.
			var both sync.WaitGroup
			both.Add(2)
			for _, id := range []string{"a", "b"} {
				first := true
				wg.Go(func() {
					err := db.RunTx(t.Context(), func(ctx context.Context, tx store.Tx) error {
						var sum int
						if err := tx.One(ctx, sumOfAccounts, nil, &sum); err != nil {
							return err
						}
						if first && e != store.SQLite {
							first = false
							both.Done()
							both.Wait()
						}
						if sum < 200 {
							return poor
						}
						_, err := tx.Exec(ctx, takeFrom, 150, id)
						return err
					})
					mu.Lock()
					defer mu.Unlock()
					if err == nil {
						done++
					} else if !errors.Is(err, poor) {
						t.Errorf("round %d: %v", round, err)
					}
				})
			}
			wg.Wait()
			var sum int
			if err := db.One(t.Context(), store.Current, sumOfAccounts, nil, &sum); err != nil {
				t.Fatal(err)
			}
			if done != 1 || sum != 50 {
				t.Fatalf("round %d: %d were told that they were done, %d is left: want 1 and 50", round, done, sum)
			}
		}
		if retries := db.Stats().Retries; e == store.Postgres && retries < 20 {
			t.Errorf("%d retries in 20 rounds: the two never met", retries)
		}
	})
}

// TestConcurrentTransfersAddUp has deadlocks and conflicts in it.
func TestConcurrentTransfersAddUp(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, e store.Engine) {
		db := openAccounts(t, dbtest.New(t, e))
		var wg sync.WaitGroup
		for i := range 8 {
			from, to := "a", "b"
			if i%2 == 0 {
				from, to = to, from
			}
			wg.Go(func() {
				for range 5 {
					err := db.RunTx(t.Context(), func(ctx context.Context, tx store.Tx) error {
						if _, err := tx.Exec(ctx, takeFrom, 1, from); err != nil {
							return err
						}
						_, err := tx.Exec(ctx, takeFrom, -1, to)
						return err
					})
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		for _, id := range []string{"a", "b"} {
			var n int
			if err := db.One(t.Context(), store.Current, `SELECT balance FROM accounts WHERE id = $1`, []any{id}, &n); err != nil || n != 100 {
				t.Errorf("account %s: %d, %v: want 100", id, n, err)
			}
		}
	})
}

// TestLostConnectionBeforeCommitIsRepeated ends the server's end of every connection, those in a transaction and those
// in the pool: nothing was committed, so nobody has to know.
func TestLostConnectionBeforeCommitIsRepeated(t *testing.T) {
	at := dbtest.New(t, store.Postgres)
	db, admin := openAccounts(t, at), openAccounts(t, at)
	kill := func() {
		t.Helper()
		var n int
		err := admin.One(t.Context(), store.Current, `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid()`, nil, &n)
		if err != nil || n == 0 {
			t.Fatalf("%d connections ended, %v", n, err)
		}
	}
	attempts := 0
	err := db.RunTx(t.Context(), func(ctx context.Context, tx store.Tx) error {
		if attempts++; attempts == 1 {
			kill()
		}
		_, err := tx.Exec(ctx, takeFrom, 10, "a")
		return err
	})
	if err != nil || attempts != 2 {
		t.Errorf("transaction: %d attempts, %v: want 2", attempts, err)
	}
	kill()
	var sum int
	if err := db.One(t.Context(), store.Current, sumOfAccounts, nil, &sum); err != nil || sum != 190 {
		t.Errorf("reading with a dead connection in the pool: %d, %v: want 190", sum, err)
	}
	attempts = 0
	kill()
	err = db.View(t.Context(), func(ctx context.Context, tx store.Reader) error {
		if attempts++; attempts == 1 {
			kill()
		}
		return tx.One(ctx, sumOfAccounts, nil, &sum)
	})
	if err != nil || attempts != 2 {
		t.Errorf("view: %d attempts, %v: want 2", attempts, err)
	}
}

// TestFinishedWithoutItsCaller: a transaction that has begun is committed although nobody waits any longer, and its
// connection is there for the next one.
func TestFinishedWithoutItsCaller(t *testing.T) {
	for _, engine := range []store.Engine{store.Postgres, store.Cockroach} {
		t.Run(string(engine), func(t *testing.T) {
			const session = `SELECT pg_backend_pid()`
			db := openAccounts(t, dbtest.New(t, engine))
			ctx, leave := context.WithCancel(t.Context())
			var sum, before, after int
			err := db.RunTx(ctx, func(ctx context.Context, tx store.Tx) error {
				leave()
				if err := tx.One(ctx, session, nil, &before); err != nil {
					return err
				}
				_, err := tx.Exec(ctx, takeFrom, 10, "a")
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := db.One(t.Context(), store.Current, sumOfAccounts, nil, &sum); err != nil || sum != 190 {
				t.Errorf("%d, %v: want 190", sum, err)
			}
			if err := db.One(t.Context(), store.Current, session, nil, &after); err != nil || after != before {
				t.Errorf("connection %d, then %d, %v: want one", before, after, err)
			}
		})
	}
}

// TestTheLeaderIsAskedFirst: once it is known which of the servers takes writes, the others are left alone.
func TestTheLeaderIsAskedFirst(t *testing.T) {
	leader, err := url.Parse(dbtest.NewProxy(t, dbtest.New(t, store.Postgres)).URL())
	if err != nil {
		t.Fatal(err)
	}
	other, knocks := closedDoor(t)
	leader.Host = other + "," + leader.Host
	db := openAccounts(t, leader.String())
	// Each of them waits for the others, so none can have the connection of another.
	const customers = 6
	var together, all sync.WaitGroup
	together.Add(customers)
	for range customers {
		all.Go(func() {
			met := false
			err := db.RunTx(t.Context(), func(context.Context, store.Tx) error {
				if !met {
					met = true
					together.Done()
					together.Wait()
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	// The pool opens its first connection beside the first that is asked for.
	if n := knocks.Load(); n < 1 || n > 2 {
		t.Errorf("the server that does not take writes was asked %d times: want once or twice", n)
	}
}

// closedDoor is an address that hangs up, and how often it did.
func closedDoor(t *testing.T) (string, *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	knocks := new(atomic.Int64)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			knocks.Add(1)
			conn.Close()
		}
	}()
	return l.Addr().String(), knocks
}

// TestNobodyThere ends with the caller's patience and says that nothing was changed.
func TestNobodyThere(t *testing.T) {
	for _, scheme := range []string{"postgres", "cockroach"} {
		db, err := store.Open(t.Context(), scheme+"://shop@127.0.0.1:1/shop?sslmode=disable")
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		start := time.Now()
		err = db.RunTx(ctx, func(context.Context, store.Tx) error {
			t.Error("ran without a database")
			return nil
		})
		if !errors.Is(err, store.ErrBusy) || errors.Is(err, store.ErrAmbiguous) || time.Since(start) > 5*time.Second {
			t.Errorf("%s: %v after %v: want ErrBusy", scheme, err, time.Since(start))
		}
	}
}

// TestFewLookForALeader: customers who wait while no server takes writes do not all knock at every door.
func TestFewLookForALeader(t *testing.T) {
	nobody, knocks := closedDoor(t)
	db, err := store.Open(t.Context(), "postgres://shop@"+nobody+"/shop?sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
	defer cancel()
	var customers sync.WaitGroup
	for range 40 {
		customers.Go(func() {
			if err := db.RunTx(ctx, func(context.Context, store.Tx) error { return nil }); !errors.Is(err, store.ErrBusy) {
				t.Errorf("%v: want ErrBusy", err)
			}
		})
	}
	customers.Wait()
	// A first wave, and then four in a second. All of them all the time make a thousand.
	n := knocks.Load()
	t.Logf("%d connections", n)
	if n == 0 || n > 250 {
		t.Errorf("%d connections: want some, and 250 at most", n)
	}
}

func TestOnlyCockroachReadsOldCopies(t *testing.T) {
	const sql = "SELECT a FROM t /*as-of*/ WHERE a = $1"
	for _, c := range []struct {
		engine store.Engine
		f      store.Freshness
		want   string
	}{
		{store.SQLite, store.Bounded, sql},
		{store.Postgres, store.Follower, sql},
		{store.Cockroach, store.Current, sql},
		{store.Cockroach, store.Follower, "SELECT a FROM t AS OF SYSTEM TIME follower_read_timestamp() WHERE a = $1"},
		{store.Cockroach, store.Bounded, "SELECT a FROM t AS OF SYSTEM TIME with_max_staleness('10s') WHERE a = $1"},
	} {
		if got := store.Render(c.engine, sql, c.f); got != c.want {
			t.Errorf("%s, %d: %s: want %s", c.engine, c.f, got, c.want)
		}
	}
}

// TestTablePerEngine: one description, three dialects.
func TestTablePerEngine(t *testing.T) {
	tables := []store.Table{
		{Name: "goods", Scope: store.Global, Key: []string{"sku"}, Columns: []store.Column{{Name: "sku"}}},
		{
			Name: "things", Key: []string{"region", "id"},
			Columns: []store.Column{{Name: "region"}, {Name: "id"}, {Name: "n", Type: store.Int, Check: "n > 0"}, {Name: "b", Type: store.Bytes}},
			Checks:  []string{"n < 9"}, Refs: []store.Ref{{Columns: []string{"id"}, Table: "goods", Key: []string{"sku"}}},
			Indexes: []store.Index{{Name: "by_n", Columns: []string{"region", "n"}}},
		},
	}
	for _, c := range []struct {
		engine  store.Engine
		regions []string
		want    string
	}{
		{store.SQLite, nil, `CREATE TABLE IF NOT EXISTS goods (
	sku TEXT NOT NULL,
	PRIMARY KEY (sku)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS things (
	region TEXT NOT NULL,
	id TEXT NOT NULL,
	n INTEGER NOT NULL CHECK (n > 0),
	b BLOB NOT NULL,
	CHECK (n < 9),
	FOREIGN KEY (id) REFERENCES goods (sku),
	PRIMARY KEY (region, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS things_by_n ON things (region, n)`},
		{store.Postgres, []string{"ignored"}, `CREATE TABLE IF NOT EXISTS goods (
	sku TEXT NOT NULL,
	PRIMARY KEY (sku)
);
CREATE TABLE IF NOT EXISTS things (
	region TEXT NOT NULL,
	id TEXT NOT NULL,
	n BIGINT NOT NULL CHECK (n > 0),
	b BYTEA NOT NULL,
	CHECK (n < 9),
	FOREIGN KEY (id) REFERENCES goods (sku),
	PRIMARY KEY (region, id)
);
CREATE INDEX IF NOT EXISTS things_by_n ON things (region, n)`},
		{store.Cockroach, []string{"us-east", "eu-west"}, `CREATE TABLE IF NOT EXISTS goods (
	sku TEXT NOT NULL,
	PRIMARY KEY (sku)
) LOCALITY GLOBAL;
CREATE TABLE IF NOT EXISTS things (
	region TEXT NOT NULL,
	id TEXT NOT NULL,
	n BIGINT NOT NULL CHECK (n > 0),
	b BYTEA NOT NULL,
	crdb_region crdb_internal_region NOT VISIBLE NOT NULL AS (CASE region WHEN 'us-east' THEN 'us-east'::crdb_internal_region WHEN 'eu-west' THEN 'eu-west'::crdb_internal_region END) STORED,
	CHECK (n < 9),
	FOREIGN KEY (id) REFERENCES goods (sku),
	PRIMARY KEY (region, id)
) LOCALITY REGIONAL BY ROW;
CREATE INDEX IF NOT EXISTS things_by_n ON things (region, n)`},
	} {
		if got := strings.Join(store.DDL(c.engine, tables, c.regions), ";\n"); got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", c.engine, got, c.want)
		}
	}
}

func TestDeclareRefusesBadTables(t *testing.T) {
	db, err := store.Open(t.Context(), dbtest.New(t, store.SQLite))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.Declare(t.Context(), []store.Table{
		{Name: "keyless", Scope: store.Global, Columns: []store.Column{{Name: "a"}}},
		{Name: "homeless", Columns: []store.Column{{Name: "id"}}, Key: []string{"id"}},
		{Name: "typo", Scope: store.Global, Columns: []store.Column{{Name: "a"}}, Key: []string{"b"}, Indexes: []store.Index{{Name: "i", Columns: []string{"c"}}}},
	}, nil)
	for _, want := range []string{"keyless: no key", "homeless: regional", `typo: key: no column "b"`, `typo: index i: no column "c"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: want %q in it", err, want)
		}
	}
}
