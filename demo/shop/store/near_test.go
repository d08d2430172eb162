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
