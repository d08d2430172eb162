package shop

import (
	"context"
	"time"

	"github.com/meridian-gtm/meridian/demo/shop/store"
)

// Accounts of the ledger.
const (
	AccountBank  = "bank"  // what the bank owes the shop
	AccountSales = "sales" // what was earned, negative
)

// post enters amount, double: the bank owes it, sales earned it. Entering the same entry twice is entering it once.
func post(ctx context.Context, tx store.Tx, o Order, entry string, amount Money, now time.Time) error {
	if amount == 0 {
		return nil
	}
	for _, leg := range []struct {
		account string
		amount  Money
	}{{AccountBank, amount}, {AccountSales, -amount}} {
		if _, err := tx.Exec(ctx,
			`INSERT INTO ledger (region, entry_id, account, order_id, amount, at_ms) VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (region, entry_id, account) DO NOTHING`,
			o.Region, entry, leg.account, o.ID, leg.amount, now.UnixMilli()); err != nil {
			return err
		}
	}
	return nil
}
