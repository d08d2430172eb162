package health

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"
)

func dozen() Evidence {
	e := Evidence{Node: "fra-1", Datacenter: "eu-west", Epoch: 12, Seq: 34567, Blind: true, Score: 1}
	for _, site := range []string{"ap-south", "eu-west", "us-east"} {
		for _, check := range []string{"shop-http", "shop-tls"} {
			for _, family := range []Family{V4, V6} {
				e.Targets = append(e.Targets, TargetEvidence{
					Target: Target{site, check, family}, State: StateUp, Back: true,
					Age: 26*time.Hour + 17*time.Microsecond, Held: 26*time.Hour + 19*time.Second,
					RTT: 83*time.Millisecond + 417, Policy: 0xdeadbeef,
				})
			}
		}
	}
	e.Targets[3].State, e.Targets[3].Soft, e.Targets[3].Reason = StateDown, true, "status 503: want 200..299"
	return e
}

func TestEvidenceRoundTrip(t *testing.T) {
	for _, e := range []Evidence{dozen(), {Node: "n", Datacenter: "d"}, {Node: "n", Datacenter: "d", Isolated: true, Warm: true, Epoch: 1<<64 - 1, Seq: 1<<64 - 1}} {
		b, err := e.AppendBinary([]byte("before"))
		if err != nil {
			t.Fatal(err)
		}
		got, err := DecodeEvidence(b[len("before"):])
		if err != nil || !reflect.DeepEqual(got, e) {
			t.Errorf("got  %+v, %v\nwant %+v", got, err, e)
		}
	}
}

func TestADozenTargetsFitIntoOneGossipItem(t *testing.T) {
	b, err := dozen().AppendBinary(nil)
	if err != nil || len(b) > 700 {
		t.Errorf("%d bytes, %v: want at most 700", len(b), err)
	}
}

func TestEncodingRefusesWhatOthersWould(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Evidence)
		want   string
	}{
		{"no node", func(e *Evidence) { e.Node = "" }, "node: 0 bytes: want 1..255"},
		{"no datacenter", func(e *Evidence) { e.Datacenter = "" }, "datacenter"},
		{"control characters", func(e *Evidence) { e.Node = "a\x1b[2J" }, "want printable text"},
		{"long reason", func(e *Evidence) { e.Targets[0].Reason = strings.Repeat("x", 97) }, "reason: 97 bytes: want 0..96"},
		{"negative score", func(e *Evidence) { e.Score = -1 }, "score -1"},
		{"state", func(e *Evidence) { e.Targets[0].State = 5 }, "state 5"},
		{"family", func(e *Evidence) { e.Targets[0].Target.Family = 5 }, "family 5"},
		{"negative age", func(e *Evidence) { e.Targets[0].Age = -1 }, "want 0.."},
		{"order", func(e *Evidence) { e.Targets[0], e.Targets[1] = e.Targets[1], e.Targets[0] }, "sorted and unique"},
		{"twice", func(e *Evidence) { e.Targets[1] = e.Targets[0] }, "sorted and unique"},
		{"too many", func(e *Evidence) { e.Targets = make([]TargetEvidence, 4097) }, "4097 targets: want at most 4096"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			e := dozen()
			test.change(&e)
			b, err := e.AppendBinary([]byte("kept"))
			if err == nil || !strings.Contains(err.Error(), test.want) || string(b) != "kept" {
				t.Errorf("got %q, %v: want an error with %q and nothing written", b, err, test.want)
			}
		})
	}
}

func TestDecodingRefusesCutAndLongInput(t *testing.T) {
	b, err := dozen().AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	for n := range b {
		if _, err := DecodeEvidence(b[:n]); err == nil {
			t.Fatalf("%d of %d bytes decode", n, len(b))
		}
	}
	if _, err := DecodeEvidence(append(b, 0)); err == nil {
		t.Error("a byte after the end decodes")
	}
	if _, err := DecodeEvidence(make([]byte, MaxEvidence+1)); err == nil {
		t.Error("oversize decodes")
	}
	b[0] = 2
	if _, err := DecodeEvidence(b); err == nil || !strings.Contains(err.Error(), "version 2: want 1") {
		t.Errorf("another version: got %v", err)
	}
}

