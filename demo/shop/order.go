package shop

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/meridian-gtm/meridian/demo/shop/store"
)

// Bounds of one order.
const (
	maxLines    = 20
	MaxQuantity = 99 // of one line
	MaxCustomer = 80 // characters of a name
)

// InvalidError says what is wrong with an order as the client sent it.
type InvalidError struct{ Reason string }

func (e *InvalidError) Error() string { return e.Reason }

// Line is one position of an order.
type Line struct {
	SKU      string `json:"sku"`
	Quantity int    `json:"quantity"`              // 1..99
	Price    Money  `json:"price_minor,omitempty"` // of one; set by the shop
}

// Draft is an order that a client asks for.
type Draft struct {
	Key      Key
	Customer string // 1..80 characters
	Lines    []Line // 1..20; lines of the same product are added up
}

// Order is a placed order.
type Order struct {
	ID       string    `json:"id"`       // starts with the home region
	Region   string    `json:"region"`   // home: where its rows live
	TakenBy  string    `json:"taken_by"` // region of the replica that took it
	Customer string    `json:"customer"`
	Total    Money     `json:"total_minor"`
	Currency string    `json:"currency"`
	Status   Status    `json:"status"`
	Created  time.Time `json:"created"`
	Changed  time.Time `json:"changed"`
	Lines    []Line    `json:"lines"` // sorted by product

	key   Key
	steps int
}

// check validates d and brings it into canonical form: one line per product, sorted, so that two spellings of the
// same order are the same order and that transactions touch stock in one sequence.
func (s *Shop) check(d *Draft) error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if !slices.Contains(s.regions, d.Key.Region) {
		fault("idempotency key: region %q: want one of %s", d.Key.Region, strings.Join(s.regions, ", "))
	}
	d.Customer = strings.TrimSpace(d.Customer)
	if n := utf8.RuneCountInString(d.Customer); n < 1 || n > MaxCustomer || !utf8.ValidString(d.Customer) || strings.ContainsRune(d.Customer, 0) {
		fault("customer: %d characters: want 1..%d", n, MaxCustomer)
	}
	quantity := map[string]int{}
	for _, l := range d.Lines {
		if l.Quantity < 1 || l.Quantity > MaxQuantity {
			fault("line %.40q: quantity %d: want 1..%d", l.SKU, l.Quantity, MaxQuantity)
			continue
		}
		if !utf8.ValidString(l.SKU) || strings.ContainsRune(l.SKU, 0) {
			fault("line %.40q: want text", l.SKU)
			continue
		}
		quantity[l.SKU] += l.Quantity
	}
	if n := len(d.Lines); n < 1 || n > maxLines {
		fault("lines: %d: want 1..%d", n, maxLines)
	}
	if len(faults) > 0 {
		return &InvalidError{errors.Join(faults...).Error()}
	}
	d.Lines = make([]Line, 0, len(quantity))
	for sku, n := range quantity {
		d.Lines = append(d.Lines, Line{SKU: sku, Quantity: n})
	}
	slices.SortFunc(d.Lines, func(a, b Line) int { return strings.Compare(a.SKU, b.SKU) })
	return nil
}

// digest identifies the contents of a checked draft. Every field is quoted, so that no two drafts share a text.
func (d Draft) digest() []byte {
	h := sha256.New()
	fmt.Fprintf(h, "%q", d.Customer)
	for _, l := range d.Lines {
		fmt.Fprintf(h, " %q %d", l.SKU, l.Quantity)
	}
	return h.Sum(nil)
}

const (
	orderByID = `SELECT region, id, key, taken_by, customer, total, status, steps, created_ms, changed_ms
		FROM orders /*as-of*/ WHERE region = $1 AND id = $2`
	linesOfOrder = `SELECT sku, quantity, price FROM order_lines /*as-of*/ WHERE region = $1 AND order_id = $2 ORDER BY sku`
)

// Order returns an order by its id, or ErrNotFound. The order may be up to 10 s old where that keeps it readable in a
// region that is cut off; what is not in the old copy is looked for in the current one.
func (s *Shop) Order(ctx context.Context, id string) (Order, error) {
	region, ok := s.regionOf(id)
	if !ok {
		return Order{}, fmt.Errorf("order %.80q: %w", id, ErrNotFound)
	}
	o, err := find(ctx, aged{s.db, store.Bounded}, region, id)
	if err == nil && o.complete() {
		return o, nil
	}
	// Not there yet, or its lines not yet, in the copy at hand.
	err = s.db.View(ctx, func(ctx context.Context, tx store.Reader) (err error) {
		o, err = find(ctx, tx, region, id)
		return err
	})
	if err != nil {
		return Order{}, fmt.Errorf("order %s: %w", id, err)
	}
	return o, nil
}

// complete reports whether the lines belong to the order: the two were perhaps not read at one time.
func (o Order) complete() bool {
	var sum Money
	for _, l := range o.Lines {
		sum += l.Price * Money(l.Quantity)
	}
	return len(o.Lines) > 0 && sum == o.Total
}

// aged reads outside of transactions.
type aged struct {
	db *store.DB
	f  store.Freshness
}

func (a aged) Each(ctx context.Context, sql string, args []any, fn func(store.Row) error) error {
	return a.db.Each(ctx, a.f, sql, args, fn)
}

func (a aged) One(ctx context.Context, sql string, args []any, dest ...any) error {
	return a.db.One(ctx, a.f, sql, args, dest...)
}

func find(ctx context.Context, tx store.Reader, region, id string) (Order, error) {
	o := Order{Currency: Currency}
	var created, changed int64
	var status, key string
	err := tx.One(ctx, orderByID, []any{region, id},
		&o.Region, &o.ID, &key, &o.TakenBy, &o.Customer, &o.Total, &status, &o.steps, &created, &changed)
	if errors.Is(err, store.ErrNoRows) {
		return Order{}, ErrNotFound
	}
	if err != nil {
		return Order{}, err
	}
	o.Status, o.key = Status(status), Key{region, key}
	o.Created, o.Changed = time.UnixMilli(created).UTC(), time.UnixMilli(changed).UTC()
	err = tx.Each(ctx, linesOfOrder, []any{region, id}, func(row store.Row) error {
		var l Line
		err := row.Scan(&l.SKU, &l.Quantity, &l.Price)
		o.Lines = append(o.Lines, l)
		return err
	})
	return o, err
}

// Orders returns the newest orders of a region, without their lines. They may be some seconds old.
func (s *Shop) Orders(ctx context.Context, region string, limit int) ([]Order, error) {
	var all []Order
	err := s.db.Each(ctx, store.Follower,
		`SELECT region, id, taken_by, customer, total, status, created_ms, changed_ms FROM orders /*as-of*/
		WHERE region = $1 ORDER BY created_ms DESC, id LIMIT $2`, []any{region, limit}, func(row store.Row) error {
			o := Order{Currency: Currency}
			var created, changed int64
			var status string
			err := row.Scan(&o.Region, &o.ID, &o.TakenBy, &o.Customer, &o.Total, &status, &created, &changed)
			o.Status, o.Created, o.Changed = Status(status), time.UnixMilli(created).UTC(), time.UnixMilli(changed).UTC()
			all = append(all, o)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("orders of %s: %w", region, err)
	}
	return all, nil
}
