package gossip

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/meridian-gtm/meridian/replication"
)

// Messages begin with a type byte. Names and keys have a length byte before them, integers are big endian.
//
//	record    an encoded record                                    packet
//	announce  sender, entry: a record too large for a packet       packet
//	bye       sender: it leaves on purpose                         packet
//	digest    sender, 48 sums: answered with entries               stream, push/pull
//	entries   sender, bucket mask 8, entries: all held there       stream
//	want      sender, keys: answered with records                  stream
//	records   length 4 and record, repeated                        stream
//
// An entry is key, major 8, minor 8, sum 8.
const (
	typeRecord byte = iota + 1
	typeAnnounce
	typeBye
	typeDigest
	typeEntries
	typeWant
	typeRecords
)

const (
	maxInline    = 1000    // largest message in a packet, its type byte included
	maxMessage   = 1 << 20 // largest message in a stream
	maxBatches   = 4       // messages that answer one want or one digest
	maxPacket    = 1200    // UDP payload: fits the IPv6 minimum MTU with room for tunnels
	entryMinimum = 1 + 24
)

var errMessage = errors.New("malformed message")

// message is a decoded one; which fields are set depends on its type.
type message struct {
	kind    byte
	from    string
	record  replication.Record
	entries []replication.Entry
	digest  replication.Digest
	buckets []int
	keys    []string
	records []replication.Record
	broken  int // records that did not decode
}

// decodeMessage reads a message from the network. It allocates at most a small multiple of len(b), and retains none of it.
func decodeMessage(b []byte) (message, error) {
	if len(b) == 0 || len(b) > maxMessage {
		return message{}, fmt.Errorf("%w: %d bytes: want 1..%d", errMessage, len(b), maxMessage)
	}
	m := message{kind: b[0]}
	b = b[1:]
	var err error
	switch m.kind {
	case typeRecord:
		m.record, err = replication.DecodeRecord(b)
		return m, err
	case typeRecords:
		return m, m.decodeRecords(b)
	case typeAnnounce, typeBye, typeDigest, typeEntries, typeWant:
	default:
		return message{}, fmt.Errorf("%w: type %d: want %d..%d", errMessage, m.kind, typeRecord, typeRecords)
	}

	if m.from, b, err = takeString(b); err != nil {
		return message{}, err
	}
	if !replication.ValidName(m.from) {
		return message{}, fmt.Errorf("%w: sender %q: want a node name", errMessage, m.from)
	}
	switch m.kind {
	case typeAnnounce:
		m.entries = make([]replication.Entry, 1)
		m.entries[0], b, err = takeEntry(b)
	case typeDigest:
		if len(b) < 8*replication.Buckets {
			return message{}, fmt.Errorf("%w: digest of %d bytes", errMessage, len(b))
		}
		for i := range m.digest {
			m.digest[i] = binary.BigEndian.Uint64(b[8*i:])
		}
		b = b[8*replication.Buckets:]
	case typeEntries:
		if len(b) < 8 {
			return message{}, fmt.Errorf("%w: no buckets", errMessage)
		}
		mask := binary.BigEndian.Uint64(b)
		if mask>>replication.Buckets != 0 {
			return message{}, fmt.Errorf("%w: buckets %x: want 0..%d", errMessage, mask, replication.Buckets-1)
		}
		for i := range replication.Buckets {
			if mask&(1<<i) != 0 {
				m.buckets = append(m.buckets, i)
			}
		}
		b = b[8:]
		m.entries = make([]replication.Entry, 0, min(len(b)/entryMinimum, replication.MaxRecords))
		for err == nil && len(b) > 0 && len(m.entries) < replication.MaxRecords {
			var e replication.Entry
			e, b, err = takeEntry(b)
			m.entries = append(m.entries, e)
		}
	case typeWant:
		for err == nil && len(b) > 0 && len(m.keys) < replication.MaxRecords {
			var key string
			key, b, err = takeString(b)
			m.keys = append(m.keys, key)
		}
	}
	if err == nil && len(b) > 0 {
		err = fmt.Errorf("%w: %d bytes left over", errMessage, len(b))
	}
	if err != nil {
		return message{}, err
	}
	return m, nil
}

