package interop

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// patience bounds one exchange with somebody else's program.
const patience = 20 * time.Second

func deadline() time.Time { return time.Now().Add(patience) }

// expectation is a question and what has to come of it.
type expectation struct {
	name, qtype string
	rcode       int
	answer      []dns.RR
}

func (e expectation) String() string { return e.name + " " + e.qtype }

// readExpectations reads a file of questions, "> NAME TYPE [RCODE]", each followed by the records of its answer.
func readExpectations(t *testing.T, file string) (list []expectation) {
	t.Helper()
	text, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		question, ok := strings.CutPrefix(line, "> ")
		switch {
		case line == "" || line[0] == ';':
		case ok:
			f := strings.Fields(question)
			e := expectation{name: f[0], qtype: f[1]}
			if len(f) > 2 {
				if e.rcode, ok = dns.StringToRcode[f[2]]; !ok {
					t.Fatalf("%s: %q: unknown rcode", file, line)
				}
			}
			list = append(list, e)
		default:
			last := &list[len(list)-1]
			last.answer = append(last.answer, parseRR(t, line))
		}
	}
	if len(list) == 0 {
		t.Fatalf("%s: no questions", file)
	}
	return list
}

func parseRR(t *testing.T, line string) dns.RR {
	t.Helper()
	rr, err := dns.NewRR(line)
	if err != nil || rr == nil {
		t.Fatalf("%q is no record: %v", line, err)
	}
	return rr
}

// typeOf reads a type's name, TYPE65280 included.
func typeOf(t *testing.T, name string) uint16 {
	t.Helper()
	if n, ok := dns.StringToType[name]; ok {
		return n
	}
	var n uint16
	if _, err := fmt.Sscanf(name, "TYPE%d", &n); err != nil {
		t.Fatalf("type %q: %v", name, err)
	}
	return n
}

// compare holds records against expected ones: the same set, whatever the order and the spelling. TTLs are as they
// are, or no greater when they come from a cache.
func compare(t *testing.T, who string, got, want []dns.RR, cached bool) {
	t.Helper()
	g, w := normal(t, got), normal(t, want)
	if cached {
		for _, rr := range g {
			at := slices.IndexFunc(w, func(w dns.RR) bool { return dns.IsDuplicate(w, rr) })
			if at >= 0 && rr.Header().Ttl < w[at].Header().Ttl {
				rr.Header().Ttl = w[at].Header().Ttl
			}
		}
	}
	if g, w := lines(g), lines(w); !slices.Equal(g, w) {
		t.Errorf("%s: got\n%s\nwant\n%s", who, strings.Join(g, "\n"), strings.Join(w, "\n"))
	}
}

// normal spells records one way.
func normal(t *testing.T, rrs []dns.RR) (list []dns.RR) {
	t.Helper()
	for _, rr := range rrs {
		b := make([]byte, dns.Len(rr)+1)
		end, err := dns.PackRR(rr, b, 0, nil, false)
		if err == nil {
			rr, _, err = dns.UnpackRR(b[:end], 0)
		}
		if err != nil {
			t.Fatalf("%v: %v", rr, err)
		}
		rr.Header().Name = strings.ToLower(rr.Header().Name)
		if cname, ok := rr.(*dns.CNAME); ok {
			cname.Target = strings.ToLower(cname.Target)
		}
		list = append(list, rr)
	}
	return list
}

func lines(rrs []dns.RR) (list []string) {
	for _, rr := range rrs {
		list = append(list, rr.String())
	}
	slices.Sort(list)
	return list
}
