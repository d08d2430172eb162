// Package terminal writes for people: colour where it is wanted, and columns that line up.
package terminal

import (
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"golang.org/x/term"
)

// Paint colours text on a terminal; NO_COLOR or a pipe makes it plain.
type Paint bool

// PaintFor decides for w.
func PaintFor(w io.Writer) Paint {
	f, ok := w.(*os.File)
	return Paint(ok && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && term.IsTerminal(int(f.Fd())))
}

func (p Paint) wrap(code, s string) string {
	if !p {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

// Good is green.
func (p Paint) Good(s string) string { return p.wrap("32", s) }

// Warn is yellow.
func (p Paint) Warn(s string) string { return p.wrap("33", s) }

// Bad is red.
func (p Paint) Bad(s string) string { return p.wrap("31", s) }

// Bold is bold.
func (p Paint) Bold(s string) string { return p.wrap("1", s) }

// Table aligns columns by what is seen: colour has no width.
type Table struct {
	w    io.Writer
	rows [][]string
}

// NewTable begins a table with its header.
func NewTable(w io.Writer, header ...string) *Table {
	return &Table{w: w, rows: [][]string{header}}
}

// Row adds a row.
func (t *Table) Row(cells ...string) { t.rows = append(t.rows, cells) }

// Flush writes the table.
func (t *Table) Flush() {
	var widths []int
	for _, row := range t.rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], seen(cell))
		}
	}
	for _, row := range t.rows {
		var line strings.Builder
		for i, cell := range row {
			line.WriteString(cell)
			line.WriteString(strings.Repeat(" ", widths[i]-seen(cell)+2))
		}
		fmt.Fprintln(t.w, strings.TrimRight(line.String(), " "))
	}
}

// seen is the number of characters of s that take a column.
func seen(s string) int {
	n := 0
	for s != "" {
		if rest, ok := strings.CutPrefix(s, "\x1b["); ok {
			_, s, _ = strings.Cut(rest, "m")
			continue
		}
		_, size := utf8.DecodeRuneInString(s)
		s = s[size:]
		n++
	}
	return n
}
