package zone

import (
	"strings"
	"testing"

	"github.com/miekg/dns"
)

func TestSetFind(t *testing.T) {
	var zones []*Zone
	for _, origin := range []string{"example.", "shop.example.", "b.a.shop.example.", "example.net."} {
		zones = append(zones, mustLoad(t, origin, apexRecords, nil))
	}
	set, err := NewSet(zones)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		qname string
		qtype uint16
		want  string
	}{
		{"example.", dns.TypeA, "example."},
		{"www.example.", dns.TypeA, "example."},
		{"shop.example.", dns.TypeA, "shop.example."},
		{"a.shop.example.", dns.TypeA, "shop.example."},
		{"x.b.a.shop.example.", dns.TypeA, "b.a.shop.example."},
		{"workshop.example.", dns.TypeA, "example."},
		{"net.", dns.TypeA, ""},
		{".", dns.TypeA, ""},
		{"example.org.", dns.TypeA, ""},
		{`www\.example.net.`, dns.TypeA, ""},
		{`x.www\.example.net.`, dns.TypeA, ""},
		{strings.Repeat("x.", 120) + "example.", dns.TypeA, "example."},

		// RFC 4035 section 3.1.4.1
		{"shop.example.", dns.TypeDS, "example."},
		{"b.a.shop.example.", dns.TypeDS, "shop.example."},
		{"www.shop.example.", dns.TypeDS, "shop.example."},
		{"example.", dns.TypeDS, "example."},
	} {
		got := ""
		if z := set.Find(tt.qname, tt.qtype); z != nil {
			got = z.Origin()
		}
		if got != tt.want {
			t.Errorf("Find(%q, %s) = %q, want %q", tt.qname, dns.Type(tt.qtype), got, tt.want)
		}
	}
	if n := testing.AllocsPerRun(100, func() { set.Find("x.y.shop.example.", dns.TypeDS) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	var origins []string
	for _, z := range set.Zones() {
		origins = append(origins, z.Origin())
	}
	if got := strings.Join(origins, " "); got != "example. shop.example. b.a.shop.example. example.net." {
		t.Errorf("Zones() = %s", got)
	}
}

func TestSetRoot(t *testing.T) {
	set, err := NewSet([]*Zone{mustLoad(t, ".", apexRecords+"* A 192.0.2.1\n", nil), mustLoad(t, "example.", apexRecords, nil)})
	if err != nil {
		t.Fatal(err)
	}
	for qname, want := range map[string]string{".": ".", "net.": ".", "example.": "example.", "a.example.": "example."} {
		if got := set.Find(qname, dns.TypeA).Origin(); got != want {
			t.Errorf("Find(%q) = %q, want %q", qname, got, want)
		}
	}
	for _, qname := range []string{".", "example."} {
		if got := set.Find(qname, dns.TypeDS).Origin(); got != "." {
			t.Errorf("Find(%q, DS) = %q, want the root", qname, got)
		}
	}
}

func TestSetEmpty(t *testing.T) {
	set, err := NewSet(nil)
	if err != nil || set.Find("example.", dns.TypeA) != nil {
		t.Error("an empty set found something", err)
	}
}

func TestSetTwice(t *testing.T) {
	z := mustLoad(t, "example.", apexRecords, nil)
	if _, err := NewSet([]*Zone{z, mustLoad(t, "Example", apexRecords, nil)}); err == nil ||
		err.Error() != "zone example.: given twice: want each origin once" {
		t.Errorf("error %v", err)
	}
}
