package load

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/meridian-gtm/meridian/demo/shop/invariant"
)

// AckLog keeps acknowledged orders, one JSON object a line. It is safe for concurrent use.
type AckLog struct {
	mu   sync.Mutex
	out  io.Writer
	file *os.File // out, if that is a file to keep
}

// TellAcks returns a log that keeps nothing: whoever reads out keeps the orders.
func TellAcks(out io.Writer) *AckLog { return &AckLog{out: out} }

// OpenAckLog opens or creates the log at path, to append to it. A line that a crash left half written is cut off.
func OpenAckLog(path string) (*AckLog, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("ack log: %w", err)
	}
	_, end, err := readAcks(f)
	if err == nil {
		err = f.Truncate(end)
	}
	if err == nil {
		_, err = f.Seek(end, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("ack log %s: %w", path, err), f.Close())
	}
	return &AckLog{out: f, file: f}, nil
}

// Add appends an order. If the log is a file, it is on the disk when Add returns nil.
func (l *AckLog) Add(a invariant.Ack) error {
	line, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("ack log: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, err := l.out.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("ack log: %w", err)
	}
	if l.file == nil {
		return nil
	}
	if err := l.file.Sync(); err != nil {
		return fmt.Errorf("ack log: %w", err)
	}
	return nil
}

// Close closes the file, if there is one.
func (l *AckLog) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	return l.file.Close()
}

// ReadAckLog reads a log, perhaps while it is written: a last line without its end is not an order yet.
func ReadAckLog(path string) ([]invariant.Ack, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("ack log: %w", err)
	}
	defer f.Close()
	all, err := ReadAcks(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return all, nil
}

// ReadAcks reads a log up to its last whole line.
func ReadAcks(r io.Reader) ([]invariant.Ack, error) {
	all, _, err := readAcks(r)
	if err != nil {
		return nil, fmt.Errorf("ack log: %w", err)
	}
	return all, nil
}

// readAcks returns the whole lines and where they end, in octets.
func readAcks(r io.Reader) (all []invariant.Ack, end int64, err error) {
	all = []invariant.Ack{}
	b := bufio.NewReader(r)
	for n := 1; ; n++ {
		line, err := b.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return all, end, nil
		}
		if err != nil {
			return nil, 0, err
		}
		var a invariant.Ack
		dec := json.NewDecoder(bytes.NewReader(line))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&a); err != nil || a.ID == "" {
			return nil, 0, fmt.Errorf("line %d: want an acknowledged order: %w", n, cmp.Or(err, errNoID))
		}
		all = append(all, a)
		end += int64(len(line))
	}
}

// errNoID is for a line that is JSON and not an order.
var errNoID = errors.New("no id")
