package invariant

import (
	"context"
	"fmt"
	"time"

	"github.com/meridian-gtm/meridian/demo/shop"
	"github.com/meridian-gtm/meridian/demo/shop/bank"
	"github.com/meridian-gtm/meridian/demo/shop/store"
)

// Book is the bank's own book; see bank.Client and Memory.
type Book interface {
	Entries(ctx context.Context) ([]bank.Entry, error)
}

// Memory is the book of a bank in the same process.
type Memory struct{ *bank.Book }

// Entries returns the book.
func (m Memory) Entries(context.Context) ([]bank.Entry, error) { return m.Book.Entries(), nil }

// Ack is an order that a client was told of.
type Ack struct {
	ID    string     `json:"id"`
	Key   string     `json:"key"` // "" = unknown
	Total shop.Money `json:"total_minor"`
	// Took is how long the client waited since its first attempt, in milliseconds; no invariant looks at it.
	Took int64 `json:"took_ms,omitempty"`
}

// Options of a check.
type Options struct {
	Book  Book          // nil = the comparison with the bank is skipped
	Acked []Ack         // nil = the comparison with clients is skipped
	Late  time.Duration // how long something may wait before it is stuck; default 1 min; negative = not at all
}

// Check reads everything and compares. It changes nothing. An error means that something could not be read: nothing is
// proven then. The database is read in one consistent state, the bank's book before and after it: what the bank had
// before must be known to the shop, and what the shop knows must be in the bank's book after.
func Check(ctx context.Context, db *store.DB, o Options) (Report, error) {
	if o.Late == 0 {
		o.Late = time.Minute
	}
	c := newCheck(o)
	c.report.Engine = string(db.Engine())
	var before, after []bank.Entry
	var err error
	if o.Book != nil {
		if before, err = o.Book.Entries(ctx); err != nil {
			return Report{}, fmt.Errorf("check: %w", err)
		}
	}
	err = db.View(ctx, func(ctx context.Context, tx store.Reader) error {
		c.facts = facts{}
		return c.facts.read(ctx, tx)
	})
	if err != nil {
		return Report{}, fmt.Errorf("check: %w", err)
	}
	now := time.Now()
	if o.Book != nil {
		if after, err = o.Book.Entries(ctx); err != nil {
			return Report{}, fmt.Errorf("check: %w", err)
		}
	}
	c.judge(before, after, now)
	return c.report, nil
}

// check is one run. Its methods are pure: they judge the facts.
type check struct {
	opt     Options
	facts   facts
	report  Report
	results map[Name]*Result
}

func newCheck(o Options) *check {
	c := &check{opt: o, report: Report{Acked: len(o.Acked)}, results: map[Name]*Result{}}
	for _, s := range says {
		c.results[s.name] = &Result{Name: s.name, Says: s.text, Violations: []string{}}
	}
	return c
}

// judge compares the facts with each other and with the bank's book, as it was before and after they were read.
func (c *check) judge(before, after []bank.Entry, now time.Time) {
	c.acknowledged()
	c.orders()
	c.stock()
	c.ledger(before, after)
	c.bus()
	c.drained(now)
	c.report.Orders = len(c.facts.orders)
	for _, s := range says {
		c.report.Checks = append(c.report.Checks, *c.results[s.name])
	}
}

func (c *check) acknowledged() {
	r := c.results[Acknowledged]
	if c.opt.Acked == nil {
		r.Skipped = "no log of acknowledged orders was given"
		return
	}
	for _, a := range c.opt.Acked {
		r.Checked++
		o, found := c.facts.orders[a.ID]
		switch {
		case !found:
			c.report.Lost++
			r.violate("order %s was acknowledged and is not there", a.ID)
		case o.total != a.Total:
			r.violate("order %s was acknowledged with a total of %s and has %s", a.ID, a.Total, o.total)
		case a.Key != "" && o.region+"."+o.key != a.Key:
			r.violate("order %s was acknowledged for key %s and has %s.%s", a.ID, a.Key, o.region, o.key)
		}
	}
}

