package zone

import (
	"bytes"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"unicode"

	"github.com/miekg/dns"
)

// maxIncludeDepth bounds how deep $INCLUDE may nest.
const maxIncludeDepth = 8

const wantGenerate = "START-STOP[/STEP] OWNER [TTL] [IN] TYPE RDATA, up to 65536 steps"

// direct obeys one directive: $ORIGIN and $INCLUDE (RFC 1035 section 5.1), $TTL (RFC 2308 section 4) and BIND's
// $GENERATE.
func (m *master) direct(f *frame, at place, text []byte) {
	list := words(text)
	name, args := strings.ToUpper(list[0]), list[1:]
	switch {
	case name == "$ORIGIN" && len(args) == 1:
		m.setOrigin(f, at, args[0])
	case name == "$TTL" && len(args) == 1:
		m.setTTL(at, args[0])
	case name == "$INCLUDE" && (len(args) == 1 || len(args) == 2):
		m.include(f, at, args)
	case name == "$GENERATE" && len(args) >= 4:
		m.generate(f, at, text)
	case name == "$ORIGIN":
		m.fault(at, name, 0, "%d arguments: want one domain name", len(args))
	case name == "$TTL":
		m.fault(at, name, 0, "%d arguments: want one ttl", len(args))
	case name == "$INCLUDE":
		m.fault(at, name, 0, "%d arguments: want FILE [ORIGIN]", len(args))
	case name == "$GENERATE":
		m.fault(at, name, 0, "%d arguments: want %s", len(args), wantGenerate)
	default:
		m.fault(at, list[0], 0, "unknown directive: want $ORIGIN, $TTL, $INCLUDE or $GENERATE")
	}
}

func (m *master) setOrigin(f *frame, at place, name string) {
	origin := absolute(name, f.origin)
	if _, ok := dns.IsDomainName(origin); !ok || !validName(origin) {
		m.fault(at, "$ORIGIN", 0, "%q: want a domain name", name)
		return
	}
	f.origin = origin
}

func (m *master) setTTL(at place, word string) {
	ttl, ok := parseTTL(word)
	if !ok {
		m.fault(at, "$TTL", 0, "%q: want 0..%d seconds, as 3600 or 1h", word, maxTTL)
		return
	}
	m.ttl, m.directive = ttl, true
}

// parseTTL reads seconds, or numbers with the units w, d, h, m and s, as "1h30m".
func parseTTL(word string) (uint32, bool) {
	var sum, n uint64
	digits := false
	for _, c := range []byte(strings.ToLower(word)) {
		unit := uint64(0)
		switch c {
		case 'w':
			unit = 7 * 24 * 3600
		case 'd':
			unit = 24 * 3600
		case 'h':
			unit = 3600
		case 'm':
			unit = 60
		case 's':
			unit = 1
		default:
			if c < '0' || c > '9' {
				return 0, false
			}
			n, digits = n*10+uint64(c-'0'), true
			if n > maxTTL {
				return 0, false
			}
			continue
		}
		if !digits {
			return 0, false
		}
		if sum, n, digits = sum+n*unit, 0, false; sum > maxTTL {
			return 0, false
		}
	}
	sum += n
	return uint32(sum), word != "" && sum <= maxTTL
}

// include reads another file in place. Its path is relative to the including file and cannot leave the directory of
// the zone's master file. Origin and owner are as before afterwards; a $TTL in it stays in force, as with BIND.
func (m *master) include(f *frame, at place, args []string) {
	name, origin := args[0], f.origin
	if len(args) == 2 {
		origin = absolute(args[1], f.origin)
		if _, ok := dns.IsDomainName(origin); !ok || !validName(origin) {
			m.fault(at, "$INCLUDE", 0, "origin %q: want a domain name", args[1])
			return
		}
	}
	if strings.ContainsFunc(name, unicode.IsControl) { // faults are lines, and name files
		m.fault(at, "$INCLUDE", 0, "%q: want a path without control characters", name)
		return
	}
	if name == "" || path.IsAbs(name) || slices.Contains(strings.Split(name, "/"), "..") || m.fsys == nil {
		m.fault(at, "$INCLUDE", 0, "%q: want a relative path without .. in the zone file's directory", name)
		return
	}
	if f.depth == maxIncludeDepth {
		m.fault(at, "$INCLUDE", 0, "%q: want no more than %d files deep", name, maxIncludeDepth)
		return
	}
	file := path.Join(path.Dir(f.path), name)
	for g := f; g != nil; g = g.up {
		if g.path == file {
			m.fault(at, "$INCLUDE", 0, "%q: want a file that does not include itself", name)
			return
		}
	}
	if info, err := fs.Stat(m.fsys, file); err != nil {
		m.fault(at, "$INCLUDE", 0, "%v: want a file in the zone file's directory or below", err)
		return
	} else if !info.Mode().IsRegular() { // a named pipe would keep us waiting
		m.fault(at, "$INCLUDE", 0, "%q: is %v: want a regular file", name, info.Mode().Type())
		return
	}
	r, err := m.fsys.Open(file)
	if err != nil {
		m.fault(at, "$INCLUDE", 0, "%v", err)
		return
	}
	defer r.Close()
	m.read(r, m.open(f, path.Join(m.dir, file), file, origin))
}

// generate expands one $GENERATE. The parser would give its records 3600 seconds, so the ttl in force is written in.
func (m *master) generate(f *frame, at place, text []byte) {
	head, tail := cutWords(text, 3) // $GENERATE RANGE OWNER
	if list := words(tail); !statesTTL(list) {
		if m.ttl == noTTL {
			m.fault(at, "$GENERATE", 0, "no ttl: want one here or $TTL before (RFC 2308 section 4)")
			return
		}
		text = fmt.Appendf(nil, "%s %d %s", head, m.ttl, tail)
	}
	p := m.parser(f, text)
	for rr, ok := p.Next(); ok; rr, ok = p.Next() {
		m.records = append(m.records, record{rr, at})
	}
	if err := p.Err(); err != nil {
		_, rtype := f.subject(text)
		what := complaint(err)
		m.fault(at, "$GENERATE", rtype, "%s: want %s", what, wanted(what, rtype))
	}
}

// statesTTL tells whether what follows an owner begins with a ttl, perhaps behind the class.
func statesTTL(list []string) bool {
	if len(list) > 1 {
		if _, ok := dns.StringToClass[strings.ToUpper(list[0])]; ok {
			list = list[1:]
		}
	}
	return len(list) > 0 && list[0] != "" && '0' <= list[0][0] && list[0][0] <= '9'
}

// cutWords splits text behind its first n words.
func cutWords(text []byte, n int) (head, tail []byte) {
	at := 0
	for range n {
		at += len(text[at:]) - len(bytes.TrimLeft(text[at:], " \t"))
		if end := bytes.IndexAny(text[at:], " \t\r\n"); end >= 0 {
			at += end
		} else {
			at = len(text)
		}
	}
	return text[:at], text[at:]
}
