package zone

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"
)

// TestLargeZone reports time and memory of a large zone. MERIDIAN_SCALE sets its number of records.
func TestLargeZone(t *testing.T) {
	records := 20_000
	if s := os.Getenv("MERIDIAN_SCALE"); s != "" {
		if _, err := fmt.Sscan(s, &records); err != nil {
			t.Fatal(err)
		}
	}
	var text bytes.Buffer
	text.WriteString("$TTL 300\n@ SOA ns1 host 1 7200 900 1209600 60\n@ NS ns1\nns1 A 192.0.2.1\n")
	for i := range records {
		fmt.Fprintf(&text, "host-%d A 198.51.%d.%d\n", i, i>>8&255, i&255)
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	start := time.Now()
	z, err := new(Loader).load(Source{Origin: "shop.example.", File: "shop.zone"}, &text, nil)
	if err != nil {
		t.Fatal(err)
	}
	took := time.Since(start)
	runtime.GC()
	runtime.ReadMemStats(&after)
	t.Logf("%d records: %v, %d MB held", records, took.Round(time.Millisecond), int64(after.HeapAlloc-before.HeapAlloc)>>20)
	runtime.KeepAlive(text)
	for i := range records {
		if r := z.Lookup(fmt.Sprintf("host-%d.shop.example.", i), 1); r.Kind != Success || len(r.Answer) != 1 {
			t.Fatalf("host-%d: %v", i, r.Kind)
		}
	}
}
