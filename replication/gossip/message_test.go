package gossip

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/meridian-gtm/meridian/replication"
)

var testTime = time.UnixMilli(1_800_000_000_000)

// encode is the inverse of decodeMessage.
func (m message) encode() []byte {
	switch m.kind {
	case typeRecord:
		b, _ := m.record.AppendBinary([]byte{typeRecord})
		return b
	case typeAnnounce:
		return appendEntry(begin(typeAnnounce, m.from), m.entries[0])
	case typeBye:
		return begin(typeBye, m.from)
	case typeDigest:
		return encodeDigest(m.from, m.digest)
	case typeEntries:
		return encodeEntries(m.from, m.buckets, m.entries)
	case typeWant:
		return encodeWant(m.from, m.keys)
	case typeRecords:
		return bytes.Join(encodeRecords(m.records), nil)
	}
	return nil
}

func samples(t testing.TB) []message {
	t.Helper()
	r := evidence(t, "node-2", 3, 50)
	var s replication.State
	for i := range 5 {
		_, _ = s.Merge(evidence(t, fmt.Sprintf("node-%d", i), 1, 10), testTime)
	}
	buckets := s.Digest().Differing(replication.Digest{})
	entry := replication.Entry{Key: r.Key, Version: r.Version, Sum: r.Sum()}
	listed := s.Entries(buckets)
	// on the wire entries stand in the order of their buckets
	var byBucket []replication.Entry
	for _, i := range buckets {
		byBucket = append(byBucket, s.Entries([]int{i})...)
	}
	if len(byBucket) != len(listed) {
		t.Fatalf("%d entries by bucket, %d in all", len(byBucket), len(listed))
	}
	return []message{
		{kind: typeRecord, record: r},
		{kind: typeAnnounce, from: "node-1", entries: []replication.Entry{entry}},
		{kind: typeBye, from: "node-1"},
		{kind: typeDigest, from: "node-1", digest: s.Digest()},
		{kind: typeEntries, from: "node-1", buckets: buckets, entries: byBucket},
		{kind: typeEntries, from: "node-1", buckets: []int{0, 47}, entries: []replication.Entry{}}, // nothing held there
		{kind: typeWant, from: "node-1", keys: []string{r.Key, "applied/node-9"}},
		{kind: typeRecords, records: []replication.Record{r, evidence(t, "node-3", 1, 5_000)}},
	}
}

func TestMessageRoundTrip(t *testing.T) {
	for _, want := range samples(t) {
		b := want.encode()
		got, err := decodeMessage(b)
		if err != nil {
			t.Errorf("type %d: %v", want.kind, err)
			continue
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(message{})); diff != "" {
			t.Errorf("type %d (-want +got)\n%s", want.kind, diff)
		}
		for i := range b {
			if m, err := decodeMessage(b[:i]); err == nil && (m.kind != typeEntries && m.kind != typeWant && m.kind != typeRecords) {
				t.Errorf("type %d cut at %d of %d: no error", want.kind, i, len(b))
			}
		}
		if want.kind != typeRecords {
			if _, err := decodeMessage(append(bytes.Clone(b), 0xff)); err == nil {
				t.Errorf("type %d with a byte too many: no error", want.kind)
			}
		}
	}
}

func TestDecodeMessageRefuses(t *testing.T) {
	for name, b := range map[string][]byte{
		"empty":             {},
		"too long":          make([]byte, maxMessage+1),
		"type 0":            {0, 1, 'a'},
		"type 99":           {99, 1, 'a'},
		"no sender":         {typeBye, 0},
		"sender with slash": {typeBye, 3, 'a', '/', 'b'},
		"bucket 48":         append(begin(typeEntries, "a"), 0, 1, 0, 0, 0, 0, 0, 0),
		"record cut":        {typeRecords, 0, 0, 0, 9, 1},
		"many keys":         append(begin(typeWant, "a"), make([]byte, replication.MaxRecords+1)...),
	} {
		if m, err := decodeMessage(b); err == nil || (!errors.Is(err, errMessage) && !errors.Is(err, replication.ErrMalformed)) {
			t.Errorf("%s: got %+v, %v", name, m, err)
		}
	}
}

// A bad record in a batch is passed over, and counted.
func TestBrokenRecordInBatch(t *testing.T) {
	good, bad := evidence(t, "node-1", 1, 20), evidence(t, "node-2", 1, 20)
	b := encodeRecords([]replication.Record{bad, good})[0]
	b[20] ^= 1
	m, err := decodeMessage(b)
	if err != nil || m.broken != 1 || len(m.records) != 1 || m.records[0].Key != good.Key {
		t.Errorf("got %+v, %v", m, err)
	}
}

// However much there is to say, a message stays within its limit and says as much as fits.
func TestMessagesAreBounded(t *testing.T) {
	long := strings.Repeat("k", replication.MaxKeyBytes-10)
	var entries []replication.Entry
	var keys []string
	var buckets []int
	for i := range replication.Buckets {
		buckets = append(buckets, i)
	}
	for i := range replication.MaxRecords {
		key := fmt.Sprintf("evidence/%s%05d", long[:150], i)
		entries = append(entries, replication.Entry{Key: key})
		keys = append(keys, key)
	}
	m, err := decodeMessage(encodeEntries("node-1", buckets, entries))
	if err != nil || len(m.entries) == 0 || len(m.buckets) == len(buckets) {
		t.Errorf("%d entries of %d buckets, %v", len(m.entries), len(m.buckets), err)
	}
	for _, e := range m.entries { // only whole buckets are told of
		found := false
		for _, i := range m.buckets {
			found = found || i == replication.BucketOf(e.Key)
		}
		if !found {
			t.Fatalf("%q is of a bucket that is not told of", e.Key)
		}
	}
	if m, err = decodeMessage(encodeWant("node-1", keys)); err != nil || len(m.keys) < 5_000 {
		t.Errorf("%d keys, %v", len(m.keys), err)
	}

	var records []replication.Record
	for i := range 100 {
		records = append(records, evidence(t, fmt.Sprintf("node-%d", i), 1, replication.MaxBodyBytes))
	}
	batches := encodeRecords(records)
	if len(batches) != maxBatches {
		t.Errorf("%d batches, want %d", len(batches), maxBatches)
	}
	for _, b := range batches {
		if m, err := decodeMessage(b); err != nil || len(m.records) < 15 {
			t.Errorf("batch of %d bytes: %d records, %v", len(b), len(m.records), err)
		}
	}
}

func FuzzDecodeMessage(f *testing.F) {
	for _, m := range samples(f) {
		f.Add(m.encode())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decodeMessage(b)
		if err != nil {
			return
		}
		if len(m.entries) > replication.MaxRecords || len(m.keys) > replication.MaxRecords {
			t.Fatalf("%d entries, %d keys", len(m.entries), len(m.keys))
		}
		// What a receiver does with it must hold for any content.
		var s replication.State
		for _, r := range append(m.records, m.record) {
			if !s.Knows(r) {
				_, _ = s.Merge(r, testTime)
			}
		}
		s.Digest().Differing(m.digest)
		s.Diff(m.buckets, m.entries)
		s.Records(m.keys)
	})
}

func FuzzDecodeMeta(f *testing.F) {
	f.Add(encodeMeta("fra", []byte("meta")))
	f.Fuzz(func(t *testing.T, b []byte) {
		dc, meta, ok := decodeMeta(b)
		if ok && !bytes.Equal(encodeMeta(dc, meta), b) {
			t.Errorf("%x decodes, but encodes again as %x", b, encodeMeta(dc, meta))
		}
	})
}
