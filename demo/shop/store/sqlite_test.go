package store

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
)

func openTest(t *testing.T, path string) *DB {
	t.Helper()
	db, err := Open(t.Context(), "sqlite:"+path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	tables := []Table{{Name: "things", Columns: []Column{{Name: "region"}, {Name: "id"}, {Name: "n", Type: Int}}, Key: []string{"region", "id"}}}
	if err := db.Declare(t.Context(), tables, []string{"here"}); err != nil {
		t.Fatal(err)
	}
	return db
}

func put(ctx context.Context, tx Tx) error {
	_, err := tx.Exec(ctx, `INSERT INTO things (region, id, n) VALUES ($1, $2, $3)`, "here", "a", 1)
	return err
}

func TestSQLiteReadersCannotWrite(t *testing.T) {
	// A name that has to be escaped in a file: URI.
	db := openTest(t, filepath.Join(t.TempDir(), "a shop?#%.db"))
	d := db.driver.(*sqliteDriver)
	if _, err := d.r.ExecContext(t.Context(), `DELETE FROM things`); err == nil {
		t.Error("a reading connection deleted things")
	}
}

func TestSQLiteBusyIsNamed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "shop.db")
	db, other := openTest(t, path), openTest(t, path)
	if _, err := db.driver.(*sqliteDriver).w.ExecContext(t.Context(), `PRAGMA busy_timeout = 1`); err != nil {
		t.Fatal(err)
	}
	// Another process's writer, which does not let go.
	tx, err := other.driver.(*sqliteDriver).w.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	if err := db.RunTx(t.Context(), put); !errors.Is(err, ErrBusy) {
		t.Errorf("transaction while the database is locked: %v: want ErrBusy", err)
	}
	var n int
	if err := db.One(t.Context(), Current, `SELECT count(*) FROM things`, nil, &n); err != nil || n != 0 {
		t.Errorf("readers wait for the writer: %d, %v", n, err)
	}
}

func TestFailedTransactionLeavesNothing(t *testing.T) {
	db := openTest(t, filepath.Join(t.TempDir(), "shop.db"))
	want := errors.New("no")
	err := db.RunTx(t.Context(), func(ctx context.Context, tx Tx) error { return errors.Join(put(ctx, tx), want) })
	if !errors.Is(err, want) {
		t.Errorf("%v: want %v", err, want)
	}
	if err := db.One(t.Context(), Current, `SELECT n FROM things`, nil, new(int)); !errors.Is(err, ErrNoRows) {
		t.Errorf("after a failed transaction: %v: want ErrNoRows", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	err = db.RunTx(ctx, func(ctx context.Context, tx Tx) error {
		defer cancel()
		return put(ctx, tx)
	})
	if !errors.Is(err, context.Canceled) || errors.Is(err, ErrAmbiguous) {
		t.Errorf("cancelled before COMMIT: %v: want context.Canceled, and no doubt", err)
	}
	if err := db.One(t.Context(), Current, `SELECT n FROM things`, nil, new(int)); !errors.Is(err, ErrNoRows) {
		t.Errorf("after a cancelled transaction: %v: want ErrNoRows", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	for _, url := range []string{"", "shop.db", "sqlite:", "sqlite:/nowhere/at/all/shop.db", "mysql://localhost/shop", "postgres://%zz"} {
		if db, err := Open(t.Context(), url); err == nil {
			db.Close()
			t.Errorf("%q: want an error", url)
		}
	}
}
