package store_test

import (
	"context"
	"net/url"
	"testing"
	"time"

	"github.com/meridian-gtm/meridian/demo/shop/dbtest"
	"github.com/meridian-gtm/meridian/demo/shop/store"
)

// TestTheNearServer: what may be old is read near, whatever becomes of the leader, and from the leader when near is gone.
func TestTheNearServer(t *testing.T) {
	at := dbtest.New(t, store.Postgres)
	open := func() (db *store.DB, leader, near *dbtest.Proxy) {
		leader, near = dbtest.NewProxy(t, at), dbtest.NewProxy(t, at)
		u, err := url.Parse(near.URL())
		if err != nil {
			t.Fatal(err)
		}
		return openAccounts(t, leader.URL()+"&near="+u.Host), leader, near
	}
	read := func(db *store.DB, f store.Freshness) error {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		var sum int64
		return db.One(ctx, f, sumOfAccounts, nil, &sum)
	}

	db, leader, near := open()
	leader.Lose()
	for _, f := range []store.Freshness{store.Follower, store.Bounded} {
		if err := read(db, f); err != nil {
			t.Errorf("freshness %d without the leader: %v", f, err)
		}
	}
	if read(db, store.Current) == nil {
		t.Error("a current reading came from another server than the leader")
	}
	near.Lose()
	if read(db, store.Follower) == nil {
		t.Error("an old reading came from nowhere")
	}

	db, _, near = open()
	near.Lose()
	for range 3 {
		if err := read(db, store.Follower); err != nil {
			t.Errorf("an old reading without the near server: %v", err)
		}
	}

	if _, err := store.Open(t.Context(), at+"&near=nowhere"); err == nil {
		t.Error("near=nowhere: want an error")
	}
}

// TestSlowNearServerKeepsItsConnection: what the near server is too slow for, the leader is asked, and the next statement
// need not log in again.
func TestSlowNearServerKeepsItsConnection(t *testing.T) {
	at := dbtest.New(t, store.Postgres)
	u, err := url.Parse(dbtest.NewProxy(t, at).URL())
	if err != nil {
		t.Fatal(err)
	}
	db := openAccounts(t, dbtest.NewProxy(t, at).URL()+"&near="+u.Host)
	ask := func(f store.Freshness, sql string) (pid int) {
		t.Helper()
		if err := db.One(t.Context(), f, sql, nil, &pid); err != nil {
			t.Fatal(err)
		}
		return pid
	}
	const fast, slow = `SELECT pg_backend_pid()`, `SELECT pg_backend_pid() FROM pg_sleep(1)`
	leader := ask(store.Current, fast)
	// near asks until the answer is the near server's, which is avoided for a while after it was slow.
	near := func() int {
		for deadline := time.Now().Add(10 * time.Second); ; {
			if pid := ask(store.Follower, fast); pid != leader {
				return pid
			}
			if time.Now().After(deadline) {
				t.Fatal("the near server is not asked")
			}
		}
	}
	// A machine that is busy may take too long for what the server says to its being asked to give up.
	for try := 1; ; try++ {
		before := near()
		if by := ask(store.Follower, slow); by != leader {
			t.Fatalf("%d answered after a second, not the leader %d", by, leader)
		}
		after := near()
		if after == before {
			return
		}
		if try == 5 {
			t.Fatalf("connection %d, then %d: want one", before, after)
		}
	}
}
