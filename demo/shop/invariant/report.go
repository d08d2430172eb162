package invariant

import (
	"fmt"
	"io"
	"strings"
)

// Name names an invariant.
type Name string

// The invariants.
const (
	Acknowledged Name = "acknowledged" // every acknowledged order exists, with the same total
	OncePerKey   Name = "once-per-key" // at most one order per idempotency key, and it is the one that the key names
	Totals       Name = "totals"       // an order's total is the sum of its lines
	Stock        Name = "stock"        // 0 <= reserved <= on hand, and the moves add up, per product and per order
	Ledger       Name = "ledger"       // every entry sums to zero
	Bank         Name = "bank"         // the ledger and the bank's book are the same
	History      Name = "history"      // statuses follow the state machine, and the last one is the order's
	Outbox       Name = "outbox"       // every status has its event, every event that was published is on the bus, and no other
	Fencing      Name = "fencing"      // no relay wrote to the bus after a newer one had
	Inbox        Name = "inbox"        // every event had its effect once
	Drained      Name = "drained"      // nothing has been waiting for too long
)

// Says is what each invariant claims, for people.
var says = []struct {
	name Name
	text string
}{
	{Acknowledged, "every order that a client was told of exists, with the same total"},
	{OncePerKey, "an idempotency key made at most one order"},
	{Totals, "an order's total is the sum of its lines"},
	{Stock, "stock is never negative or promised twice, and its moves add up"},
	{Ledger, "every ledger entry sums to zero"},
	{Bank, "the ledger and the bank's own book agree"},
	{History, "orders only took steps that the state machine allows"},
	{Outbox, "every step was told of on the bus, and nothing else was"},
	{Fencing, "no relay wrote after a newer one had"},
	{Inbox, "every event had its effect once"},
	{Drained, "nothing has been waiting for too long"},
}

// Report is the outcome of a check.
type Report struct {
	Engine string   `json:"engine"`
	Orders int      `json:"orders"` // in the database
	Acked  int      `json:"acked"`  // that clients were told of, as far as the check was given a log
	Open   int      `json:"open"`   // orders still on their way
	Events int      `json:"events"` // not yet on the bus
	Lost   int      `json:"lost"`   // acknowledged and not there
	Double int      `json:"double"` // more than one order for a key
	Over   int      `json:"over"`   // products sold that there never were
	Stuck  int      `json:"stuck"`  // waiting for too long
	Checks []Result `json:"checks"`
}

// Result is one invariant's outcome.
type Result struct {
	Name       Name     `json:"name"`
	Says       string   `json:"says"`
	Checked    int      `json:"checked"`    // things that were looked at
	Violations []string `json:"violations"` // at most 20, for people
	More       int      `json:"more,omitempty"`
	Skipped    string   `json:"skipped,omitempty"` // why it was not checked; "" = it was
}

// maxViolations is how many of an invariant's violations are told in full.
const maxViolations = 20

func (r *Result) violate(format string, args ...any) {
	if len(r.Violations) >= maxViolations {
		r.More++
		return
	}
	r.Violations = append(r.Violations, fmt.Sprintf(format, args...))
}

// OK reports whether no invariant is violated. One that was skipped is not.
func (r Report) OK() bool { return len(r.Violated()) == 0 }

// Violated names the invariants that are violated.
func (r Report) Violated() []Name {
	var names []Name
	for _, c := range r.Checks {
		if len(c.Violations) > 0 {
			names = append(names, c.Name)
		}
	}
	return names
}

// String is the one line that a drill ends with.
func (r Report) String() string {
	return fmt.Sprintf("%d orders: %d lost, %d duplicate, %d oversold, %d stuck, %d open", r.Orders, r.Lost, r.Double, r.Over, r.Stuck, r.Open)
}

// WriteTo prints the report for people.
func (r Report) WriteTo(w io.Writer) (int64, error) {
	var b strings.Builder
	for _, c := range r.Checks {
		state := "ok  "
		switch {
		case c.Skipped != "":
			state = "skip"
		case len(c.Violations) > 0:
			state = "FAIL"
		}
		fmt.Fprintf(&b, "%s  %-13s %6d  %s\n", state, c.Name, c.Checked, c.Says)
		if c.Skipped != "" {
			fmt.Fprintf(&b, "      not checked: %s\n", c.Skipped)
		}
		for _, v := range c.Violations {
			fmt.Fprintf(&b, "      %s\n", v)
		}
		if c.More > 0 {
			fmt.Fprintf(&b, "      and %d more\n", c.More)
		}
	}
	fmt.Fprintf(&b, "%s on %s\n", r, r.Engine)
	n, err := io.WriteString(w, b.String())
	return int64(n), err
}
