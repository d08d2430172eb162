package zone

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// plainEntries are entries that the quick reader takes.
var plainEntries = []string{
	"www A 192.0.2.1", "www 300 A 192.0.2.1", "www 300 IN A 192.0.2.1", "www IN 300 AAAA 2001:db8::1",
	"www.example.net.\tAAAA\t::ffff:192.0.2.1 ", " A 192.0.2.1", "\t60 A 192.0.2.1", "* A 192.0.2.1",
	"a.*.b A 192.0.2.1", "WWW.Shop A 192.0.2.1", "_x-1 0 A 0.0.0.0", "300 A 192.0.2.1", "A A 192.0.2.1",
	"IN A 192.0.2.1", "IN IN A 192.0.2.1", "300 300 A 192.0.2.1", "www 2147483647 A 192.0.2.1",
}

// otherEntries are entries that it leaves to the parser, which may find them faulty.
var otherEntries = []string{
	"@ A 192.0.2.1", "www A 192.0.2.1 ; first", "www ( A 192.0.2.1 )", "www 1h A 192.0.2.1", "www a 192.0.2.1",
	"www CH A 192.0.2.1", "www MX 10 mail", "www A 192.0.2.01", "www A 192.0.2.256", "www A 2001:db8::1",
	"www AAAA 192.0.2.1", "www AAAA fe80::1%eth0", "www A", "www A 192.0.2.1 192.0.2.2", "a..b A 192.0.2.1",
	".a A 192.0.2.1", ". A 192.0.2.1", `w\119w A 192.0.2.1`, "www TTL 300 A 192.0.2.1", "www 4294967296 A 192.0.2.1",
	"www 300 300 A 192.0.2.1", "www IN IN A 192.0.2.1", `www A "192.0.2.1"`, "www 30x A 192.0.2.1",
}

// read parses one entry behind an owner, with the quick reader or without. Quick says whether it was that.
func read(text, origin string, ttl uint32, directive, quickly bool) (state string, quick bool) {
	m := newMaster(new(Loader), nil, "")
	m.ttl, m.directive = ttl, directive
	f := m.open(nil, "zone", "zone", origin)
	f.owner = "before." + origin
	entry := []byte(text + "\n")
	if quick = quickly && m.plain(f, place{}, entry); !quick {
		m.general(f, place{}, entry)
	}
	for _, r := range m.records {
		state += r.rr.String() + "\n"
	}
	return state + fmt.Sprint(m.ttl, f.owner, m.faults.texts()), quick
}

func TestPlainEntries(t *testing.T) {
	for _, text := range append(plainEntries, otherEntries...) {
		for _, directive := range []bool{true, false} {
			want, _ := read(text, "shop.example.", 3600, directive, false)
			got, _ := read(text, "shop.example.", 3600, directive, true)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%q (-parser +quick):\n%s", text, diff)
			}
		}
	}
	for _, text := range plainEntries[:13] {
		if _, quick := read(text, "shop.example.", 3600, true, true); !quick {
			t.Errorf("%q is left to the parser", text)
		}
	}
}

// FuzzPlain holds the quick reader of address records against the parser.
func FuzzPlain(f *testing.F) {
	for _, text := range append(plainEntries, otherEntries...) {
		f.Add(text, true, true)
		f.Add(text, false, false)
	}
	f.Fuzz(func(t *testing.T, text string, root, stated bool) {
		origin, ttl := "shop.example.", uint32(3600)
		if root {
			origin = "."
		}
		if !stated {
			ttl = noTTL
		}
		if len(text) == 0 || text[0] == '$' {
			return
		}
		got, quick := read(text, origin, ttl, stated, true)
		if !quick {
			return
		}
		if want, _ := read(text, origin, ttl, stated, false); got != want {
			t.Errorf("%q: got\n%s\nwant\n%s", text, got, want)
		}
	})
}
