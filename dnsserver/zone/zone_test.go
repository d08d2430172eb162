package zone

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
)

func TestDigest(t *testing.T) {
	steer := map[string]string{"api": "api"}
	text := apexRecords + "a A 192.0.2.1\na A 192.0.2.2\nb A 192.0.2.3\n"
	base := mustLoad(t, "shop.example.", text, steer).Digest()
	if len(base) != 64 {
		t.Errorf("digest %q, want 64 hexadecimal digits", base)
	}
	same := map[string]string{
		"order":      apexRecords + "b A 192.0.2.3\na A 192.0.2.2\na A 192.0.2.1\n",
		"layout":     apexRecords + "; comment\na ( A 192.0.2.1 )\n  A 192.0.2.2 ; x\n$ORIGIN example.\nb.shop 300 IN A 192.0.2.3\n",
		"duplicates": text + "b A 192.0.2.3\n",
	}
	for name, other := range same {
		if got := mustLoad(t, "shop.example.", other, steer).Digest(); got != base {
			t.Errorf("%s changes the digest", name)
		}
	}
	differ := map[string]*Zone{
		"rdata":         mustLoad(t, "shop.example.", strings.Replace(text, "192.0.2.3", "192.0.2.4", 1), steer),
		"owners":        mustLoad(t, "shop.example.", apexRecords+"b A 192.0.2.1\na A 192.0.2.2\na A 192.0.2.3\n", steer),
		"ttl":           mustLoad(t, "shop.example.", strings.Replace(text, "b A", "b 1 A", 1), steer),
		"serial":        mustLoad(t, "shop.example.", strings.Replace(text, " 1 7200", " 2 7200", 1), steer),
		"fewer":         mustLoad(t, "shop.example.", apexRecords+"a A 192.0.2.1\nb A 192.0.2.3\n", steer),
		"service":       mustLoad(t, "shop.example.", text, map[string]string{"api": "web"}),
		"steered owner": mustLoad(t, "shop.example.", text, map[string]string{"web": "api"}),
		"no steering":   mustLoad(t, "shop.example.", text, nil),
		"origin":        mustLoad(t, "shop2.example.", text, steer),
	}
	for name, z := range differ {
		if z.Digest() == base {
			t.Errorf("%s does not change the digest", name)
		}
	}
}

// TestRRsets walks in the order of the example in RFC 4034 section 6.1.
func TestRRsets(t *testing.T) {
	z := mustLoad(t, "example.", apexRecords+`
*.z.example. A 192.0.2.1
zABC.a.EXAMPLE. A 192.0.2.1
Z.a.example. A 192.0.2.1
a.example. A 192.0.2.1
a.example. TXT "x"
yljkjljk.a.example. A 192.0.2.1
\200.z.example. A 192.0.2.1
\001.z.example. A 192.0.2.1
z.example. A 192.0.2.1
`, nil)
	var got []string
	for name, rrs := range z.RRsets() {
		got = append(got, name+" "+dns.Type(rrs[0].Header().Rrtype).String())
	}
	want := []string{
		"example. SOA", "example. NS", "a.example. A", "a.example. TXT", "yljkjljk.a.example. A", "z.a.example. A",
		"zabc.a.example. A", "z.example. A", `\001.z.example. A`, "*.z.example. A", `\200.z.example. A`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for name := range z.RRsets() { // stops when asked to
		if name != "example." {
			t.Error("went on")
		}
		break
	}
}

func TestSteered(t *testing.T) {
	z := mustLoad(t, "shop.example.", apexRecords, map[string]string{"@": "front", "*.b": "apps", "A": "web", "x.y": "deep"})
	var got []string
	for owner, service := range z.Steered() {
		got = append(got, owner+" "+service)
	}
	want := []string{"shop.example. front", "a.shop.example. web", "*.b.shop.example. apps", "x.y.shop.example. deep"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