// decodeRecords passes over records that do not decode: one bad record of a peer must not hold up the others.
func (m *message) decodeRecords(b []byte) error {
	for len(b) > 0 {
		if len(b) < 4 {
			return fmt.Errorf("%w: cut short before a record", errMessage)
		}
		n := int64(binary.BigEndian.Uint32(b))
		if b = b[4:]; n > int64(len(b)) {
			return fmt.Errorf("%w: record of %d bytes, %d left", errMessage, n, len(b))
		}
		if r, err := replication.DecodeRecord(b[:n]); err != nil {
			m.broken++
		} else {
			m.records = append(m.records, r)
		}
		b = b[n:]
	}
	return nil
}

func takeString(b []byte) (string, []byte, error) {
	if len(b) < 1 || len(b) < 1+int(b[0]) {
		return "", nil, fmt.Errorf("%w: cut short", errMessage)
	}
	n := 1 + int(b[0])
	return string(b[1:n]), b[n:], nil
}

func takeEntry(b []byte) (replication.Entry, []byte, error) {
	key, b, err := takeString(b)
	if err != nil {
		return replication.Entry{}, nil, err
	}
	if len(b) < 24 {
		return replication.Entry{}, nil, fmt.Errorf("%w: entry cut short", errMessage)
	}
	return replication.Entry{
		Key: key,
		Version: replication.Version{
			Major: binary.BigEndian.Uint64(b),
			Minor: binary.BigEndian.Uint64(b[8:]),
		},
		Sum: binary.BigEndian.Uint64(b[16:]),
	}, b[24:], nil
}

// begin starts a message that names its sender.
func begin(kind byte, from string) []byte { return appendString([]byte{kind}, from) }

// appendString wants len(s) < 256, which holds for names and keys.
func appendString(b []byte, s string) []byte { return append(append(b, byte(len(s))), s...) }

func appendEntry(b []byte, e replication.Entry) []byte {
	b = appendString(b, e.Key)
	b = binary.BigEndian.AppendUint64(b, e.Version.Major)
	b = binary.BigEndian.AppendUint64(b, e.Version.Minor)
	return binary.BigEndian.AppendUint64(b, e.Sum)
}

func encodeDigest(from string, d replication.Digest) []byte {
	b := begin(typeDigest, from)
	for _, sum := range d {
		b = binary.BigEndian.AppendUint64(b, sum)
	}
	return b
}

// encodeEntries lists as many of the buckets as fit; the others still differ next time.
func encodeEntries(from string, buckets []int, entries []replication.Entry) []byte {
	var of [replication.Buckets][]byte
	for _, e := range entries {
		i := replication.BucketOf(e.Key)
		of[i] = appendEntry(of[i], e)
	}
	var mask uint64
	size := 1 + 1 + len(from) + 8
	for _, i := range buckets {
		if size+len(of[i]) <= maxMessage {
			mask |= 1 << i
			size += len(of[i])
		}
	}
	b := binary.BigEndian.AppendUint64(begin(typeEntries, from), mask)
	for i, part := range of {
		if mask&(1<<i) != 0 {
			b = append(b, part...)
		}
	}
	return b
}

// encodeWant asks for as many of the keys as fit.
func encodeWant(from string, keys []string) []byte {
	b := begin(typeWant, from)
	for _, key := range keys {
		if len(b)+1+len(key) > maxMessage {
			break
		}
		b = appendString(b, key)
	}
	return b
}

// encodeRecords packs records into at most maxBatches messages; what does not fit comes with a later exchange.
func encodeRecords(records []replication.Record) [][]byte {
	var out [][]byte
	b := []byte{typeRecords}
	for _, r := range records {
		if len(b)+4+r.EncodedLen() > maxMessage {
			if out = append(out, b); len(out) == maxBatches {
				return out
			}
			b = []byte{typeRecords}
		}
		start := len(b)
		b = binary.BigEndian.AppendUint32(b, uint32(r.EncodedLen()))
		var err error
		if b, err = r.AppendBinary(b); err != nil {
			b = b[:start] // a store cannot hold such a record
		}
	}
	if len(b) > 1 {
		out = append(out, b)
	}
	return out
}
