package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/meridian-gtm/meridian/cmd/internal/cmdline"
)

func simulate(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(context.Background(), append([]string{"meridian", "drill", "sim"}, args...), &out, &errs)
	return code, out.String(), errs.String()
}

func TestDrillSim(t *testing.T) {
	args := []string{"--seed", "5", "--seeds", "2", "--nodes", "3", "--for", "20s"}
	code, first, stderr := simulate(t, args...)
	if code != cmdline.ExitOK || !strings.HasPrefix(first, "2 seeds, 0 failed: 40 s of virtual time") {
		t.Fatalf("exit %d: %s%s", code, first, stderr)
	}
	_, again, _ := simulate(t, args...)
	last := func(s string) string { return s[strings.LastIndex(strings.TrimSpace(s), "\n")+1:] }
	if last(first) != last(again) {
		t.Errorf("two runs: %s and %s", last(first), last(again))
	}

	code, out, stderr := simulate(t, append(args, "--json")...)
	var report struct {
		Seeds      int
		Failed     []any
		Invariants []any
	}
	if err := json.Unmarshal([]byte(out), &report); code != 0 || err != nil || report.Seeds != 2 || len(report.Invariants) < 24 {
		t.Errorf("exit %d, %v: %+v, %s", code, err, report, stderr)
	}
}

func TestDrillSimReplays(t *testing.T) {
	file := filepath.Join(t.TempDir(), "scenario.txt")
	text := "nodes 3\nfor 70s\nquiet 20s\nfault 40s 10s site site-a blackhole # dead\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, stderr := simulate(t, file, "--trace")
	if code != cmdline.ExitOK || !strings.Contains(out, "site-a/web/v4 partial -> down: down:") {
		t.Errorf("exit %d: %s%s", code, out, stderr)
	}
	if err := os.WriteFile(file, []byte("nodes many\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, stderr = simulate(t, file)
	if code != cmdline.ExitFailed || !strings.Contains(stderr, "scenario.txt: line 1:") {
		t.Errorf("exit %d: %s", code, stderr)
	}
}

func TestDrillSimLists(t *testing.T) {
	code, out, _ := simulate(t, "--list")
	for _, want := range []string{"answer-never-empty", "* overrides-converge", "partition"} {
		if code != cmdline.ExitOK || !strings.Contains(out, want) {
			t.Errorf("exit %d: want %q in\n%s", code, want, out)
		}
	}
}

func TestDrillSimUsage(t *testing.T) {
	for _, line := range []string{
		"--seeds 0", "--faults floods", "--policy slow", "--nodes 100000", "--nodes 3 --datacenters 30", "a b", "--for -3s",
	} {
		if code, _, stderr := simulate(t, strings.Fields(line)...); code != cmdline.ExitUsage {
			t.Errorf("%s: exit %d, want %d; stderr %q", line, code, cmdline.ExitUsage, stderr)
		}
	}
}
