package gossip

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestMemberlistLog(t *testing.T) {
	for in, want := range map[string]string{
		"[DEBUG] memberlist: Stream connection":       "level=DEBUG msg=memberlist line=\"Stream connection\"",
		"[INFO] memberlist: Suspect x has failed":     "level=DEBUG msg=memberlist line=\"Suspect x has failed\"",
		"[WARN] memberlist: Refuting a dead message":  "level=WARN msg=memberlist line=\"Refuting a dead message\"",
		"[ERR] memberlist: Decrypt packet failed: no": "level=WARN msg=memberlist line=\"Decrypt packet failed: no\"",
		"Err: Could not set the deadline":             "level=WARN msg=memberlist line=\"Err: Could not set the deadline\"",
		"[odd":                                        "level=WARN msg=memberlist line=[odd",
	} {
		var out bytes.Buffer
		newMemberlistLogger(textLogger(&out, slog.LevelDebug)).Print(in)
		if got := strings.TrimSpace(out.String()); got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", in, got, want)
		}
		out.Reset()
		newMemberlistLogger(textLogger(&out, slog.LevelWarn)).Print(in)
		if (out.Len() > 0) != strings.HasPrefix(want, "level=WARN") {
			t.Errorf("%s: at level warn: %q", in, out.String())
		}
	}
}

// Strangers who send junk cannot fill the log.
func TestLogIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		w := &logWriter{logger: textLogger(&out, slog.LevelInfo)}
		for i := range 1000 {
			fmt.Fprintf(w, "[ERR] memberlist: Decrypt packet failed: %d\n", i)
		}
		if n := strings.Count(out.String(), "\n"); n != logBurst {
			t.Errorf("%d lines, want %d", n, logBurst)
		}
		out.Reset()
		time.Sleep(logWindow)
		fmt.Fprint(w, "[ERR] memberlist: once more\n")
		if got := out.String(); !strings.Contains(got, "count=980") || !strings.Contains(got, "once more") {
			t.Errorf("after the window: %s", got)
		}
	})
}

func textLogger(out *bytes.Buffer, level slog.Level) *slog.Logger {
	return slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{
		Level: level,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	}))
}