func TestDecodingTakesMemoryInProportion(t *testing.T) {
	// A count that the bytes cannot hold must be refused before room is made for it.
	b := appendText(appendText([]byte{evidenceVersion}, "n"), "d")
	b = append(b, 0, 0, 0, 0, 0, 0, 0xff, 0x1f) // 4095 targets in no bytes
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	const runs = 100
	for range runs {
		if _, err := DecodeEvidence(b); err == nil {
			t.Fatal("want an error")
		}
	}
	runtime.ReadMemStats(&after)
	if each := (after.TotalAlloc - before.TotalAlloc) / runs; each > 16<<10 {
		t.Errorf("%d bytes allocated for an input of %d", each, len(b))
	}
}

func TestRandomEvidenceRoundTrips(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		w := &world{Rand: r}
		w.fleet = fleetOf([]string{"ap", "eu", "sa", "us", "za"}[:1+r.IntN(5)]...)
		e := w.evidence("eu-1", "eu").Evidence
		e.Epoch, e.Seq = r.Uint64(), r.Uint64()>>r.IntN(64)
		b, err := e.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := DecodeEvidence(b)
		if err != nil || !reflect.DeepEqual(got, e) {
			t.Fatalf("got  %+v, %v\nwant %+v", got, err, e)
		}
	}
}

func FuzzDecodeEvidence(f *testing.F) {
	b, err := dozen().AppendBinary(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte{evidenceVersion})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := DecodeEvidence(b)
		if err != nil {
			return
		}
		again, err := e.AppendBinary(nil)
		if err != nil {
			t.Fatalf("%+v decodes and does not encode: %v", e, err)
		}
		e2, err := DecodeEvidence(again)
		if err != nil || !reflect.DeepEqual(e, e2) {
			t.Fatalf("got %+v, %v: want %+v", e2, err, e)
		}
	})
}

func TestVerdictsRoundTrip(t *testing.T) {
	d := decide(three(), says(t, withOthersUp("us-1: ap=up eu=down us=up")...), Prior{})
	b, err := EncodeVerdicts(d.Good)
	if err != nil {
		t.Fatal(err)
	}
	got, err := DecodeVerdicts(b)
	if err != nil || !reflect.DeepEqual(got, d.Good) {
		t.Errorf("got  %+v, %v\nwant %+v", got, err, d.Good)
	}
	again, err := EncodeVerdicts(got)
	if err != nil || !bytes.Equal(again, b) {
		t.Errorf("got %s, %v: want %s", again, err, b)
	}
}

func TestDecodeVerdictsNamesEveryFault(t *testing.T) {
	_, err := DecodeVerdicts([]byte(`[
		{"target":{"site":"eu","check":"http","family":5},"verdict":{"level":"up"}},
		{"target":{"site":"eu","check":"http","family":4},"verdict":{"level":"up","weight":1001}},
		{"target":{"site":"eu","check":"http","family":4},"verdict":{"level":"up","age":-1}}]`))
	for _, want := range []string{"verdicts[0]: target eu/http/v5", "verdicts[1]: weight 1001", "verdicts[2]: target eu/http/v4: want it once"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v: want %q in it", err, want)
		}
	}
	if _, err := DecodeVerdicts([]byte("{")); err == nil {
		t.Error("half a list decodes")
	}
}

func FuzzDecodeVerdicts(f *testing.F) {
	f.Add([]byte(`[{"target":{"site":"eu","check":"http","family":4},"verdict":{"level":"up","weight":1000,"votes":[{}]}}]`))
	f.Fuzz(func(t *testing.T, b []byte) {
		verdicts, err := DecodeVerdicts(b)
		if err != nil {
			return
		}
		again, err := EncodeVerdicts(verdicts)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := DecodeVerdicts(again); err != nil {
			t.Fatalf("%s: %v", again, err)
		}
	})
}
