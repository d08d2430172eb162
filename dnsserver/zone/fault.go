package zone

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// maxFaults bounds what one load reports: a wrong origin makes every record of a large zone a fault.
const maxFaults = 200

// place is a line of one of the files of a zone; file counts them in the order of opening.
type place struct {
	file, line int32
}

// fault is one thing wrong in a zone. Its text is "FILE:LINE: owner type: what: want ...".
type fault struct {
	at    place
	file  string
	owner string
	rtype uint16 // 0 = not about a type
	what  string
}

func (f *fault) Error() string {
	var b strings.Builder
	b.WriteString(f.file)
	if f.at.line > 0 {
		fmt.Fprintf(&b, ":%d", f.at.line)
	}
	b.WriteString(": ")
	if f.owner != "" {
		b.WriteString(printable(f.owner))
		if f.rtype != 0 {
			b.WriteString(" " + dns.Type(f.rtype).String())
		}
		b.WriteString(": ")
	}
	return b.String() + f.what
}

// printable writes octets that a terminal should not see as \DDD (RFC 1035 section 5.1).
func printable(name string) string {
	var b strings.Builder
	for _, c := range []byte(name) {
		if c < ' ' || c > '~' {
			fmt.Fprintf(&b, "\\%03d", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// faults collects what is wrong, in any order.
type faults struct {
	list []*fault
	more int // dropped beyond maxFaults
}

func (fs *faults) add(f *fault) {
	if len(fs.list) == maxFaults {
		fs.more++
		return
	}
	fs.list = append(fs.list, f)
}

// sorted returns the faults in the order of the files.
func (fs *faults) sorted() []*fault {
	slices.SortStableFunc(fs.list, func(a, b *fault) int {
		return cmp.Or(cmp.Compare(a.at.file, b.at.file), cmp.Compare(a.at.line, b.at.line))
	})
	return fs.list
}

// join returns all faults as one error, or nil.
func (fs *faults) join() error {
	var errs []error
	for _, f := range fs.sorted() {
		errs = append(errs, f)
	}
	if fs.more > 0 {
		errs = append(errs, fmt.Errorf("%s: %d more faults", fs.list[0].file, fs.more))
	}
	return errors.Join(errs...)
}

// texts returns all faults as lines.
func (fs *faults) texts() []string {
	var lines []string
	for _, f := range fs.sorted() {
		lines = append(lines, f.Error())
	}
	if fs.more > 0 {
		lines = append(lines, fmt.Sprintf("%s: %d more warnings", fs.list[0].file, fs.more))
	}
	return lines
}
