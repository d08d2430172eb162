package shop

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/meridian-gtm/meridian/demo/shop/store"
)

// lease says who does a job of a region, until when by his own clock. The token grows with every change of owner.
// Clocks may differ and owners may sleep past the end of their lease: whoever writes where two could do harm shows
// the token.
type lease struct {
	token int64
	until time.Time
}

// takeLease renews the owner's lease, or takes one that ended more than grace ago. held is false while it is somebody
// else's.
func (s *Shop) takeLease(ctx context.Context, region, name, owner string, ttl, grace time.Duration, now time.Time) (l lease, held bool, err error) {
	err = s.db.RunTx(ctx, func(ctx context.Context, tx store.Tx) error {
		l, held = lease{token: 1, until: now.Add(ttl)}, true
		var before string
		var token, until int64
		err := tx.One(ctx, `SELECT owner, token, until_ms FROM leases WHERE region = $1 AND name = $2`, []any{region, name}, &before, &token, &until)
		switch {
		case errors.Is(err, store.ErrNoRows):
			_, err := tx.Exec(ctx, `INSERT INTO leases (region, name, owner, token, until_ms) VALUES ($1, $2, $3, $4, $5)`,
				region, name, owner, l.token, l.until.UnixMilli())
			return err
		case err != nil:
			return err
		case before == owner:
			l.token = token
		case now.Before(time.UnixMilli(until).Add(grace)):
			l, held = lease{}, false
			return nil
		default:
			l.token = token + 1
		}
		_, err = tx.Exec(ctx, `UPDATE leases SET owner = $1, token = $2, until_ms = $3 WHERE region = $4 AND name = $5`,
			owner, l.token, l.until.UnixMilli(), region, name)
		return err
	})
	if err != nil {
		return lease{}, false, fmt.Errorf("lease %s of %s: %w", name, region, err)
	}
	return l, held, nil
}

// endLease lets the next owner in at once.
func (s *Shop) endLease(ctx context.Context, region, name, owner string, now time.Time) error {
	return s.db.RunTx(ctx, func(ctx context.Context, tx store.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE leases SET until_ms = $1 WHERE region = $2 AND name = $3 AND owner = $4`,
			now.Add(-time.Hour).UnixMilli(), region, name, owner)
		return err
	})
}
