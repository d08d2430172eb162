package invariant

import (
	"strings"
	"testing"
	"time"

	"github.com/meridian-gtm/meridian/demo/shop"
	"github.com/meridian-gtm/meridian/demo/shop/bank"
)

// sound are facts that agree: one order of two, paid and shipped.
func sound() facts {
	at := time.Unix(1000, 0)
	f := facts{
		orders: map[string]*order{"eu-a": {
			region: "eu", key: "k", total: 200, lines: 200, quantity: 2, status: shop.Shipped, steps: 3, changed: at, saga: "done",
			history: []step{{1, shop.Placed}, {2, shop.Paid}, {3, shop.Shipped}},
		}},
		keys:    map[string]string{"eu.k": "eu-a"},
		stock:   map[place]amount{{"eu", "x"}: {8, 0}},
		moves:   map[place]amount{{"eu", "x"}: {8, 0}},
		movesOf: map[string]amount{"eu-a": {-2, 0}},
		entries: map[string]shop.Money{"eu-a/charge": 0},
		owed:    map[string]shop.Money{"eu-a": 200},
		outbox:  map[event]told{}, bus: map[string][]busEntry{}, onBus: map[event]bool{},
		mails: map[mail]int{{"eu-a", shop.Paid}: 1, {"eu-a", shop.Shipped}: 1},
	}
	for _, s := range f.orders["eu-a"].history {
		e := event{"eu-a", s.step}
		f.outbox[e] = told{s.status, at, true}
		f.onBus[e] = true
		f.bus["eu"] = append(f.bus["eu"], busEntry{e, s.status, int64(s.step), 1})
	}
	return f
}

func judge(f facts, acked []Ack, before, after []bank.Entry) Report {
	c := newCheck(Options{Book: Memory{}, Acked: acked, Late: time.Minute})
	c.facts = f
	c.judge(before, after, time.Unix(1030, 0))
	return c.report
}

