package zone

import (
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

func TestCanonical(t *testing.T) {
	for name, want := range map[string]string{
		".":                   ".",
		"example":             "example.",
		"WWW.Example.":        "www.example.",
		`\087ww.example.`:     "www.example.",
		`a\.b.example.`:       `a\.b.example.`,
		`a\046b.example.`:     `a\.b.example.`,
		`\*.example.`:         "*.example.",
		"it's.example.":       `it\'s.example.`,
		"caf\xc3\xa9.example": `caf\195\169.example.`,
		`\200\X.example.`:     `\200x.example.`,
	} {
		if got := canonical(name); got != want {
			t.Errorf("canonical(%q) = %q, want %q", name, got, want)
		}
	}
	if n := testing.AllocsPerRun(100, func() { canonical("www.shop.example.") }); n != 0 {
		t.Errorf("%v allocations for a canonical name", n)
	}
}

func TestBelow(t *testing.T) {
	for _, tt := range []struct {
		name, origin string
		want         bool
	}{
		{"shop.example.", "shop.example.", true},
		{"www.shop.example.", "shop.example.", true},
		{"workshop.example.", "shop.example.", false},
		{"example.", "shop.example.", false},
		{"anything.", ".", true},
		{".", ".", true},
		{".", "example.", false},
		{`work\.shop.example.`, "shop.example.", false},
		{`work\\.shop.example.`, "shop.example.", true},
		{`work\\\.shop.example.`, "shop.example.", false},
	} {
		if got := below(tt.name, tt.origin); got != tt.want {
			t.Errorf("below(%q, %q) = %v", tt.name, tt.origin, got)
		}
	}
}

func TestParent(t *testing.T) {
	for name, want := range map[string]string{
		"a.b.": "b.", "b.": ".", ".": ".", `a\.b.c.`: "c.", `a\\.b.`: "b.", `\046.b.`: "b.", `a\.`: ".",
	} {
		if got := parent(name); got != want {
			t.Errorf("parent(%q) = %q, want %q", name, got, want)
		}
	}
	for name, want := range map[string]int{".": 0, "a.": 1, "a.b.c.": 3, `a\.b.c.`: 2} {
		if got := depth(name); got != want {
			t.Errorf("depth(%q) = %d, want %d", name, got, want)
		}
	}
}

func TestValidName(t *testing.T) {
	long := strings.Repeat("a.", 127) // 2 octets each and the root: 255
	for name, want := range map[string]bool{
		".": true, long: true, "b" + long: true, "b." + long: false,
		strings.Repeat("a", 63) + ".": true, strings.Repeat("a", 64) + ".": false,
	} {
		if name == "b"+long {
			want = false // 256
		}
		if got := validName(name); got != want {
			t.Errorf("validName of %d octets = %v, want %v", len(name)+1, got, want)
		}
	}
}

// FuzzCanonical wants every name of a message to be equal to itself written in a master file.
func FuzzCanonical(f *testing.F) {
	f.Add([]byte("\x03www\x07example\x00"))
	f.Add([]byte("\x04a.\\\xff\x01*\x00"))
	f.Fuzz(func(t *testing.T, wire []byte) {
		name, end, err := dns.UnpackDomainName(wire, 0)
		if err != nil || slices.ContainsFunc(wire[:end], func(b byte) bool { return b >= 0xc0 }) {
			return
		}
		c := canonical(name)
		if c != dns.CanonicalName(name) {
			t.Errorf("canonical(%q) = %q, dns.CanonicalName says %q", name, c, dns.CanonicalName(name))
		}
		if canonical(c) != c || !validName(c) {
			t.Errorf("%q is not canonical or not valid", c)
		}
		if got := depth(c); got != dns.CountLabel(c) {
			t.Errorf("depth(%q) = %d, want %d", c, got, dns.CountLabel(c))
		}
		if up := parent(c); !below(c, up) || compareNames(up, c) >= 0 && c != "." {
			t.Errorf("%q is not below its parent %q", c, up)
		}
	})
}
