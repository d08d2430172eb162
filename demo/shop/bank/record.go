package bank

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// recordSize is the length of every record in octets, the line feed at its end included.
const recordSize = 160

// magic begins every record. The digits are the version.
const magic = "MB01"

// Op says what a record is.
type Op string

// Requests, then answers.
const (
	Charge  Op = "CHRG" // take the amount from the account
	Void    Op = "VOID" // undo the charge of this name, or keep it from coming
	Entries Op = "BOOK" // send the whole book

	Done     Op = "DONE" // it is in the book, now or since an earlier call
	Declined Op = "DECL" // the account does not give the amount
	Voided   Op = "GONE" // a charge that was voided
	Conflict Op = "CONF" // the name is taken by another amount
	Invalid  Op = "INVD" // the record means nothing
	Item     Op = "ITEM" // one entry of the book
	End      Op = "ENDB" // there are no more
)

// Widths of the fields, in the order in which they stand: magic, op, name, account, amount, currency, time.
const (
	widthOp       = 4
	widthName     = 64
	widthAccount  = 40
	widthAmount   = 16
	widthCurrency = 3
	widthTime     = 15
)

// MaxName is the longest name of a payment, in octets.
const MaxName = widthName

// Record is one message. Text is ASCII without leading and trailing spaces.
type Record struct {
	Op       Op
	Name     string // of the payment
	Account  string // of the payer
	Amount   int64  // minor units; negative = paid back
	Currency string
	UnixMS   int64
}

// errRecord is for records that cannot be read or written.
var errRecord = errors.New("bank record")

// encode lays r out.
func (r Record) encode() ([]byte, error) {
	var b strings.Builder
	b.WriteString(magic)
	for _, f := range []struct {
		what, text string
		width      int
	}{
		{"op", string(r.Op), widthOp}, {"name", r.Name, widthName}, {"account", r.Account, widthAccount},
		{"amount", strconv.FormatInt(r.Amount, 10), widthAmount}, {"currency", r.Currency, widthCurrency},
		{"time", strconv.FormatInt(r.UnixMS, 10), widthTime},
	} {
		if len(f.text) > f.width || !plain(f.text) {
			return nil, fmt.Errorf("%w: %s %.80q: want at most %d printable ASCII characters, no space at either end", errRecord, f.what, f.text, f.width)
		}
		b.WriteString(f.text)
		b.WriteString(strings.Repeat(" ", f.width-len(f.text)))
	}
	b.WriteString(strings.Repeat(" ", recordSize-1-b.Len()))
	b.WriteByte('\n')
	return []byte(b.String()), nil
}

// decode reads a record.
func decode(b []byte) (Record, error) {
	if len(b) != recordSize || string(b[:len(magic)]) != magic || b[recordSize-1] != '\n' {
		return Record{}, fmt.Errorf("%w: %d octets that begin with %.8q: want %d that begin with %q and end with a line feed", errRecord, len(b), b, recordSize, magic)
	}
	rest := string(b[len(magic) : recordSize-1])
	next := func(width int) string {
		field := strings.TrimRight(rest[:width], " ")
		rest = rest[width:]
		return field
	}
	r := Record{Op: Op(next(widthOp)), Name: next(widthName), Account: next(widthAccount)}
	amount, errAmount := strconv.ParseInt(next(widthAmount), 10, 64)
	r.Currency = next(widthCurrency)
	ms, errTime := strconv.ParseInt(next(widthTime), 10, 64)
	r.Amount, r.UnixMS = amount, ms
	if err := errors.Join(errAmount, errTime); err != nil {
		return Record{}, fmt.Errorf("%w: %w", errRecord, err)
	}
	for _, text := range []string{string(r.Op), r.Name, r.Account, r.Currency} {
		if !plain(text) {
			return Record{}, fmt.Errorf("%w: field %.80q: want printable ASCII, no space at either end", errRecord, text)
		}
	}
	if strings.TrimRight(rest, " ") != "" {
		return Record{}, fmt.Errorf("%w: filler %.20q: want spaces", errRecord, rest)
	}
	return r, nil
}

// plain reports whether s survives a field.
func plain(s string) bool {
	for _, c := range []byte(s) {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return strings.Trim(s, " ") == s
}
