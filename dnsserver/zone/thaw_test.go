package zone

import (
	"maps"
	"math/rand/v2"
	"strings"
	"testing"
)

// A zone that is written out as it comes back from its packed form, and read again, is the same zone.
func TestPackedRoundTrip(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	loaded := 0
	for range 300 {
		o := randomZone(rng)
		z, err := new(Loader).load(Source{Origin: o.origin, File: "random", Steer: o.steer}, strings.NewReader(o.text()), nil)
		if err != nil {
			continue
		}
		loaded++
		var text strings.Builder
		records := 0
		for owner, rrs := range z.RRsets() {
			for _, rr := range rrs {
				if rr.Header().Name != owner {
					t.Fatalf("%v is at %s", rr, owner)
				}
				text.WriteString(rr.String() + "\n")
				records++
			}
		}
		steer := maps.Collect(z.Steered())
		again, err := new(Loader).load(Source{Origin: z.Origin(), File: "again", Steer: steer}, strings.NewReader(text.String()), nil)
		if err != nil || again.Digest() != z.Digest() || again.Serial() != z.Serial() || !maps.Equal(steer, o.steer) {
			t.Fatalf("seed %d: %v\n%s%v\nbecame\n%s%v", seed, err, o.text(), o.steer, text.String(), steer)
		}
	}
	if loaded < 100 {
		t.Errorf("only %d zones loaded: the test proves little", loaded)
	}
}

// Additional records beyond what a message can hold are left out when a zone is packed, as they would be in answers.
func TestTooManyAdditional(t *testing.T) {
	var text strings.Builder
	text.WriteString(apexRecords)
	for i := range 40 {
		host := strings.Repeat(string(rune('a'+i%26)), 50) + "-" + string(rune('a'+i/26))
		text.WriteString("mail MX 10 " + host + "\n")
		for j := range 120 {
			text.WriteString(host + " AAAA 2001:db8::" + strings.Repeat("f", 1+j%4) + ":" + string("0123456789abcdef"[j%16]) +
				string("0123456789abcdef"[j/16]) + "\n")
		}
	}
	z := mustLoad(t, "shop.example.", text.String(), nil)
	r := z.Lookup("mail.shop.example.", 15)
	if len(r.Answer) != 40 || len(r.Additional) < 1000 || len(r.Additional) > 65535/28 {
		t.Errorf("%d answers and %d additional records", len(r.Answer), len(r.Additional))
	}
}
