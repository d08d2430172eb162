package bank

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// Entry is a line of the book: money that moved.
type Entry struct {
	Name    string    // of the payment
	Account string    // of the payer
	Amount  int64     // minor units; negative = paid back
	Time    time.Time // in milliseconds
}

// Book is the bank's memory. The zero value is not ready; use OpenBook.
type Book struct {
	decline func(account string, amount int64) bool

	mu      sync.Mutex
	charges map[string]Record // by name; Op is Done, Declined or Voided
	entries []Entry
	file    *os.File // nil = memory only
}

// OpenBook opens or creates the journal at path; "" keeps the book in memory. decline says which charges the bank
// refuses; nil = none.
func OpenBook(path string, decline func(account string, amount int64) bool) (*Book, error) {
	b := &Book{decline: decline, charges: map[string]Record{}}
	if b.decline == nil {
		b.decline = func(string, int64) bool { return false }
	}
	if path == "" {
		return b, nil
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("bank book: %w", err)
	}
	if err := b.replay(f); err != nil {
		return nil, errors.Join(fmt.Errorf("bank book %s: %w", path, err), f.Close())
	}
	b.file = f
	return b, nil
}

// replay reads the journal and cuts off a record that a crash left half written.
func (b *Book) replay(f *os.File) error {
	r := bufio.NewReader(f)
	buf := make([]byte, recordSize)
	var good int64
	for {
		switch _, err := io.ReadFull(r, buf); {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			if err := f.Truncate(good); err != nil {
				return err
			}
			_, err := f.Seek(good, io.SeekStart)
			return err
		case err != nil:
			return err
		}
		rec, err := decode(buf)
		if err != nil {
			return fmt.Errorf("octet %d: %w", good, err)
		}
		b.enter(rec)
		good += recordSize
	}
}

// Close closes the journal.
func (b *Book) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.file == nil {
		return nil
	}
	return b.file.Close()
}

// Entries returns the book, oldest first.
func (b *Book) Entries() []Entry {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.entries)
}

// Do carries out a charge or a void and returns the answer. An error means that the journal could not be written:
// the request did not happen.
func (b *Book) Do(req Record, now time.Time) (Record, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	answer := req
	answer.UnixMS = now.UnixMilli()
	known, found := b.charges[req.Name]
	switch {
	case req.Name == "" || req.Op == Charge && req.Amount <= 0:
		answer.Op = Invalid
		return answer, nil
	case req.Op == Charge && !found:
		answer.Op = Done
		if b.decline(req.Account, req.Amount) {
			answer.Op = Declined
		}
	case req.Op == Charge:
		if known.Op != Voided && (known.Amount != req.Amount || known.Account != req.Account || known.Currency != req.Currency) {
			known.Op = Conflict
		}
		return known, nil
	case req.Op == Void && found && known.Op == Voided:
		known.Op = Done
		return known, nil
	case req.Op == Void:
		// The amount that is given back; 0 when nothing was ever taken.
		answer = Record{Op: Voided, Name: req.Name, Account: req.Account, Currency: req.Currency, UnixMS: answer.UnixMS}
		if found && known.Op == Done {
			answer.Account, answer.Amount = known.Account, known.Amount
		}
	default:
		answer.Op = Invalid
		return answer, nil
	}
	if err := b.write(answer); err != nil {
		return Record{}, err
	}
	b.enter(answer)
	if req.Op == Void {
		answer.Op = Done
	}
	return answer, nil
}

// enter takes a journal record into memory.
func (b *Book) enter(r Record) {
	b.charges[r.Name] = r
	amount := r.Amount
	switch {
	case r.Op == Voided:
		amount = -amount
	case r.Op != Done:
		return
	}
	if amount != 0 {
		b.entries = append(b.entries, Entry{Name: r.Name, Account: r.Account, Amount: amount, Time: time.UnixMilli(r.UnixMS)})
	}
}

// write is on the disk when it returns.
func (b *Book) write(r Record) error {
	if b.file == nil {
		return nil
	}
	line, err := r.encode()
	if err != nil {
		return err
	}
	if _, err := b.file.Write(line); err != nil {
		return fmt.Errorf("bank book: %w", err)
	}
	if err := b.file.Sync(); err != nil {
		return fmt.Errorf("bank book: %w", err)
	}
	return nil
}

// DeclineBroke refuses a customer of that name: what a demo needs to show a payment that fails.
func DeclineBroke(account string, _ int64) bool { return strings.EqualFold(account, "broke") }
