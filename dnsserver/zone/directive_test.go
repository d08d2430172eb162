package zone

import (
	"strings"
	"testing"

	"github.com/miekg/dns"
)

func TestParseTTL(t *testing.T) {
	for word, want := range map[string]int64{
		"0": 0, "3600": 3600, "1h": 3600, "1H30M": 5400, "1w2d3h4m5s": 788645, "1h1": 3601, "2147483647": maxTTL,
		"": -1, "h": -1, "1y": -1, "-1": -1, "1hh": -1, "2147483648": -1, "3551w": -1, "99999999999999999999": -1,
		"1.5h": -1, " 1": -1, strings.Repeat("9w", 1000): -1,
	} {
		ttl, ok := parseTTL(word)
		if got := int64(ttl); ok != (want >= 0) || ok && got != want {
			t.Errorf("parseTTL(%.20q) = %d, %v, want %d", word, got, ok, want)
		}
	}
}

// TestGenerateTTL wants the TTL in force, wherever the directive's own may stand.
func TestGenerateTTL(t *testing.T) {
	z := mustLoad(t, "shop.example.", apexRecords+`
$GENERATE 1-2 a$ A 192.0.2.$
$GENERATE 1-2 b$ IN A 192.0.2.$
$GENERATE 1-2 c$ 7 A 192.0.2.$
$GENERATE 1-2 d$ IN 7 A 192.0.2.$
$GENERATE 1-2 e$ 7 IN A 192.0.2.$ ; comment
$GENERATE	1-2	f$	TXT	"$ 1 2"
$GENERATE 1-2 g${-1} A 192.0.2.$
`, nil)
	for qname, want := range map[string]uint32{
		"a2": 300, "b2": 300, "c2": 7, "d2": 7, "e2": 7, "f2": 300, "g0": 300,
	} {
		r := z.Lookup(qname+".shop.example.", dns.TypeANY)
		if len(r.Answer) != 1 || r.Answer[0].Header().Ttl != want {
			t.Errorf("%s: %v %v, want ttl %d", qname, r.Kind, r.Answer, want)
		}
	}
}
