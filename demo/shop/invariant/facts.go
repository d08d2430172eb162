package invariant

import (
	"context"
	"time"

	"github.com/meridian-gtm/meridian/demo/shop"
	"github.com/meridian-gtm/meridian/demo/shop/store"
)

// facts are the shop's rows as of one moment, as far as they have to agree.
type facts struct {
	orders  map[string]*order     // by id
	keys    map[string]string     // id by idempotency key
	stock   map[place]amount      //
	moves   map[place]amount      // sums
	movesOf map[string]amount     // sums by order
	entries map[string]shop.Money // sum of each ledger entry
	owed    map[string]shop.Money // what the bank owes, by order
	outbox  map[event]told
	bus     map[string][]busEntry // by region, in order
	onBus   map[event]bool
	mails   map[mail]int
}

type order struct {
	region, key string
	total       shop.Money
	lines       shop.Money // sum
	quantity    int        // sum
	status      shop.Status
	steps       int
	changed     time.Time
	history     []step
	saga        string
	attempts    int
}

type step struct {
	step   int
	status shop.Status
}

type place struct{ region, sku string }

func (p place) String() string { return p.sku + " in " + p.region }

type amount struct{ onHand, reserved int }

type event struct {
	order string
	step  int
}

type told struct {
	kind      shop.Status
	at        time.Time
	published bool
}

type busEntry struct {
	event
	kind            shop.Status
	position, token int64
}

type mail struct {
	order string
	kind  shop.Status
}

// waiting reports whether the cashier has still to settle the order with the bank.
func (o *order) waiting() bool { return o != nil && (o.saga == "charge" || o.saga == "void") }

// was reports whether the order ever had a status.
func (o *order) was(s shop.Status) bool {
	for _, h := range o.history {
		if h.status == s {
			return true
		}
	}
	return false
}

// read fills f from one consistent state.
func (f *facts) read(ctx context.Context, tx store.Reader) error {
	*f = facts{
		orders: map[string]*order{}, keys: map[string]string{}, stock: map[place]amount{}, moves: map[place]amount{},
		movesOf: map[string]amount{}, entries: map[string]shop.Money{}, owed: map[string]shop.Money{},
		outbox: map[event]told{}, bus: map[string][]busEntry{}, onBus: map[event]bool{}, mails: map[mail]int{},
	}
	for _, read := range []func(context.Context, store.Reader) error{
		f.readOrders, f.readLines, f.readHistory, f.readSagas, f.readKeys, f.readStock, f.readMoves, f.readLedger,
		f.readOutbox, f.readBus, f.readMails,
	} {
		if err := read(ctx, tx); err != nil {
			return err
		}
	}
	return nil
}

func (f *facts) readOrders(ctx context.Context, tx store.Reader) error {
	return tx.Each(ctx, `SELECT region, id, key, total, status, steps, changed_ms FROM orders`, nil, func(row store.Row) error {
		var id, status string
		var changed int64
		o := new(order)
		err := row.Scan(&o.region, &id, &o.key, &o.total, &status, &o.steps, &changed)
		o.status, o.changed = shop.Status(status), time.UnixMilli(changed)
		f.orders[id] = o
		return err
	})
}

// order returns an order to add to; one that is not there is a place to throw things.
func (f *facts) order(id string) *order {
	if o, found := f.orders[id]; found {
		return o
	}
	return new(order)
}

func (f *facts) readLines(ctx context.Context, tx store.Reader) error {
	return tx.Each(ctx, `SELECT order_id, quantity, price FROM order_lines`, nil, func(row store.Row) error {
		var id string
		var n int
		var price shop.Money
		err := row.Scan(&id, &n, &price)
		o := f.order(id)
		o.quantity += n
		o.lines += shop.Money(n) * price
		return err
	})
}

func (f *facts) readHistory(ctx context.Context, tx store.Reader) error {
	return tx.Each(ctx, `SELECT order_id, step, status FROM order_history ORDER BY region, order_id, step`, nil, func(row store.Row) error {
		var id, status string
		var s step
		err := row.Scan(&id, &s.step, &status)
		s.status = shop.Status(status)
		o := f.order(id)
		o.history = append(o.history, s)
		return err
	})
}

func (f *facts) readSagas(ctx context.Context, tx store.Reader) error {
	return tx.Each(ctx, `SELECT order_id, step, attempts FROM sagas`, nil, func(row store.Row) error {
		var id, step string
		var attempts int
		err := row.Scan(&id, &step, &attempts)
		o := f.order(id)
		o.saga, o.attempts = step, attempts
		return err
	})
}

func (f *facts) readKeys(ctx context.Context, tx store.Reader) error {
	return tx.Each(ctx, `SELECT region, key, order_id FROM idempotency`, nil, func(row store.Row) error {
		var region, key, id string
		err := row.Scan(&region, &key, &id)
		f.keys[region+"."+key] = id
		return err
	})
}

func (f *facts) readStock(ctx context.Context, tx store.Reader) error {
	return tx.Each(ctx, `SELECT region, sku, on_hand, reserved FROM stock`, nil, func(row store.Row) error {
		var p place
		var a amount
		err := row.Scan(&p.region, &p.sku, &a.onHand, &a.reserved)
		f.stock[p] = a
		return err
	})
}

func (f *facts) readMoves(ctx context.Context, tx store.Reader) error {
	return tx.Each(ctx, `SELECT region, sku, order_id, kind, on_hand, reserved FROM stock_moves`, nil, func(row store.Row) error {
		var p place
		var a amount
		var id, kind string
		err := row.Scan(&p.region, &p.sku, &id, &kind, &a.onHand, &a.reserved)
		sum := f.moves[p]
		f.moves[p] = amount{sum.onHand + a.onHand, sum.reserved + a.reserved}
		if kind != "receive" {
			sum := f.movesOf[id]
			f.movesOf[id] = amount{sum.onHand + a.onHand, sum.reserved + a.reserved}
		}
		return err
	})
}

func (f *facts) readLedger(ctx context.Context, tx store.Reader) error {
	return tx.Each(ctx, `SELECT entry_id, account, order_id, amount FROM ledger`, nil, func(row store.Row) error {
		var entry, account, id string
		var n shop.Money
		err := row.Scan(&entry, &account, &id, &n)
		f.entries[entry] += n
		if account == shop.AccountBank {
			f.owed[id] += n
		}
		return err
	})
}

func (f *facts) readOutbox(ctx context.Context, tx store.Reader) error {
	return tx.Each(ctx, `SELECT order_id, step, kind, at_ms, published FROM outbox`, nil, func(row store.Row) error {
		var e event
		var kind string
		var at, published int64
		err := row.Scan(&e.order, &e.step, &kind, &at, &published)
		f.outbox[e] = told{shop.Status(kind), time.UnixMilli(at), published == 1}
		return err
	})
}

func (f *facts) readBus(ctx context.Context, tx store.Reader) error {
	return tx.Each(ctx, `SELECT region, position, order_id, step, kind, token FROM bus ORDER BY region, position`, nil, func(row store.Row) error {
		var region, kind string
		var b busEntry
		err := row.Scan(&region, &b.position, &b.order, &b.step, &kind, &b.token)
		b.kind = shop.Status(kind)
		f.bus[region] = append(f.bus[region], b)
		f.onBus[b.event] = true
		return err
	})
}

func (f *facts) readMails(ctx context.Context, tx store.Reader) error {
	return tx.Each(ctx, `SELECT order_id, kind FROM mails`, nil, func(row store.Row) error {
		var id, kind string
		err := row.Scan(&id, &kind)
		f.mails[mail{id, shop.Status(kind)}]++
		return err
	})
}
