package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/meridian-gtm/meridian/replication"
)

// auditLog is an append-only file of what operators did through this node, one JSON object a line. A line is on the
// disk before the change is made; when making it then fails, another line says so.
type auditLog struct{ file *os.File }

type auditLine struct {
	Time     time.Time            `json:"time"`
	Node     string               `json:"node"`
	Override replication.Override `json:"override"`
	Forced   bool                 `json:"forced,omitempty"`
	Failed   string               `json:"failed,omitempty"` // why the change of the line before was not made
}

func openAuditLog(dir string) (*auditLog, error) {
	f, err := os.OpenFile(filepath.Join(dir, "audit.jsonl"), os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("audit log: %w", err)
	}
	return &auditLog{file: f}, nil
}

// add appends a line and returns when it is durable. After an error there is nothing of it.
func (l *auditLog) add(line auditLine) error {
	b, err := json.Marshal(line)
	if err != nil {
		return fmt.Errorf("audit log: %w", err)
	}
	info, err := l.file.Stat()
	if err != nil {
		return fmt.Errorf("audit log: %w", err)
	}
	if size := info.Size(); size > 0 {
		last := make([]byte, 1)
		if _, err := l.file.ReadAt(last, size-1); err == nil && last[0] != '\n' {
			b = append([]byte{'\n'}, b...) // a crash cut the last line short: this one stands by itself
		}
	}
	_, err = l.file.Write(append(b, '\n'))
	if err == nil {
		err = l.file.Sync()
	}
	if err != nil {
		return fmt.Errorf("audit log: %w", errors.Join(err, l.file.Truncate(info.Size())))
	}
	return nil
}

func (l *auditLog) close() error { return l.file.Close() }
