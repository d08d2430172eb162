package disk

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"

	"github.com/meridian-gtm/meridian/replication"
)

// Limits of a snapshot file.
const (
	MaxBytes        = 8 << 20 // whole file; about 1 MB is usual
	MaxSections     = 64
	MaxSectionName  = 63
	MaxSectionBytes = 4 << 20
)

// The file, all integers big endian:
//
//	magic 8 | format 2 | generation 8 | epoch 8 | CRC-32C of these 4 |
//	section count 4, then each: name length 1, name, length 4, bytes, CRC-32C of name and bytes 4 |
//	record count 4, then each: length 4, record in the encoding of package replication, which ends in a CRC |
//	SHA-256 of everything before 32
const (
	magic       = "MERIDIAN"
	format      = 1
	headerBytes = len(magic) + 2 + 8 + 8 + 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// snapshot is the content of one file.
type snapshot struct {
	generation uint64 // grows by one with every save
	epoch      uint64
	sections   map[string][]byte
	records    []replication.Record
}

// encode reports a snapshot beyond the limits as an error.
func (s snapshot) encode() ([]byte, error) {
	if len(s.sections) > MaxSections {
		return nil, fmt.Errorf("%d sections: want at most %d", len(s.sections), MaxSections)
	}
	b := append([]byte(nil), magic...)
	b = binary.BigEndian.AppendUint16(b, format)
	b = binary.BigEndian.AppendUint64(b, s.generation)
	b = binary.BigEndian.AppendUint64(b, s.epoch)
	b = appendCRC(b, 0)

	b = binary.BigEndian.AppendUint32(b, uint32(len(s.sections)))
	for _, name := range slices.Sorted(maps.Keys(s.sections)) {
		data := s.sections[name]
		if len(name) == 0 || len(name) > MaxSectionName {
			return nil, fmt.Errorf("section name of %d bytes: want 1..%d", len(name), MaxSectionName)
		}
		if len(data) > MaxSectionBytes {
			return nil, fmt.Errorf("section %q of %d bytes: want at most %d", name, len(data), MaxSectionBytes)
		}
		start := len(b)
		b = append(b, byte(len(name)))
		b = append(b, name...)
		b = binary.BigEndian.AppendUint32(b, uint32(len(data)))
		b = append(b, data...)
		b = appendCRC(b, start)
	}

	b = binary.BigEndian.AppendUint32(b, uint32(len(s.records)))
	for _, r := range s.records {
		b = binary.BigEndian.AppendUint32(b, uint32(r.EncodedLen()))
		var err error
		if b, err = r.AppendBinary(b); err != nil {
			return nil, err
		}
	}
	hash := sha256.Sum256(b)
	b = append(b, hash[:]...)
	if len(b) > MaxBytes {
		return nil, fmt.Errorf("snapshot of %d bytes: want at most %d", len(b), MaxBytes)
	}
	return b, nil
}

func appendCRC(b []byte, start int) []byte {
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
}

// decode reads a file. With an error it returns what could be salvaged: the header if its checksum holds, and every
// section and record whose own checksum holds. A zero generation means that not even the header could be read.
func decode(b []byte) (snapshot, error) {
	var s snapshot
	if len(b) > MaxBytes {
		return s, fmt.Errorf("%d bytes: want at most %d", len(b), MaxBytes)
	}
	if len(b) < headerBytes || string(b[:len(magic)]) != magic {
		return s, errors.New("not a snapshot, or cut short")
	}
	header, rest := b[:headerBytes], b[headerBytes:]
	if crc32.Checksum(header[:headerBytes-4], castagnoli) != binary.BigEndian.Uint32(header[headerBytes-4:]) {
		return s, errors.New("header checksum does not match")
	}
	if v := binary.BigEndian.Uint16(header[len(magic):]); v != format {
		return s, fmt.Errorf("format %d: want %d", v, format)
	}
	s.generation = binary.BigEndian.Uint64(header[len(magic)+2:])
	s.epoch = binary.BigEndian.Uint64(header[len(magic)+10:])

	err := errors.New("hash does not match")
	if len(rest) >= sha256.Size {
		hashed := b[:len(b)-sha256.Size]
		rest = rest[:len(rest)-sha256.Size]
		if sum := sha256.Sum256(hashed); string(sum[:]) == string(b[len(hashed):]) {
			err = nil
		}
	}
	if bodyErr := s.decodeBody(rest); bodyErr != nil {
		err = bodyErr
	}
	return s, err
}

// decodeBody goes as far as the lengths lead, past contents with a bad checksum.
func (s *snapshot) decodeBody(b []byte) error {
	var fault error
	count, b, ok := uint32At(b)
	if !ok || count > MaxSections {
		return errors.New("section count out of range, or cut short")
	}
	for range count {
		start := b
		if len(b) < 1 || len(b) < 1+int(b[0])+4 {
			return errors.New("cut short in a section")
		}
		name := string(b[1 : 1+int(b[0])])
		if len(name) == 0 || len(name) > MaxSectionName {
			return fmt.Errorf("section name of %d bytes: want 1..%d", len(name), MaxSectionName)
		}
		var n uint32
		n, b, _ = uint32At(b[1+len(name):])
		if n > MaxSectionBytes || int64(len(b)) < int64(n)+4 {
			return fmt.Errorf("cut short in section %q", name)
		}
		data := b[:n]
		sum, tail, _ := uint32At(b[n:])
		if crc32.Checksum(start[:1+len(name)+4+int(n)], castagnoli) != sum {
			fault = fmt.Errorf("section %q: checksum does not match", name)
		} else {
			if s.sections == nil {
				s.sections = make(map[string][]byte)
			}
			s.sections[name] = slices.Clone(data)
		}
		b = tail
	}

	count, b, ok = uint32At(b)
	if !ok {
		return errors.New("cut short before the records")
	}
	for i := range count {
		n, tail, ok := uint32At(b)
		if !ok || int64(n) > int64(len(tail)) {
			return fmt.Errorf("cut short in record %d of %d", i+1, count)
		}
		if r, err := replication.DecodeRecord(tail[:n]); err != nil {
			fault = fmt.Errorf("record %d of %d: %w", i+1, count, err)
		} else {
			s.records = append(s.records, r)
		}
		b = tail[n:]
	}
	if len(b) != 0 {
		return fmt.Errorf("%d bytes after the last record", len(b))
	}
	return fault
}

func uint32At(b []byte) (n uint32, rest []byte, ok bool) {
	if len(b) < 4 {
		return 0, b, false
	}
	return binary.BigEndian.Uint32(b), b[4:], true
}
