package zone

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"strconv"
	"strings"

	"github.com/miekg/dns"
)

// maxTTL is the longest TTL, in seconds (RFC 2181 section 8).
const maxTTL = math.MaxInt32

// noTTL is the default given to the parser while a master file has stated none. No record can have it.
const noTTL = math.MaxUint32

// record is a resource record and the line where it begins.
type record struct {
	rr dns.RR
	at place
}

// master reads a master file and those it includes (RFC 1035 section 5).
//
// Every entry goes to a dns.ZoneParser of its own, which knows the syntax of the record types. So parsing goes on
// behind a fault, and faults name the line. The parser stops at an entry's first fault, and at the first fault
// among the records of one $GENERATE.
type master struct {
	loader  *Loader
	fsys    fs.FS  // where $INCLUDE may look; nil = nowhere
	dir     string // shown before the names of included files
	files   []string
	records []record
	faults  faults

	ttl       uint32 // for records that state none: $TTL, or the last one stated (RFC 2308 section 4)
	directive bool   // ttl is from $TTL

	reader bytes.Reader
	spare  batches
}

// frame is one file that is being read: $INCLUDE leaves origin and owner of the including file alone.
type frame struct {
	up     *frame // the including file
	depth  int
	file   int32
	path   string // in fsys
	origin string
	owner  string // of the record before, "" = none yet
}

// newMaster makes a reader that resolves $INCLUDE in fsys, which is the directory dir, with the memory of a loader.
func newMaster(l *Loader, fsys fs.FS, dir string) *master {
	return &master{loader: l, records: l.records, fsys: fsys, dir: dir, ttl: noTTL}
}

// open starts a frame for a file.
func (m *master) open(up *frame, shown, path, origin string) *frame {
	f := &frame{up: up, file: int32(len(m.files)), path: path, origin: origin}
	if up != nil {
		f.depth, f.owner = up.depth+1, up.owner
	}
	m.files = append(m.files, shown)
	return f
}

// read parses one file to its end.
func (m *master) read(r io.Reader, f *frame) {
	es := m.loader.input(r, f.depth)
	for {
		e, err := es.next()
		at := place{f.file, e.line}
		switch {
		case errors.Is(err, io.EOF):
			return
		case err != nil:
			m.fault(at, "", 0, "%v", err)
			return // the rest of the file cannot be told apart
		case e.fault != "":
			owner, rtype := f.subject(e.text)
			m.fault(at, owner, rtype, "%s", e.fault)
			f.owner = owner
		case e.text[0] == '$':
			m.direct(f, at, e.text)
		default:
			m.record(f, at, e.text)
		}
	}
}

// record parses the entry of one resource record.
func (m *master) record(f *frame, at place, text []byte) {
	if !m.plain(f, at, text) {
		m.general(f, at, text)
	}
}

// general parses an entry with whatever it may hold.
func (m *master) general(f *frame, at place, text []byte) {
	p := m.parser(f, text)
	rr, ok := p.Next()
	if !ok {
		m.parseFault(f, at, text, p.Err())
		return
	}
	h := rr.Header()
	if h.Name == "" { // the entry begins with a blank
		h.Name = f.owner
	}
	f.owner = h.Name
	switch {
	case h.Name == "":
		m.fault(at, "", h.Rrtype, "no owner: want one in the first record of a file")
	case h.Ttl == noTTL:
		m.fault(at, h.Name, h.Rrtype, "no ttl: want one here or $TTL before (RFC 2308 section 4)")
	default:
		if !m.directive {
			m.ttl = h.Ttl
		}
		m.records = append(m.records, record{rr, at})
	}
}

// parser parses one entry. The newline added keeps it from taking an entry without rdata for the empty record of a
// dynamic update, which it does at the end of its input.
func (m *master) parser(f *frame, text []byte) *dns.ZoneParser {
	m.reader.Reset(append(text, '\n'))
	p := dns.NewZoneParser(&m.reader, f.origin, "")
	p.SetDefaultTTL(m.ttl)
	return p
}

