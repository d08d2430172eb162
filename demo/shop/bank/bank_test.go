package bank

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// start runs a bank on loopback for the time of the test.
func start(t *testing.T, book *Book) *Client {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, ln, book, nil) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return NewClient(ln.Addr().String(), nil)
}

func openBook(t *testing.T, path string) *Book {
	t.Helper()
	b, err := OpenBook(path, func(account string, _ int64) bool { return account == "broke" })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

func TestPaymentsAreEnteredOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "book")
	book := openBook(t, path)
	c := start(t, book)
	charge := func(name, account string, amount int64, want Op) {
		t.Helper()
		if got, err := c.Charge(t.Context(), name, account, amount, "EUR"); err != nil || got != want {
			t.Errorf("charge %s %d: %q, %v: want %q", name, amount, got, err, want)
		}
	}
	void := func(name string, want int64) {
		t.Helper()
		if got, err := c.Void(t.Context(), name); err != nil || got != want {
			t.Errorf("void %s: %d back, %v: want %d", name, got, err, want)
		}
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() { charge("a", "ada", 100, Done) })
	}
	wg.Wait()
	charge("a", "ada", 101, Conflict)
	charge("a", "bob", 100, Conflict)
	charge("b", "broke", 5, Declined)
	charge("b", "broke", 5, Declined)
	charge("c", "ada", 7, Done)
	void("c", 7)
	void("c", 7)
	charge("c", "ada", 7, Voided)
	void("never", 0) // and it cannot come later
	charge("never", "ada", 9, Voided)
	void("b", 0)

	type line struct {
		Name   string
		Amount int64
	}
	want := []line{{"a", 100}, {"c", 7}, {"c", -7}}
	lines := func(entries []Entry) (all []line) {
		for _, e := range entries {
			all = append(all, line{e.Name, e.Amount})
		}
		return all
	}
	entries, err := c.Entries(t.Context())
	if diff := cmp.Diff(want, lines(entries)); err != nil || diff != "" {
		t.Errorf("book: %v\n%s", err, diff)
	}

	// A crash in the middle of a record, and a restart.
	if err := book.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteString("MB01DONEhalf")
	f.Close()
	c = start(t, openBook(t, path))
	charge("a", "ada", 100, Done)
	charge("never", "ada", 9, Voided)
	charge("d", "ada", 1, Done)
	entries, err = c.Entries(t.Context())
	if diff := cmp.Diff(append(want, line{"d", 1}), lines(entries)); err != nil || diff != "" {
		t.Errorf("book after a restart: %v\n%s", err, diff)
	}
}

func TestServerRefusesNonsense(t *testing.T) {
	c := start(t, openBook(t, ""))
	for name, r := range map[string]Record{
		"no name":   {Op: Charge, Amount: 1},
		"no amount": {Op: Charge, Name: "x"},
		"negative":  {Op: Charge, Name: "x", Amount: -1},
		"an answer": {Op: Done, Name: "x", Amount: 1},
		"unknown":   {Op: "WHAT", Name: "x", Amount: 1},
		"no op":     {Name: "x", Amount: 1},
		"nameless":  {Op: Void},
	} {
		if got, err := c.ask(t.Context(), r); err != nil || got.Op != Invalid {
			t.Errorf("%s: %+v, %v: want %s", name, got, err, Invalid)
		}
	}
	conn, err := net.Dial("tcp", c.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(5 * time.Second))
	conn.Write(bytes.Repeat([]byte("x"), recordSize))
	buf := make([]byte, recordSize)
	if _, err := conn.Read(buf); err != nil || !strings.HasPrefix(string(buf), "MB01INVD") {
		t.Errorf("answer to noise: %.8q, %v", buf, err)
	}
	if _, err := c.Charge(t.Context(), strings.Repeat("n", MaxName+1), "ada", 1, "EUR"); err == nil {
		t.Error("a name that does not fit was cut")
	}
}

func FuzzDecode(f *testing.F) {
	for _, r := range []Record{
		{Op: Charge, Name: "eu-west-abc", Account: "Ada Lovelace", Amount: 12345, Currency: "EUR", UnixMS: 1}, {Op: End}, {Op: Item, Amount: -1 << 40},
	} {
		b, err := r.encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add(b[:recordSize-1])
		f.Add(append(bytes.Clone(b[1:]), ' '))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := decode(b)
		if err != nil {
			return
		}
		again, err := r.encode()
		if err != nil {
			t.Fatalf("%+v was read and cannot be written: %v", r, err)
		}
		back, err := decode(again)
		if err != nil || back != r {
			t.Fatalf("%+v became %+v, %v", r, back, err)
		}
	})
}