// orders judges keys, totals and histories.
func (c *check) orders() {
	once, totals, history := c.results[OncePerKey], c.results[Totals], c.results[History]
	first := map[string]string{}
	for id, o := range c.facts.orders {
		once.Checked++
		key := o.region + "." + o.key
		if other, found := first[key]; found {
			c.report.Double++
			once.violate("key %s made the orders %s and %s", key, other, id)
		}
		first[key] = id
		if named := c.facts.keys[key]; named != id {
			once.violate("order %s: its key %s names order %q", id, key, named)
		}
		totals.Checked++
		if o.lines != o.total {
			totals.violate("order %s: total %s, lines sum to %s", id, o.total, o.lines)
		}
		history.Checked++
		at := shop.Status("")
		for i, s := range o.history {
			if s.step != i+1 || !at.May(s.status) {
				history.violate("order %s: step %d went from %q to %q", id, s.step, at, s.status)
			}
			at = s.status
		}
		if at != o.status || len(o.history) != o.steps {
			history.violate("order %s is %s after %d steps; its history ends with %q after %d", id, o.status, o.steps, at, len(o.history))
		}
		if !o.status.Final() {
			c.report.Open++
		}
	}
}

func (c *check) stock() {
	r := c.results[Stock]
	for at, s := range c.facts.stock {
		r.Checked++
		if s.reserved < 0 || s.reserved > s.onHand {
			c.report.Over += max(s.reserved-s.onHand, -s.onHand, 0)
			r.violate("%s: %d on hand, %d of them reserved", at, s.onHand, s.reserved)
		}
		if m := c.facts.moves[at]; m != s {
			// More was promised than the stock knows of: that many may be sold twice.
			c.report.Over += max(m.reserved-s.reserved, 0)
			r.violate("%s: %d on hand and %d reserved; its moves add up to %d and %d", at, s.onHand, s.reserved, m.onHand, m.reserved)
		}
	}
	for at := range c.facts.moves {
		if _, found := c.facts.stock[at]; !found {
			r.violate("%s: moves of what there never was", at)
		}
	}
	for id, o := range c.facts.orders {
		var want amount
		if o.status.Holds() {
			want.reserved = o.quantity
		}
		if o.status == shop.Shipped {
			want.onHand = -o.quantity
		}
		r.Checked++
		if got := c.facts.movesOf[id]; got != want {
			r.violate("order %s is %s and moved %d on hand and %d reserved: want %d and %d", id, o.status, got.onHand, got.reserved, want.onHand, want.reserved)
		}
	}
	for id, m := range c.facts.movesOf {
		if _, found := c.facts.orders[id]; !found {
			r.violate("order %s moved %d on hand and %d reserved and is not there", id, m.onHand, m.reserved)
		}
	}
}

func (c *check) ledger(before, after []bank.Entry) {
	r := c.results[Ledger]
	for id, sum := range c.facts.entries {
		r.Checked++
		if sum != 0 {
			r.violate("entry %s sums to %s", id, sum)
		}
	}
	r = c.results[Bank]
	if c.opt.Book == nil {
		r.Skipped = "no bank was given"
		return
	}
	// What the bank took and gave back, by order.
	sum := func(entries []bank.Entry) (net map[string]shop.Money, taken map[string]int) {
		net, taken = map[string]shop.Money{}, map[string]int{}
		for _, e := range entries {
			net[e.Name] += shop.Money(e.Amount)
			if e.Amount > 0 {
				taken[e.Name]++
			}
		}
		return net, taken
	}
	was, taken := sum(before)
	is, _ := sum(after)
	for id, n := range was {
		r.Checked++
		o, found := c.facts.orders[id]
		switch {
		case !found:
			r.violate("the bank took %s for order %s, which is not there", n, id)
		case taken[id] > 1:
			r.violate("the bank charged order %s %d times", id, taken[id])
		case o.waiting(): // the bank is ahead of the ledger
		case c.facts.owed[id] != n && c.facts.owed[id] != is[id]:
			r.violate("order %s is %s: the ledger says %s, the bank's book %s", id, o.status, c.facts.owed[id], n)
		}
	}
	for id, owed := range c.facts.owed {
		if _, seen := was[id]; seen {
			continue
		}
		r.Checked++
		if o := c.facts.orders[id]; is[id] != owed && owed != 0 && !o.waiting() {
			r.violate("order %s: the ledger says %s, the bank's book %s", id, owed, is[id])
		}
	}
	for id, o := range c.facts.orders {
		want := shop.Money(0)
		if o.status == shop.Paid || o.status == shop.Shipped {
			want = o.total
		}
		r.Checked++
		if got := c.facts.owed[id]; got != want && o.status != shop.Cancelling {
			r.violate("order %s is %s over %s: the ledger says %s", id, o.status, o.total, got)
		}
	}
}

