package drill

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// byItself waits for a witness to end instead of for a number of orders.
const byItself = 0

// witnessed runs a witness of two shell scripts until it has told of enough orders, and lets it conclude.
func witnessed(t *testing.T, watch, check string, enough int) *Orders {
	t.Helper()
	t.Setenv("TMPDIR", t.TempDir())
	w := Witness{Watch: []string{"sh", "-c", watch}, Check: []string{"sh", "-c", check}}
	at, err := w.testify(t.Context(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if enough == byItself {
		<-at.ended
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		at.mu.Lock()
		n := len(at.acks)
		at.mu.Unlock()
		if n >= enough {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d orders: want %d", n, enough)
		}
	}
	return at.conclude(t.Context(), 0)
}

// A shop whose customers order until they are told to end, with one order still under way then.
const orderly = `trap 'echo "{\"id\":\"last\"}"; exit 0' TERM
echo '{"id":"a","took_ms":7}'; echo '{"id":"b","took_ms":9}'; while :; do sleep 0.05; done`

// verdict prints a verdict that depends on how many orders were acknowledged.
const verdict = `n=$(wc -l); echo "{\"orders\":$n,\"lost\":LOST,\"double\":0,\"over\":0,\"stuck\":0}"; exit LOST`

func TestWitness(t *testing.T) {
	o := witnessed(t, orderly, strings.ReplaceAll(verdict, "LOST", "0"), 2)
	if o.Bad() || o.Acked != 3 || o.Verdicts.Orders != 3 || o.Slowest != 9*ms || o.Log != "" {
		t.Errorf("%+v: want three orders, the last one included, and no file left", o)
	}
	for _, c := range JudgeOrders(o) {
		if !c.Passed {
			t.Errorf("%+v", c)
		}
	}
	if left, _ := filepath.Glob(os.Getenv("TMPDIR") + "/*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}

	o = witnessed(t, orderly, strings.ReplaceAll(verdict, "LOST", "1"), 2)
	if !o.Bad() || o.Lost != 1 || o.Fault != "" {
		t.Errorf("%+v: want one lost", o)
	}
	if b, err := os.ReadFile(o.Log); err != nil || strings.Count(string(b), "\n") != 3 {
		t.Errorf("the log of orders of which one is lost: %q, %v", b, err)
	}
	failed := 0
	for _, c := range JudgeOrders(o) {
		if !c.Passed {
			failed++
		}
	}
	if failed != 1 {
		t.Errorf("%d checks fail: want one", failed)
	}
}

func TestWitnessThatProvesNothing(t *testing.T) {
	for name, tt := range map[string]struct {
		watch, check string
		enough       int
		fault        string
	}{
		"ends by itself": {`echo '{"id":"a"}'`, "true", byItself, "it ended by itself"},
		"fails":          {`echo '{"id":"a"}'; echo no disk >&2; exit 3`, "true", byItself, "exit status 3: no disk"},
		// Both lines in one write: where the first has arrived, so has the second.
		"talks nonsense":   {`printf '{"id":"a"}\nhello\n'; exec sleep 20`, "true", 1, `line "hello"`},
		"check fails":      {orderly, "echo no database >&2; exit 3", 1, "exit status 3: no database"},
		"check is silent":  {orderly, "exit 1", 1, "exit status 1"},
		"check omits":      {orderly, `echo '{"orders":1,"lost":0,"double":0,"over":0}'`, 1, "stuck: want a number"},
		"check is not one": {orderly, `echo fine`, 1, "invalid character"},
	} {
		t.Run(name, func(t *testing.T) {
			o := witnessed(t, tt.watch, tt.check, tt.enough)
			if !o.Bad() || !strings.Contains(o.Fault, tt.fault) {
				t.Errorf("%+v: want %q", o, tt.fault)
			}
			if checks := JudgeOrders(o); len(checks) != 1 || checks[0].Passed {
				t.Errorf("judged %+v", checks)
			}
		})
	}
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	interrupted, interrupt := context.WithCancel(t.Context())
	interrupt()
	for _, tt := range []struct {
		ctx   context.Context
		watch []string
	}{{t.Context(), []string{"true"}}, {t.Context(), []string{filepath.Join(dir, "none")}}, {interrupted, []string{"sleep", "20"}}} {
		if _, err := (Witness{Watch: tt.watch, Check: []string{"true"}}).testify(tt.ctx, time.Now()); err == nil {
			t.Errorf("%v: a witness that saw nothing is believed", tt.watch)
		}
	}
	if left, _ := filepath.Glob(dir + "/*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestAccountOfOrders(t *testing.T) {
	acks := []Ack{
		{At: 1 * sec}, {At: 9900 * ms}, // before
		{At: 10100 * ms, Took: 500 * ms}, // wanted before, acknowledged after
		{At: 14 * sec, Took: 3 * sec},    // the first that was wanted after
		{At: 15 * sec, Took: 4 * sec},    // wanted earlier, later
	}
	want := Orders{Acked: 5, First: 4 * sec, Gap: 3900 * ms, Slowest: 4 * sec}
	if got := account(acks, 10*sec, 16*sec); got != want {
		t.Errorf("%+v: want %+v", got, want)
	}
	want = Orders{Acked: 2, First: Never, Gap: 6 * sec}
	if got := account(acks[:2], 10*sec, 16*sec); got != want {
		t.Errorf("nothing after the loss: %+v: want %+v", got, want)
	}
}

func TestReportTellsOfOrders(t *testing.T) {
	r := example(nil)
	r.Orders = &Orders{Verdicts: Verdicts{Orders: 410, Stuck: 2}, Acked: 400, First: 1500 * ms, Gap: 2 * sec, Slowest: 3 * sec}
	var text, page, table strings.Builder
	if err := r.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	if err := r.WriteHTML(&page, nil); err != nil {
		t.Fatal(err)
	}
	if err := WriteTable(&table, []*Report{r, example(nil)}); err != nil {
		t.Fatal(err)
	}
	for want, in := range map[string]string{
		"orders acknowledged                          400, of 410 in the shop\n": text.String(),
		"lost, duplicate, oversold, stuck             0, 0, 0, 2\n":              text.String(),
		"first order after the loss                   1.50 s\n":                  text.String(),
		"<td>first order after the loss</td><td>1.50 s</td>":                     page.String(),
		" | 400 | 0, 0, 0, 2 | 1.50 s |\n":                                       table.String(),
		" | - | - | - |\n":                                                       table.String(),
	} {
		if !strings.Contains(in, want) {
			t.Errorf("no %q in\n%s", want, in)
		}
	}
}
