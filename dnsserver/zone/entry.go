package zone

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// maxEntryOctets bounds one entry: 65,535 octets of rdata, each written as \DDD, leave room for comments below it.
const maxEntryOctets = 1 << 20

// entry is one directive or record of a master file: a line, or several that parentheses join (RFC 1035
// section 5.1).
type entry struct {
	text  []byte // with comments, ends in a newline; valid until the next one is read
	line  int32  // where it begins, from 1
	fault string // what keeps it from being read at all
}

// entries splits a master file. It knows just enough of the syntax to find where an entry ends, so that a fault in
// one entry does not hide those behind it.
type entries struct {
	r    *bufio.Reader
	line int32
	text []byte
}

// next returns the next entry that is not blank, or io.EOF.
func (es *entries) next() (entry, error) {
	for {
		e, content, err := es.read()
		if err != nil || content || e.fault != "" {
			return e, err
		}
	}
}

func (es *entries) read() (e entry, content bool, err error) {
	es.text = es.text[:0]
	e.line = es.line + 1
	for parens := 0; ; {
		from := len(es.text)
		if err := es.readLine(); errors.Is(err, io.EOF) {
			if parens == 0 {
				return e, false, io.EOF
			}
			e.fault = "end of file inside parentheses: want )"
			return e, true, nil
		} else if err != nil {
			return e, false, err
		}
		line := scanLine(es.text[from:])
		content = content || line.content
		parens = max(0, parens+line.parens) // one ) too many is for the parser to report
		e.text = es.text
		if line.quoted {
			e.fault = "quoted string without end: want a closing quote on the same line"
			return e, true, nil
		}
		if parens == 0 {
			return e, content, nil
		}
	}
}

// readLine appends a line to the text, with a newline even where the file's last line has none.
func (es *entries) readLine() error {
	for started := false; ; started = true {
		part, err := es.r.ReadSlice('\n')
		es.text = append(es.text, part...)
		switch {
		case len(es.text) > maxEntryOctets:
			return fmt.Errorf("entry longer than %d octets: want balanced parentheses", maxEntryOctets)
		case err == nil:
			es.line++
			return nil
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && (started || len(part) > 0):
			es.line++
			es.text = append(es.text, '\n')
			return nil
		default:
			return err
		}
	}
}

// scan is what a line does to the entry that it is part of.
type scan struct {
	content bool // anything but blanks, parentheses and comment
	parens  int  // opened less closed
	quoted  bool // ends inside a quoted string
}

func scanLine(line []byte) scan {
	var s scan
	escaped := false
	for _, c := range line {
		switch {
		case c == '\n' || c == '\r':
		case escaped:
			escaped = false
		case c == '\\':
			escaped, s.content = true, true
		case c == '"':
			s.quoted, s.content = !s.quoted, true
		case s.quoted:
		case c == ';':
			return s
		case c == '(':
			s.parens++
		case c == ')':
			s.parens--
		case c != ' ' && c != '\t':
			s.content = true
		}
	}
	return s
}

// words splits an entry into its tokens, without quotes, parentheses and comments. Escapes stay.
func words(text []byte) []string {
	var list []string
	var word []byte
	inWord, quoted, escaped := false, false, false
	end := func() {
		if inWord {
			list = append(list, string(word))
		}
		word, inWord = word[:0], false
	}
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case escaped:
			word, escaped = append(word, c), false
		case c == '\\':
			word, inWord, escaped = append(word, c), true, true
		case c == '"':
			if quoted = !quoted; quoted {
				end()
				inWord = true
			} else {
				end()
			}
		case quoted:
			word = append(word, c)
		case c == ';':
			end()
			if nl := bytes.IndexByte(text[i:], '\n'); nl >= 0 {
				i += nl
			} else {
				i = len(text)
			}
		case c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '(' || c == ')':
			end()
		default:
			word, inWord = append(word, c), true
		}
	}
	end()
	return list
}

// ownerOmitted tells whether an entry begins with a blank: it is about the owner of the one before.
func ownerOmitted(text []byte) bool {
	return text[0] == ' ' || text[0] == '\t' || text[0] == '('
}
