package gossip

import (
	"context"
	"log"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// Lines of memberlist at level warn and above: at most logBurst in logWindow. Strangers cause some of them, one for
// each packet that does not decrypt.
const (
	logBurst  = 20
	logWindow = 10 * time.Second
)

// logWriter turns memberlist's lines into records of slog.
type logWriter struct {
	logger *slog.Logger

	mu         sync.Mutex
	since      time.Time
	lines      int
	suppressed int
}

func newMemberlistLogger(logger *slog.Logger) *log.Logger {
	return log.New(&logWriter{logger: logger}, "", 0)
}

// Write takes one line, "[LEVEL] memberlist: text". What memberlist calls information happens at every probe that is
// lost, so it becomes debug; its errors are about one packet or one peer, so they become warnings.
func (w *logWriter) Write(line []byte) (int, error) {
	text := strings.TrimSpace(string(line))
	level := slog.LevelWarn
	if strings.HasPrefix(text, "[") {
		name, rest, ok := strings.Cut(text[1:], "] ")
		if ok {
			text = rest
			if name == "DEBUG" || name == "INFO" {
				level = slog.LevelDebug
			}
		}
	}
	if !w.logger.Enabled(context.Background(), level) {
		return len(line), nil
	}
	text = strings.TrimPrefix(text, "memberlist: ")
	if level < slog.LevelWarn {
		w.logger.Debug("memberlist", "line", text)
		return len(line), nil
	}

	w.mu.Lock()
	now := time.Now()
	suppressed := 0
	if now.Sub(w.since) >= logWindow {
		suppressed = w.suppressed
		w.since, w.lines, w.suppressed = now, 0, 0
	}
	w.lines++
	quiet := w.lines > logBurst
	if quiet {
		w.suppressed++
	}
	w.mu.Unlock()

	if suppressed > 0 {
		w.logger.Warn("memberlist: lines left out", "count", suppressed)
	}
	if !quiet {
		w.logger.Warn("memberlist", "line", text)
	}
	return len(line), nil
}