func (m *master) fault(at place, owner string, rtype uint16, format string, args ...any) {
	m.faults.add(&fault{at: at, file: m.files[at.file], owner: owner, rtype: rtype, what: fmt.Sprintf(format, args...)})
}

// parseFault reports why an entry cannot be parsed, and keeps its owner for entries that omit theirs.
func (m *master) parseFault(f *frame, at place, text []byte, err error) {
	owner, rtype := f.subject(text)
	f.owner = owner
	what := complaint(err)
	m.fault(at, owner, rtype, "%s: want %s", what, wanted(what, rtype))
}

// complaint is what the parser says, without its line, which it counts within the entry.
func complaint(err error) string {
	if err == nil {
		return "no record"
	}
	what := strings.TrimPrefix(err.Error(), "dns: ")
	if i := strings.LastIndex(what, " at line: "); i >= 0 {
		what = what[:i]
	}
	if before, ok := strings.CutSuffix(what, `: "\n"`); ok {
		what = strings.TrimPrefix(before+": end of line", "unexpected newline: ")
	}
	return what
}

// subject guesses what an entry that cannot be parsed is about.
func (f *frame) subject(text []byte) (owner string, rtype uint16) {
	list := words(text)
	owner = f.owner
	if len(text) > 0 && !ownerOmitted(text) && len(list) > 0 {
		owner, list = absolute(list[0], f.origin), list[1:]
	}
	for _, word := range list {
		if t, ok := typeOf(word); ok {
			return owner, t
		}
	}
	return owner, 0
}

// typeOf reads a type mnemonic or TYPEnnn (RFC 3597 section 5).
func typeOf(word string) (uint16, bool) {
	word = strings.ToUpper(word)
	if t, ok := dns.StringToType[word]; ok {
		return t, true
	}
	if number, ok := strings.CutPrefix(word, "TYPE"); ok {
		n, err := strconv.ParseUint(number, 10, 16)
		return uint16(n), err == nil
	}
	return 0, false
}

// absolute completes a name of a master file (RFC 1035 section 5.1).
func absolute(name, origin string) string {
	switch {
	case name == "@":
		return origin
	case dns.IsFqdn(name):
		return name
	case origin == ".":
		return name + "."
	}
	return name + "." + origin
}

// wanted says what should stand where the parser complained.
func wanted(complaint string, rtype uint16) string {
	switch {
	case strings.HasPrefix(complaint, "bad owner name"):
		return "labels of 1..63 octets"
	case strings.HasPrefix(complaint, "not a TTL"), strings.HasPrefix(complaint, "expecting RR type"):
		rtype = 0
	case strings.Contains(complaint, "$GENERATE"):
		return wantGenerate
	}
	switch rtype {
	case 0:
		return "[OWNER] [TTL] [IN] TYPE RDATA"
	case dns.TypeA:
		return "one IPv4 address, as 192.0.2.1"
	case dns.TypeAAAA:
		return "one IPv6 address, as 2001:db8::1"
	case dns.TypeNS, dns.TypeCNAME, dns.TypeDNAME, dns.TypePTR:
		return "one domain name"
	case dns.TypeSOA:
		return "MNAME RNAME SERIAL REFRESH RETRY EXPIRE MINIMUM"
	case dns.TypeMX:
		return "PREFERENCE (0..65535) HOST"
	case dns.TypeSRV:
		return "PRIORITY WEIGHT PORT (0..65535 each) HOST"
	case dns.TypeTXT:
		return "one or more strings, quoted where they contain blanks"
	case dns.TypeCAA:
		return `FLAGS (0..255) TAG "VALUE"`
	case dns.TypeSVCB, dns.TypeHTTPS:
		return "PRIORITY (0..65535) TARGET [KEY=VALUE ...]"
	}
	return "rdata of type " + dns.Type(rtype).String()
}
