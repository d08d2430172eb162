package zone

import (
	"bytes"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/miekg/dns"
	"github.com/rogpeppe/go-internal/txtar"
)

// FuzzLoad feeds any bytes as a master file. What loads must be a zone whose every record can be packed and found.
func FuzzLoad(f *testing.F) {
	paths, _ := filepath.Glob("testdata/*.txtar")
	for _, path := range paths {
		story, err := txtar.ParseFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(story.Files[0].Data)
	}
	f.Add([]byte("@ 1 SOA . . 1 1 1 1 1\n@ 1 NS .\n$GENERATE 0-9 a${0,2,x} 1 A 192.0.2.$\n$INCLUDE inc\n"))
	f.Add([]byte("@ 1 SOA ( . \n . 1 1 1 1 1 ) ; x\n@ 1 NS \\046.\n\"q\" 1 A 192.0.2.1\n"))
	f.Add([]byte("\"\n")) // an owner that is a newline
	var kept Loader       // one that has seen everything before
	f.Fuzz(func(t *testing.T, text []byte) {
		if bytes.Contains(bytes.ToUpper(text), []byte("$GENERATE")) && bytes.ContainsAny(text, "0123456789") && len(text) > 2000 {
			return // thousands of records each, many times over, prove nothing more
		}
		files := fstest.MapFS{"inc": {Data: []byte("inc 1 A 192.0.2.1\n$INCLUDE inc\n"), Mode: 0o644}}
		src := Source{Origin: "shop.example.", File: "zone", Steer: map[string]string{"api": "api"}}
		z, err := new(Loader).load(src, bytes.NewReader(text), files)
		same, sameErr := kept.load(src, bytes.NewReader(text), files)
		if fmt.Sprint(err) != fmt.Sprint(sameErr) || err == nil && (z.Digest() != same.Digest() || !slices.Equal(z.Warnings(), same.Warnings())) {
			t.Errorf("a loader that was used before: %v, %v: want %v, %v", same, sameErr, z, err)
		}
		if err != nil {
			for line := range strings.Lines(err.Error()) {
				if !strings.HasPrefix(line, "zone:") && !strings.HasPrefix(line, "inc:") {
					t.Errorf("fault without a place: %q", line)
				}
			}
			return
		}
		first := true
		for owner, rrs := range z.RRsets() {
			if first != (rrs[0].Header().Rrtype == dns.TypeSOA) {
				t.Errorf("%s %v: want the SOA first, and once", owner, rrs[0])
			}
			first = false
			r := z.Lookup(owner, rrs[0].Header().Rrtype)
			if r.Kind != Success && r.Kind != Delegation {
				t.Errorf("%s: found %v", rrs[0], r.Kind)
			}
			m := dns.Msg{Answer: r.Answer, Ns: r.Authority}
			if _, err := m.Pack(); err != nil {
				t.Errorf("%s: %v", owner, err)
			}
		}
	})
}

// FuzzLookup asks for any name; the answer must keep what Result promises.
func FuzzLookup(f *testing.F) {
	z := mustLoad(f, "shop.example.", benchZone+`old DNAME new
loop CNAME loop2
loop2 CNAME loop
grow DNAME grow.grow
*.c CNAME x.grow
`, map[string]string{"api": "api", "*.app": "apps"})
	for _, seed := range []string{"www", "x.wild", "a.sub", "x.old", "loop", "a.grow", "a.c", "x.y.app", "api", "f", "", `\.`, "*"} {
		f.Add(seed, dns.TypeA)
		f.Add(seed, dns.TypeDS)
		f.Add(seed, dns.TypeANY)
	}
	f.Fuzz(func(t *testing.T, prefix string, qtype uint16) {
		qname := canonical(absolute(prefix, "shop.example."))
		if prefix == "" {
			qname = "shop.example."
		}
		if _, ok := dns.IsDomainName(qname); !ok || !validName(qname) || !below(qname, z.Origin()) {
			return
		}
		r := z.Lookup(qname, qtype)
		switch r.Kind {
		case Success:
			if len(r.Answer) == 0 {
				t.Error("success without answer")
			}
		case NoData, NXDomain:
			if len(r.Authority) != 1 || r.Authority[0].Header().Rrtype != dns.TypeSOA {
				t.Errorf("%v without SOA", r.Kind)
			}
		case Delegation:
			if len(r.Authority) == 0 || r.Glue > len(r.Additional) {
				t.Error("referral without NS, or with less glue than it says")
			}
		case Steered:
			if r.Service == "" || r.Owner == "" || r.NegativeSOA == nil {
				t.Errorf("incomplete: %+v", r)
			}
		case ChainEnd, YXDomain:
			if len(r.Answer) == 0 {
				t.Errorf("%v without a chain", r.Kind)
			}
		}
		if len(r.Answer) > 0 {
			if first := r.Answer[0].Header(); first.Rrtype != dns.TypeDNAME && canonical(first.Name) != qname {
				t.Errorf("%s answered by %s", qname, first.Name)
			}
		}
		m := dns.Msg{Answer: r.Answer, Ns: r.Authority, Extra: r.Additional}
		m.SetQuestion(qname, qtype)
		if _, err := m.Pack(); err != nil {
			t.Error(err)
		}
	})
}
