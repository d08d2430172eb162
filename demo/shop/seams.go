package shop

import (
	"context"
	"time"

	"github.com/meridian-gtm/meridian/demo/shop/store"
)

// seams are the places where a mistake would cost money. Tests put the classic mistakes there, and prove that the
// invariants notice each of them.
type seams struct {
	commit     func(ctx context.Context, fn func(context.Context, store.Tx) error) error // of a new order
	remembered func(ctx context.Context, tx store.Reader, key Key) (digest []byte, id string, err error)
	remember   func(ctx context.Context, tx store.Tx, o Order, digest []byte) error
	reserve    func(ctx context.Context, tx store.Tx, region, order string, l Line, now time.Time) error
	emit       func(ctx context.Context, tx store.Tx, e Event) error
	publish    func(ctx context.Context, db *store.DB, region string, token int64, events []Event) error
	seen       func(ctx context.Context, tx store.Tx, consumer string, e Event, now time.Time) (bool, error)
	payment    func(o Order, attempt int) string // what the bank knows a payment by
	post       func(ctx context.Context, tx store.Tx, o Order, entry string, amount Money, now time.Time) error
}

func soundSeams(db *store.DB) seams {
	return seams{
		commit: db.RunTx, remembered: remembered, remember: remember, reserve: reserve,
		emit: emit, publish: publish, seen: seen, post: post,
		payment: func(o Order, _ int) string { return o.ID },
	}
}
