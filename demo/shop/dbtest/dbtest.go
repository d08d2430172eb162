// Package dbtest gives tests the databases that the shop runs on: a SQLite file, a real PostgreSQL that the test
// process starts from the machine's own binaries, and CockroachDB where somebody brings one. A test that cannot have
// its engine is skipped and says why.
//
// CockroachDB: SHOP_TEST_CRDB_URL names a running cluster ("cockroach://root@127.0.0.1:26257/defaultdb?sslmode=disable"),
// or COCKROACH_BINARY a program of which three nodes with regions are started.
package dbtest

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-gtm/meridian/demo/shop/store"
)

// Regions are those of the databases that New makes. A cluster of SHOP_TEST_CRDB_URL has them or no regions at all.
var Regions = []string{"us-east", "eu-west", "ap-south"}

// servers are what the test process has started, by engine.
var servers = struct {
	sync.Mutex
	postgres, cockroach *server
}{}

// server is a database server of this process.
type server struct {
	url  string // with a database %s
	stop func()
	skip string // why there is none
	err  error
}

// Main runs a package's tests and then stops the servers that they started. Call it from TestMain:
// os.Exit(dbtest.Main(m)).
func Main(m *testing.M) int {
	defer func() {
		servers.Lock()
		defer servers.Unlock()
		for _, s := range []*server{servers.postgres, servers.cockroach} {
			if s != nil && s.stop != nil {
				s.stop()
			}
		}
	}()
	return m.Run()
}

// Each runs test on every engine, as subtests named after them.
func Each(t *testing.T, test func(t *testing.T, engine store.Engine)) {
	for _, e := range store.Engines() {
		t.Run(string(e), func(t *testing.T) { test(t, e) })
	}
}

// New makes an empty database and returns its URL for store.Open, or skips the test.
func New(t testing.TB, engine store.Engine) string {
	t.Helper()
	var s *server
	switch engine {
	case store.SQLite:
		return "sqlite:" + filepath.Join(t.TempDir(), "shop.db")
	case store.Postgres:
		s = once(&servers.postgres, startPostgres)
	case store.Cockroach:
		s = once(&servers.cockroach, startCockroach)
	default:
		t.Fatalf("engine %q: want one of %v", engine, store.Engines())
	}
	switch {
	case s.err != nil:
		t.Fatal(s.err)
	case s.skip != "":
		t.Skip("NOT RUN ON " + strings.ToUpper(string(engine)) + ": " + s.skip)
	}
	name := "t" + strings.ToLower(rand.Text()[:12])
	at := fmt.Sprintf(s.url, name)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := store.Create(ctx, at, regionsOf(engine)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { drop(t, s, engine, name) })
	return at
}

// regionsOf are the regions that a database is made with.
func regionsOf(engine store.Engine) []string {
	if engine == store.Cockroach && os.Getenv("SHOP_TEST_CRDB_URL") == "" {
		return Regions
	}
	return nil
}

func once(at **server, start func() *server) *server {
	servers.Lock()
	defer servers.Unlock()
	if *at == nil {
		*at = start()
	}
	return *at
}

// drop removes a database that nobody needs any more; the next tests are faster without it.
func drop(t testing.TB, s *server, engine store.Engine, name string) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	admin, statement := "postgres", "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)"
	if engine == store.Cockroach {
		admin, statement = "defaultdb", "DROP DATABASE IF EXISTS "+name+" CASCADE"
	}
	_, rest, _ := strings.Cut(fmt.Sprintf(s.url, admin), ":")
	conn, err := pgx.Connect(ctx, "postgres:"+rest)
	if err != nil {
		t.Logf("drop %s: %v", name, err)
		return
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, statement); err != nil {
		t.Logf("drop %s: %v", name, err)
	}
}

// clusterURL turns the URL of a running cluster into one with a database %s.
func clusterURL(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil {
		return "", fmt.Errorf("SHOP_TEST_CRDB_URL: %w", err)
	}
	query := ""
	if u.RawQuery != "" {
		query = "?" + strings.ReplaceAll(u.RawQuery, "%", "%%")
	}
	user := ""
	if u.User != nil {
		user = strings.ReplaceAll(u.User.String(), "%", "%%") + "@"
	}
	return "cockroach://" + user + u.Host + "/%s" + query, nil
}