// bus judges outbox, bus and inboxes.
func (c *check) bus() {
	outbox, fencing, inbox := c.results[Outbox], c.results[Fencing], c.results[Inbox]
	for id, o := range c.facts.orders {
		for _, s := range o.history {
			outbox.Checked++
			e := event{id, s.step}
			told, found := c.facts.outbox[e]
			switch {
			case !found:
				outbox.violate("order %s: step %d (%s) has no event", id, s.step, s.status)
			case told.kind != s.status:
				outbox.violate("order %s: step %d is %s, its event says %s", id, s.step, s.status, told.kind)
			case told.published && !c.facts.onBus[e]:
				outbox.violate("order %s: the event of step %d (%s) counts as published and is not on the bus", id, s.step, s.status)
			}
		}
	}
	// A relay may send an event again. The first time counts, and an order's own come in their order.
	for region, log := range c.facts.bus {
		token, last := int64(0), map[string]int{}
		for _, b := range log {
			fencing.Checked++
			if b.token < token {
				fencing.violate("bus of %s: position %d was written with token %d after token %d", region, b.position, b.token, token)
			}
			token = max(token, b.token)
			if _, found := c.facts.outbox[b.event]; !found {
				outbox.violate("bus of %s: position %d tells of step %d (%s) of order %s, which never was", region, b.position, b.step, b.kind, b.order)
			}
			if b.step > last[b.order]+1 {
				outbox.violate("bus of %s: position %d tells of step %d of order %s before step %d", region, b.position, b.step, b.order, last[b.order]+1)
			}
			last[b.order] = max(last[b.order], b.step)
		}
	}
	for m, n := range c.facts.mails {
		inbox.Checked++
		if n != 1 {
			inbox.violate("order %s: the customer was told %d times that it is %s", m.order, n, m.kind)
		}
		if o, found := c.facts.orders[m.order]; !found || !o.was(m.kind) {
			inbox.violate("order %s: the customer was told that it is %s, which it never was", m.order, m.kind)
		}
	}
}

func (c *check) drained(now time.Time) {
	r := c.results[Drained]
	if c.opt.Late < 0 {
		c.opt.Late = 0
	}
	late := func(at time.Time) bool { return now.Sub(at) >= c.opt.Late }
	for id, o := range c.facts.orders {
		r.Checked++
		if !o.status.Final() && late(o.changed) {
			c.report.Stuck++
			r.violate("order %s has been %s for %v (next: %s, %d attempts)", id, o.status, now.Sub(o.changed).Round(time.Second), o.saga, o.attempts)
		}
		if o.status.Final() && o.waiting() {
			r.violate("order %s is %s and still waits for %s", id, o.status, o.saga)
		}
	}
	for e, told := range c.facts.outbox {
		if told.published {
			continue
		}
		c.report.Events++
		if r.Checked++; late(told.at) {
			r.violate("the event of step %d of order %s has been waiting for %v", e.step, e.order, now.Sub(told.at).Round(time.Second))
		}
	}
}
