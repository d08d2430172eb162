// Package shop is a small web shop that runs in several regions at once: catalogue, carts, orders, stock, payments at
// somebody else's bank, and the events that join them. It is a modular monolith: one binary, whose parts speak
// through the database and could each run alone.
//
// Every row has a home region and every id starts with it. The idempotency key of an order carries the home region of
// the form it was made from: a client whose region dies between commit and response retries in another region, which
// looks the key up in the same home and finds the same order instead of making a second one.
//
// An order's way:
//
//	Place      one transaction: idempotency, stock reserved, order, outbox         -> placed
//	Cashier    charges at the bank, outside of any transaction, under the order's  -> paid, declined
//	           name; then one transaction: ledger, status, outbox
//	Relay      moves events from the outbox to the bus; one per region, fenced
//	Warehouse  hears of paid orders; one transaction: stock leaves, status         -> shipped
//	Postman    hears of events and writes to the customer, once
//	Cancel     before it was shipped: the cashier voids at the bank, stock returns -> cancelling, cancelled
//
// Packages: store runs transactions on SQLite, PostgreSQL and CockroachDB; bank is the mock of the bank; web has the
// pages and the API; invariant proves that nothing was lost, doubled or oversold; load buys and remembers what was
// acknowledged; role runs it all.
//
// [Shop] is safe for concurrent use, also from several processes on one database.
package shop
