package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// lines is a buffer that can be read while it is written.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// await waits for a text that matches and returns its first group.
func (l *lines) await(t *testing.T, pattern string) string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if m := re.FindStringSubmatch(l.String()); m != nil {
			return m[1]
		}
		if time.Now().After(deadline) {
			t.Fatalf("no %q in\n%s", pattern, l.String())
		}
	}
}

func command(t *testing.T, want int, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), append([]string{"shop"}, args...), &stdout, &stderr); code != want {
		t.Errorf("shop %s: exit code %d: want %d\n%s%s", strings.Join(args, " "), code, want, stdout.String(), stderr.String())
	}
	return stdout.String() + stderr.String()
}

// TestServeLoadCheck is the command line's whole story: a shop, customers, and the proof; and then a proof that fails.
func TestServeLoadCheck(t *testing.T) {
	dir := t.TempDir()
	db, acked := "sqlite:"+filepath.Join(dir, "shop.db"), filepath.Join(dir, "acked.jsonl")
	ctx, cancel := context.WithCancel(t.Context())
	var stdout lines
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, []string{
			"shop", "serve", "--db", db, "--listen", "127.0.0.1:0", "--bank-listen", "127.0.0.1:0", "--bank-book", filepath.Join(dir, "book"), "--replica", "test",
		}, &stdout, io.Discard)
	}()
	bank := stdout.await(t, `bank at (\S+)`)
	target := stdout.await(t, `shop of us-east at (\S+)`)
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if run(t.Context(), []string{"shop", "probe", target + "/readyz"}, io.Discard, io.Discard) == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("not ready")
		}
	}
	if out := command(t, 0, "load", "--target", target, "--log", acked, "--orders", "30", "--rate", "100"); !strings.Contains(out, "30 asked, 30 acknowledged") {
		t.Errorf("load: %s", out)
	}
	check := []string{"check", "--db", db, "--bank", bank, "--acked", acked, "--settle", "20s"}
	if out := command(t, 0, check...); !strings.Contains(out, "30 orders: 0 lost, 0 duplicate, 0 oversold, 0 stuck, 0 open on sqlite") {
		t.Errorf("check: %s", out)
	}
	// An acknowledged order that nobody has.
	f, err := os.OpenFile(acked, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteString(`{"id":"eu-west-gone","key":"eu-west.gone","total_minor":100}` + "\n")
	f.Close()
	if out := command(t, 1, check...); !strings.Contains(out, "order eu-west-gone was acknowledged and is not there") || !strings.Contains(out, "1 lost") {
		t.Errorf("check with a lost order: %s", out)
	}
	var stdoutJSON bytes.Buffer
	run(t.Context(), append([]string{"shop"}, append(check, "--json")...), &stdoutJSON, io.Discard)
	var report struct {
		Lost   int
		Checks []struct{ Name string }
	}
	if err := json.Unmarshal(stdoutJSON.Bytes(), &report); err != nil || report.Lost != 1 || len(report.Checks) != 11 {
		t.Errorf("JSON: %v, %+v", err, report)
	}
	// Orders that somebody else keeps: told on the standard output, and read from the standard input.
	var told, result bytes.Buffer
	if c := run(t.Context(), []string{"shop", "load", "--target", target, "--log", "-", "--orders", "5", "--rate", "100"}, &told, &result); c != 0 {
		t.Errorf("load --log -: exit code %d: %s", c, result.String())
	}
	if n := strings.Count(told.String(), `"took_ms":`); n != 5 || !strings.Contains(result.String(), "5 acknowledged") {
		t.Errorf("load --log - tells %d orders with their time: want 5\n%s%s", n, told.String(), result.String())
	}
	for lost, acked := range map[int]string{0: told.String(), 1: told.String() + `{"id":"eu-west-gone","key":"","total_minor":1}` + "\n"} {
		var out bytes.Buffer
		app := newApp(&out, io.Discard)
		app.Reader = strings.NewReader(acked)
		err := app.RunContext(t.Context(), []string{"shop", "check", "--db", db, "--bank", bank, "--acked", "-", "--json", "--settle", "20s"})
		if (err != nil) != (lost > 0) || !strings.Contains(out.String(), fmt.Sprintf(`"lost": %d`, lost)) {
			t.Errorf("check --acked -: %v, want %d lost\n%s", err, lost, out.String())
		}
	}
	cancel()
	if c := <-code; c != 0 {
		t.Errorf("serve: exit code %d: want 0", c)
	}
	command(t, 1, "probe", target+"/readyz")
	command(t, 1, "load", "--target", target, "--log", acked, "--orders", "1")
	command(t, 1, "check", "--db", db, "--bank", bank)
	command(t, 0, "check", "--db", db, "--bank", "")
	file := filepath.Join(dir, "database")
	command(t, 1, "init", "--db-file", file)
	if err := os.WriteFile(file, []byte(db+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	command(t, 2, "init", "--db-file", file, "--db", db)
	if out := command(t, 0, "init", "--db-file", file); !strings.Contains(out, "SQLite") {
		t.Errorf("init: %s", out)
	}
}

func TestSchema(t *testing.T) {
	for engine, want := range map[string]string{
		"cockroach": `CREATE DATABASE IF NOT EXISTS shop PRIMARY REGION "us-east" REGIONS "eu-west", "ap-south" SURVIVE REGION FAILURE;`,
		"postgres":  "total BIGINT NOT NULL CHECK (total >= 0)",
		"sqlite":    "STRICT, WITHOUT ROWID;",
	} {
		if out := command(t, 0, "schema", "--engine", engine); !strings.Contains(out, want) {
			t.Errorf("%s: no %q in\n%s", engine, want, out)
		}
	}
}

func TestWrongCommandLines(t *testing.T) {
	for _, args := range [][]string{
		{"sell"}, {"serve", "now"}, {"serve", "--roles", "king"}, {"serve", "--roles", "payment"}, {"serve", "--weight", "0"},
		{"serve", "--peer", "order"}, {"serve", "--peer", "king=http://127.0.0.1:1"}, {"load", "--target", "here"},
		{"schema", "--engine", "mysql"}, {"check", "--nonsense"}, {"probe", "a", "b"},
	} {
		command(t, 2, args...)
	}
	command(t, 1, "serve", "--region", "mars", "--listen", "127.0.0.1:0", "--bank-listen", "127.0.0.1:0")
	command(t, 1, "check", "--db", "mysql://localhost/shop", "--bank", "")
}
