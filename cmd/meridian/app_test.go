package main

import (
	"bytes"
	"context"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meridian-gtm/meridian/cmd/internal/cmdline"
)

func TestFlagsMayFollowArguments(t *testing.T) {
	tests := []struct{ in, want string }{
		{"meridian explain www --client 192.0.2.0/24", "meridian explain --client 192.0.2.0/24 -- www"},
		{"meridian explain --json www", "meridian explain --json -- www"},
		{"meridian drain eu-west --why x --dry-run --force", "meridian drain --why x --dry-run --force -- eu-west"},
		{"meridian override weight eu-west 10 --why=x", "meridian override weight --why=x -- eu-west 10"},
		{"meridian override clear drain fra --why x", "meridian override clear --why x -- drain fra"},
		{"meridian status --json", "meridian status --json"},
		{"meridian drain -- --odd", "meridian drain -- --odd"},
		{"meridian", "meridian"},
		{"meridian nonsense --x", "meridian nonsense --x"},
	}
	for _, tt := range tests {
		got := cmdline.FlagsFirst(newApp(io.Discard, io.Discard), strings.Fields(tt.in))
		if !slices.Equal(got, strings.Fields(tt.want)) {
			t.Errorf("%s\n got %q\nwant %q", tt.in, got, tt.want)
		}
	}
}

func TestUsageErrorsExit2(t *testing.T) {
	for _, line := range []string{
		"nonsense",
		"explain",
		"explain a b",
		"explain www --client nowhere",
		"explain --nosuchflag www",
		"drain",
		"drain eu-west",
		"drain eu-west --why x --until yesterday",
		"override weight eu-west 2000 --why x",
		"override nonsense",
		"status extra",
		"status --api ftp://x",
	} {
		var stderr bytes.Buffer
		code := run(context.Background(), append([]string{"meridian"}, strings.Fields(line)...), io.Discard, &stderr)
		if code != cmdline.ExitUsage || !strings.HasPrefix(stderr.String(), "meridian: ") || !strings.Contains(stderr.String(), "hint: ") {
			t.Errorf("%s: exit %d, want %d; stderr %q", line, code, cmdline.ExitUsage, stderr.String())
		}
	}
}

func TestNobodyThereExits1(t *testing.T) {
	var stderr bytes.Buffer
	code := run(context.Background(), []string{"meridian", "status", "--api", "127.0.0.1:1"}, io.Discard, &stderr)
	if code != cmdline.ExitFailed || !strings.Contains(stderr.String(), "refused") || !strings.Contains(stderr.String(), "hint: ") {
		t.Errorf("exit %d, stderr %q: want 1, the reason and a hint", code, stderr.String())
	}
}

func TestEveryCommandHasExamples(t *testing.T) {
	for _, c := range newApp(io.Discard, io.Discard).Commands {
		if !strings.Contains(c.Description, "Examples:\n  meridian "+c.Name) && !strings.Contains(c.Description, "\n  meridian "+c.Name) {
			t.Errorf("%s: no example in its help", c.Name)
		}
		for _, s := range c.Subcommands {
			if !strings.Contains(s.Description, "meridian "+c.Name+" "+s.Name) {
				t.Errorf("%s %s: no example in its help", c.Name, s.Name)
			}
		}
	}
}

func TestParseUntil(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for in, want := range map[string]string{
		"30m":                  "2026-03-01T12:30:00Z",
		"7d":                   "2026-03-08T12:00:00Z",
		"2026-03-01T12:00:01Z": "2026-03-01T12:00:01Z",
	} {
		if got, err := parseUntil(in, now); err != nil || got.Format(time.RFC3339) != want {
			t.Errorf("parseUntil(%q) = %v, %v; want %s", in, got, err, want)
		}
	}
	for _, in := range []string{"", "-1h", "0s", "0d", "2026-03-01T12:00:00Z", "tomorrow"} {
		if _, err := parseUntil(in, now); err == nil {
			t.Errorf("parseUntil(%q): want an error", in)
		}
	}
}
