package replication

import (
	"crypto/sha256"
	"encoding/binary"
	"hash/fnv"
	"slices"
)

const (
	bucketsPerKind = 16

	// Buckets is the number of parts of a digest: 16 for each kind of record.
	Buckets = 3 * bucketsPerKind
)

// Digest sums up a state: one number per bucket of keys, the exclusive or of its records' sums. Equal digests mean
// equal states but for one chance in 2^64 per bucket; different buckets say where to look.
type Digest [Buckets]uint64

// Entry says which version of a key a node holds.
type Entry struct {
	Key     string
	Version Version
	Sum     uint64 // Record.Sum
}

// BucketOf returns the bucket of a key, or -1 when no kind has such keys.
func BucketOf(key string) int {
	kind := KindOf(key)
	if kind == 0 {
		return -1
	}
	h := fnv.New32a()
	h.Write([]byte(key))
	return (int(kind)-1)*bucketsPerKind + int(h.Sum32()%bucketsPerKind)
}

func (d *Digest) toggle(key string, sum uint64) { d[BucketOf(key)] ^= sum }

// Differing returns the buckets in which d and e differ, ascending; none when the states are equal.
func (d Digest) Differing(e Digest) []int {
	var out []int
	for i := range d {
		if d[i] != e[i] {
			out = append(out, i)
		}
	}
	return out
}

// Digest returns the digest of the records held. It costs nothing: merges keep it current.
func (s *State) Digest() Digest { return s.digest }

// Entries lists what is held in the given buckets, in key order.
func (s *State) Entries(buckets []int) []Entry {
	var out []Entry
	for _, key := range s.keys {
		if slices.Contains(buckets, BucketOf(key)) {
			h := s.held[key]
			out = append(out, Entry{Key: key, Version: h.record.Version, Sum: h.sum})
		}
	}
	return out
}

// Wants reports whether the record that e tells of could change the state: it is new here, or newer than what is held,
// or of the same version and yet different.
func (s *State) Wants(e Entry) bool {
	if h, ok := s.held[e.Key]; ok {
		return e.Sum != h.sum && e.Version.Compare(h.record.Version) >= 0
	}
	v, ok := s.buried[e.Key]
	return !ok || e.Version.Compare(v) > 0
}

// Diff compares what is held in buckets with all that a peer holds there. It returns the records that the peer
// lacks or has older, in key order, and the keys of which the peer has something newer, in the peer's order. Two
// states that exchange both, twice at most, are equal.
func (s *State) Diff(buckets []int, theirs []Entry) (send []Record, want []string) {
	has := make(map[string]Entry, len(theirs))
	for _, e := range theirs {
		if _, twice := has[e.Key]; twice || !slices.Contains(buckets, BucketOf(e.Key)) {
			continue
		}
		has[e.Key] = e
		if s.Wants(e) {
			want = append(want, e.Key)
		}
	}
	for _, key := range s.keys {
		if !slices.Contains(buckets, BucketOf(key)) {
			continue
		}
		h := s.held[key]
		e, ok := has[key]
		if !ok || (e.Sum != h.sum && h.record.Version.Compare(e.Version) >= 0) {
			send = append(send, h.record)
		}
	}
	return send, want
}

// Sum is the number by which two nodes tell whether they hold the same record: the first 8 bytes of the SHA-256 of
// its encoding. A record that does not encode has sum 0.
func (r Record) Sum() uint64 {
	sum, _ := r.sum(nil)
	return sum
}

// sum is Sum with memory to work in, which it returns for the next time.
func (r Record) sum(room []byte) (uint64, []byte) {
	room, err := r.AppendBinary(room[:0])
	if err != nil {
		return 0, room
	}
	digest := sha256.Sum256(room)
	return binary.BigEndian.Uint64(digest[:8]), room
}
