package shop

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/meridian-gtm/meridian/demo/shop/store"
)

// ErrNotFound means that there is nothing of that name.
var ErrNotFound = errors.New("not found")

// Shop is the shop's services on one database.
type Shop struct {
	db      *store.DB
	regions []string
	seams   seams
}

// Open opens the database at url (see store.Open) for the given regions, and makes the tables and puts the catalogue
// in place where they are missing. The caller closes the shop.
func Open(ctx context.Context, url string, regions []string, catalog []Product) (*Shop, error) {
	var faults []error
	for _, r := range regions {
		if !validRegion(r) {
			faults = append(faults, fmt.Errorf("region %q: want 1..32 of a-z, 0-9 and inner dashes", r))
		}
	}
	if len(regions) == 0 {
		faults = append(faults, errors.New("no regions: want one or more"))
	}
	if len(faults) > 0 {
		return nil, fmt.Errorf("shop: %w", errors.Join(faults...))
	}
	db, err := store.Open(ctx, url)
	if err != nil {
		return nil, fmt.Errorf("shop: %w", err)
	}
	s := &Shop{db: db, regions: slices.Clone(regions), seams: soundSeams(db)}
	if err := db.Declare(ctx, Tables(), regions); err != nil {
		return nil, errors.Join(fmt.Errorf("shop: %w", err), db.Close())
	}
	if err := s.stockUp(ctx, catalog, time.Now()); err != nil {
		return nil, errors.Join(fmt.Errorf("shop: %w", err), db.Close())
	}
	return s, nil
}

// Close ends the connections to the database. Transactions under way end first.
func (s *Shop) Close() error { return s.db.Close() }

// DB is the shop's database.
func (s *Shop) DB() *store.DB { return s.db }

// Regions returns the shop's regions.
func (s *Shop) Regions() []string { return slices.Clone(s.regions) }

// Ready reports whether the database answers and has what pages show.
func (s *Shop) Ready(ctx context.Context) error {
	var n int64
	err := s.db.One(ctx, store.Follower, `SELECT count(*) FROM products /*as-of*/`, nil, &n)
	if err == nil && n == 0 {
		err = errors.New("the catalogue is empty")
	}
	if err != nil {
		return fmt.Errorf("database: %w", err)
	}
	return nil
}

// Writable reports whether the database takes writes of a region.
func (s *Shop) Writable(ctx context.Context, region, replica string, now time.Time) error {
	err := s.db.RunTx(ctx, func(ctx context.Context, tx store.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO heartbeats (region, replica, at_ms) VALUES ($1, $2, $3)
			ON CONFLICT (region, replica) DO UPDATE SET at_ms = excluded.at_ms`, region, replica, now.UnixMilli())
		return err
	})
	if err != nil {
		return fmt.Errorf("database: writing: %w", err)
	}
	return nil
}

// validRegion reports whether s can be the first part of an id or a key: 1..32 of a-z, 0-9 and inner dashes.
func validRegion(s string) bool {
	if len(s) < 1 || len(s) > 32 || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for _, c := range []byte(s) {
		if c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return true
}

// regionOf returns the region that an id starts with.
func (s *Shop) regionOf(id string) (region string, ok bool) {
	i := strings.LastIndexByte(id, '-')
	if i < 0 || !slices.Contains(s.regions, id[:i]) {
		return "", false
	}
	return id[:i], true
}

// Backlog returns how many events of a region wait for the relay, and how many orders for the cashier or the
// warehouse. It is for monitoring and may be some seconds old.
func (s *Shop) Backlog(ctx context.Context, region string) (events, orders int64, err error) {
	err = s.db.One(ctx, store.Follower, `SELECT count(*) FROM outbox /*as-of*/ WHERE region = $1 AND published = 0`, []any{region}, &events)
	if err == nil {
		err = s.db.One(ctx, store.Follower, `SELECT count(*) FROM sagas /*as-of*/ WHERE region = $1 AND step IN ('charge', 'void', 'ship')`,
			[]any{region}, &orders)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("backlog of %s: %w", region, err)
	}
	return events, orders, nil
}