// TestOneFactThatDisagrees changes one fact at a time; the invariant that is there for it says so, and no other.
func TestOneFactThatDisagrees(t *testing.T) {
	paid := []bank.Entry{{Name: "eu-a", Amount: 200}}
	asTold := []Ack{{ID: "eu-a", Key: "eu.k", Total: 200}}
	for name, c := range map[string]struct {
		change func(f *facts, acked *[]Ack, before, after *[]bank.Entry)
		want   []Name
		says   string
	}{
		"nothing": {func(*facts, *[]Ack, *[]bank.Entry, *[]bank.Entry) {}, nil, ""},
		"told another total": {func(_ *facts, a *[]Ack, _, _ *[]bank.Entry) {
			*a = []Ack{{ID: "eu-a", Total: 100}}
		}, []Name{Acknowledged}, "with a total of 1.00 EUR and has 2.00 EUR"},
		"told another key": {func(_ *facts, a *[]Ack, _, _ *[]bank.Entry) {
			*a = []Ack{{ID: "eu-a", Key: "eu.l", Total: 200}}
		}, []Name{Acknowledged}, "for key eu.l"},
		"told of nothing there": {func(_ *facts, a *[]Ack, _, _ *[]bank.Entry) {
			*a = []Ack{{ID: "eu-b", Total: 200}}
		}, []Name{Acknowledged}, "eu-b was acknowledged and is not there"},
		"key names another order": {func(f *facts, _ *[]Ack, _, _ *[]bank.Entry) {
			f.keys["eu.k"] = "eu-z"
		}, []Name{OncePerKey}, `names order "eu-z"`},
		"reserved is negative": {func(f *facts, _ *[]Ack, _, _ *[]bank.Entry) {
			f.stock[place{"eu", "x"}], f.moves[place{"eu", "x"}] = amount{8, -1}, amount{8, -1}
		}, []Name{Stock}, "8 on hand, -1 of them reserved"},
		"more reserved than there is": {func(f *facts, _ *[]Ack, _, _ *[]bank.Entry) {
			f.stock[place{"eu", "x"}], f.moves[place{"eu", "x"}] = amount{8, 9}, amount{8, 9}
		}, []Name{Stock}, "9 of them reserved"},
		"moves of nothing": {func(f *facts, _ *[]Ack, _, _ *[]bank.Entry) {
			f.moves[place{"eu", "y"}] = amount{1, 0}
		}, []Name{Stock}, "what there never was"},
		"shipped twice": {func(f *facts, _ *[]Ack, _, _ *[]bank.Entry) {
			f.movesOf["eu-a"] = amount{-4, -2}
		}, []Name{Stock}, "moved -4 on hand and -2 reserved: want -2 and 0"},
		"moves of no order": {func(f *facts, _ *[]Ack, _, _ *[]bank.Entry) {
			f.movesOf["eu-b"] = amount{0, 1}
		}, []Name{Stock}, "eu-b moved 0 on hand and 1 reserved and is not there"},
		"bank took nothing": {func(_ *facts, _ *[]Ack, before, after *[]bank.Entry) {
			*before, *after = nil, nil
		}, []Name{Bank}, "the ledger says 2.00 EUR, the bank's book 0.00 EUR"},
		"bank took it only after": {func(_ *facts, _ *[]Ack, before, _ *[]bank.Entry) {
			*before = nil
		}, nil, ""},
		"bank gave it back unasked": {func(_ *facts, _ *[]Ack, before, after *[]bank.Entry) {
			*before = append(*before, bank.Entry{Name: "eu-a", Amount: -200})
			*after = *before
		}, []Name{Bank}, "the bank's book 0.00 EUR"},
		"bank is ahead": {func(f *facts, _ *[]Ack, _, _ *[]bank.Entry) {
			o := f.orders["eu-a"]
			o.status, o.steps, o.history, o.saga = shop.Placed, 1, o.history[:1], "charge"
			f.movesOf["eu-a"], f.owed, f.mails = amount{0, 2}, nil, nil
			f.outbox = map[event]told{{"eu-a", 1}: f.outbox[event{"eu-a", 1}]}
			f.bus["eu"] = f.bus["eu"][:1]
		}, nil, ""},
		"skipped a status": {func(f *facts, _ *[]Ack, _, _ *[]bank.Entry) {
			f.orders["eu-a"].history[1].status = shop.Shipped
			f.outbox[event{"eu-a", 2}] = toldAs(f, 2, shop.Shipped)
			delete(f.mails, mail{"eu-a", shop.Paid})
		}, []Name{History}, `went from "placed" to "shipped"`},
		"events in the wrong order": {func(f *facts, _ *[]Ack, _, _ *[]bank.Entry) {
			log := f.bus["eu"]
			log[1], log[2] = log[2], log[1]
		}, []Name{Outbox}, "tells of step 3 of order eu-a before step 2"},
		"an event twice": {func(f *facts, _ *[]Ack, _, _ *[]bank.Entry) {
			f.bus["eu"] = append(f.bus["eu"], f.bus["eu"][0])
		}, nil, ""},
		"event says something else": {func(f *facts, _ *[]Ack, _, _ *[]bank.Entry) {
			f.outbox[event{"eu-a", 2}] = toldAs(f, 2, shop.Declined)
		}, []Name{Outbox}, "step 2 is paid, its event says declined"},
		"old relay": {func(f *facts, _ *[]Ack, _, _ *[]bank.Entry) {
			f.bus["eu"][1].token = 5
		}, []Name{Fencing}, "token 1 after token 5"},
		"told of what never was": {func(f *facts, _ *[]Ack, _, _ *[]bank.Entry) {
			f.mails[mail{"eu-a", shop.Declined}] = 1
		}, []Name{Inbox}, "which it never was"},
		"final and waiting": {func(f *facts, _ *[]Ack, _, _ *[]bank.Entry) {
			f.orders["eu-a"].saga = "void"
		}, []Name{Drained}, "still waits for void"},
		"event that waits": {func(f *facts, _ *[]Ack, _, _ *[]bank.Entry) {
			e := f.outbox[event{"eu-a", 3}]
			e.published, e.at = false, time.Unix(900, 0)
			f.outbox[event{"eu-a", 3}] = e
		}, []Name{Drained}, "has been waiting for 2m10s"},
	} {
		t.Run(name, func(t *testing.T) {
			f, acked := sound(), asTold
			before, after := append([]bank.Entry{}, paid...), append([]bank.Entry{}, paid...)
			c.change(&f, &acked, &before, &after)
			report := judge(f, acked, before, after)
			var out strings.Builder
			report.WriteTo(&out)
			got := report.Violated()
			if len(got) != len(c.want) || len(got) == 1 && got[0] != c.want[0] || !strings.Contains(out.String(), c.says) {
				t.Errorf("violated %v: want %v, and %q in\n%s", got, c.want, c.says, out.String())
			}
		})
	}
}

// toldAs is the event of a step of the sound order with another kind.
func toldAs(f *facts, step int, kind shop.Status) told {
	e := f.outbox[event{"eu-a", step}]
	e.kind = kind
	return e
}

func TestManyViolationsAreCounted(t *testing.T) {
	f := sound()
	var acked []Ack
	for range 50 {
		acked = append(acked, Ack{ID: "eu-gone"})
	}
	report := judge(f, acked, []bank.Entry{{Name: "eu-a", Amount: 200}}, []bank.Entry{{Name: "eu-a", Amount: 200}})
	first := report.Checks[0]
	if report.Lost != 50 || len(first.Violations) != maxViolations || first.More != 50-maxViolations {
		t.Errorf("%d lost, %d told, %d more: want 50, %d, %d", report.Lost, len(first.Violations), first.More, maxViolations, 50-maxViolations)
	}
}
