package replication

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// The encoding of a record, all integers big endian:
//
//	version 1 | kind 1 | key length 1, key | writer length 1, writer | major 8 | minor 8 | expires 8 |
//	body length 4, body | CRC-32C of everything before 4
//
// A record has exactly one encoding, so equal records have equal bytes, sums and digests on every node.
const (
	codecVersion  = 1
	codecOverhead = MaxRecordBytes - MaxKeyBytes - MaxNameBytes - MaxBodyBytes
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ErrMalformed is wrapped by every error about bytes that are not an encoded record.
var ErrMalformed = errors.New("malformed record")

// EncodedLen is the number of bytes that AppendBinary appends.
func (r Record) EncodedLen() int {
	return codecOverhead + len(r.Key) + len(r.Writer) + len(r.Body)
}

// AppendBinary appends the encoding of r to b. Its only error is a key, writer or body beyond the limits.
func (r Record) AppendBinary(b []byte) ([]byte, error) {
	switch {
	case len(r.Key) > MaxKeyBytes:
		return b, fmt.Errorf("record key of %d bytes: want at most %d", len(r.Key), MaxKeyBytes)
	case len(r.Writer) > MaxNameBytes:
		return b, fmt.Errorf("record %q: writer of %d bytes: want at most %d", r.Key, len(r.Writer), MaxNameBytes)
	case len(r.Body) > MaxBodyBytes:
		return b, fmt.Errorf("record %q: body of %d bytes: want at most %d", r.Key, len(r.Body), MaxBodyBytes)
	}
	start := len(b)
	b = append(b, codecVersion, byte(r.Kind), byte(len(r.Key)))
	b = append(b, r.Key...)
	b = append(b, byte(len(r.Writer)))
	b = append(b, r.Writer...)
	b = binary.BigEndian.AppendUint64(b, r.Version.Major)
	b = binary.BigEndian.AppendUint64(b, r.Version.Minor)
	b = binary.BigEndian.AppendUint64(b, uint64(r.Expires))
	b = binary.BigEndian.AppendUint32(b, uint32(len(r.Body)))
	b = append(b, r.Body...)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli)), nil
}

// MarshalBinary returns the encoding of r.
func (r Record) MarshalBinary() ([]byte, error) {
	return r.AppendBinary(make([]byte, 0, r.EncodedLen()))
}

// DecodeRecord reads the one record that b encodes; b is not retained. It checks form and limits and allocates no
// more than len(b); whether the record makes sense is for [Validate].
func DecodeRecord(b []byte) (Record, error) {
	if len(b) < codecOverhead || len(b) > MaxRecordBytes {
		return Record{}, fmt.Errorf("%w: %d bytes: want %d..%d", ErrMalformed, len(b), codecOverhead, MaxRecordBytes)
	}
	if b[0] != codecVersion {
		return Record{}, fmt.Errorf("%w: encoding version %d: want %d", ErrMalformed, b[0], codecVersion)
	}
	payload, sum := b[:len(b)-4], binary.BigEndian.Uint32(b[len(b)-4:])
	if got := crc32.Checksum(payload, castagnoli); got != sum {
		return Record{}, fmt.Errorf("%w: checksum %08x: want %08x", ErrMalformed, got, sum)
	}
	r := Record{Kind: Kind(b[1])}
	rest := payload[2:]
	var key, writer []byte
	var ok bool
	if key, rest, ok = cut(rest, 1, MaxKeyBytes); !ok {
		return Record{}, fmt.Errorf("%w: key length", ErrMalformed)
	}
	if writer, rest, ok = cut(rest, 1, MaxNameBytes); !ok {
		return Record{}, fmt.Errorf("%w: writer length", ErrMalformed)
	}
	if len(rest) < 24 {
		return Record{}, fmt.Errorf("%w: no version", ErrMalformed)
	}
	r.Key, r.Writer = string(key), string(writer)
	r.Version.Major = binary.BigEndian.Uint64(rest)
	r.Version.Minor = binary.BigEndian.Uint64(rest[8:])
	r.Expires = int64(binary.BigEndian.Uint64(rest[16:]))
	body, rest, ok := cut(rest[24:], 4, MaxBodyBytes)
	if !ok || len(rest) != 0 {
		return Record{}, fmt.Errorf("%w: body length", ErrMalformed)
	}
	if len(body) > 0 {
		r.Body = append([]byte(nil), body...)
	}
	return r, nil
}

// cut takes a field with a length prefix of 1 or 4 bytes from b.
func cut(b []byte, prefix, limit int) (field, rest []byte, ok bool) {
	if len(b) < prefix {
		return nil, nil, false
	}
	n := int64(b[0])
	if prefix == 4 {
		n = int64(binary.BigEndian.Uint32(b))
	}
	if n > int64(limit) || n > int64(len(b)-prefix) {
		return nil, nil, false
	}
	return b[prefix : prefix+int(n)], b[prefix+int(n):], true
}
