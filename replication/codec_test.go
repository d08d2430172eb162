package replication

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRecordRoundTrip(t *testing.T) {
	rng := seeded(t)
	records := []Record{
		{},
		{Kind: KindEvidence, Key: strings.Repeat("k", MaxKeyBytes), Writer: strings.Repeat("w", MaxNameBytes),
			Version: Version{^uint64(0), ^uint64(0)}, Expires: -1, Body: bytes.Repeat([]byte{0xff}, MaxBodyBytes)},
	}
	for range 200 {
		records = append(records, randomRecord(t, rng))
	}
	for _, want := range records {
		b, err := want.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		if len(b) != want.EncodedLen() || len(b) > MaxRecordBytes {
			t.Errorf("%q: %d bytes, EncodedLen %d, limit %d", want.Key, len(b), want.EncodedLen(), MaxRecordBytes)
		}
		got, err := DecodeRecord(b)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	}
}

func TestAppendBinaryRefusesOversize(t *testing.T) {
	for _, r := range []Record{
		{Key: strings.Repeat("k", MaxKeyBytes+1)},
		{Writer: strings.Repeat("w", MaxNameBytes+1)},
		{Body: make([]byte, MaxBodyBytes+1)},
	} {
		if b, err := r.AppendBinary([]byte("kept")); err == nil || string(b) != "kept" {
			t.Errorf("key %d, writer %d, body %d bytes: got %d bytes, error %v; want the input and an error",
				len(r.Key), len(r.Writer), len(r.Body), len(b), err)
		}
	}
}

// Every byte counts: no single damaged byte and no cut goes unnoticed.
func TestDecodeRecordNoticesDamage(t *testing.T) {
	b, err := mustEvidence(t, "node-1", 3, 4, "some evidence").MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	for i := range b {
		damaged := bytes.Clone(b)
		damaged[i] ^= 0x40
		if r, err := DecodeRecord(damaged); !errors.Is(err, ErrMalformed) {
			t.Errorf("byte %d flipped: got %+v, %v", i, r, err)
		}
		if r, err := DecodeRecord(b[:i]); !errors.Is(err, ErrMalformed) {
			t.Errorf("cut at %d: got %+v, %v", i, r, err)
		}
	}
	if _, err := DecodeRecord(append(bytes.Clone(b), 0)); !errors.Is(err, ErrMalformed) {
		t.Errorf("one byte too many: got %v", err)
	}
}

func FuzzDecodeRecord(f *testing.F) {
	for _, r := range []Record{
		{}, mustEvidence(f, "node-1", 1, 2, "x"), mustOverride(f, Override{Site: "fra", Action: Drain}, "n", Version{9, 9}),
	} {
		b, _ := r.MarshalBinary()
		f.Add(b)
		f.Add(b[:len(b)-1])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := DecodeRecord(b)
		if err != nil {
			return
		}
		again, err := r.MarshalBinary()
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%x decodes, but encodes again as %x, %v", b, again, err)
		}
		if err := Validate(r, epoch0); err == nil {
			var s State
			if outcome, err := s.Merge(r, epoch0); outcome != Changed || err != nil {
				t.Fatalf("valid, but merged as %d, %v", outcome, err)
			}
		}
	})
}

// The checksum stops nearly all that the fuzzer makes up, so this one starts behind it.
func FuzzValidate(f *testing.F) {
	for _, r := range []Record{
		mustEvidence(f, "node-1", 1, 2, "x"),
		mustOverride(f, Override{Site: "fra", Action: Weight, Percent: 50}, "n", Version{9, 9}),
		mustOverride(f, Override{Service: "shop", Site: "fra", Action: Freeze, FrozenLevel: "up"}, "n", Version{9, 9}),
		{Kind: KindApplied, Key: "applied/n", Writer: "n", Version: Version{1, 1}, Body: []byte(`{"node":"n"}`)},
	} {
		f.Add(byte(r.Kind), r.Key, r.Writer, r.Version.Major, r.Version.Minor, r.Expires, r.Body)
	}
	f.Fuzz(func(t *testing.T, kind byte, key, writer string, major, minor uint64, expires int64, body []byte) {
		r := Record{Kind(kind), key, writer, Version{major, minor}, expires, body}
		var s State
		outcome, mergeErr := s.Merge(r, epoch0)
		err := Validate(r, epoch0)
		switch {
		case err == nil && (outcome != Changed || mergeErr != nil),
			errors.Is(err, ErrFuture) && (outcome != Parked || mergeErr != nil),
			err != nil && !errors.Is(err, ErrFuture) && (outcome != Refused || mergeErr == nil):
			t.Fatalf("validate: %v; merge: %d, %v", err, outcome, mergeErr)
		}
		if outcome == Changed && (BucketOf(key) < 0 || KindOf(key) != r.Kind) {
			t.Fatalf("merged under key %q, which is not of kind %s", key, r.Kind)
		}
		s.Overrides(epoch0)
	})
}
