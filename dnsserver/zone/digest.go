package zone

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math"
	"math/bits"

	"github.com/miekg/dns"
)

// sum adds up the SHA-256 of every record, modulo 2^256: equal sets of records have equal sums in any order, so the
// names of a large zone need not be sorted.
type sum struct {
	lanes [4]uint64
	buf   []byte
}

// add takes in one record. It fails when the record has no wire form that a client could read.
func (s *sum) add(rr dns.RR) error {
	wire, err := s.pack(rr)
	if err != nil {
		return err
	}
	hash := sha256.Sum256(wire)
	carry := uint64(0)
	for i := range s.lanes {
		s.lanes[i], carry = bits.Add64(s.lanes[i], binary.LittleEndian.Uint64(hash[8*i:]), carry)
	}
	return nil
}

// Room for the wire form of most records, and of any.
const (
	usualOctets = 2 << 10
	mostOctets  = maxNameOctets + 10 + math.MaxUint16
)

// pack returns the wire form of rr, valid until the next call.
func (s *sum) pack(rr dns.RR) ([]byte, error) {
	if s.buf == nil {
		s.buf = make([]byte, usualOctets)
	}
	end, err := dns.PackRR(rr, s.buf, 0, nil, false)
	if err != nil && len(s.buf) < mostOctets {
		s.buf = make([]byte, mostOctets)
		end, err = dns.PackRR(rr, s.buf, 0, nil, false)
	}
	if err != nil {
		return nil, err
	}
	if rr.Header().Rdlength > maxNameOctets { // the packer does not mind a name that is too long, clients do
		if _, _, err := dns.UnpackRR(s.buf[:end], 0); err != nil {
			return nil, err
		}
	}
	return s.buf[:end], nil
}

// Lengths in a message (RFC 1035 section 4.1).
const (
	headerOctets = 12
	recordOctets = 12 // of a record without rdata, its owner a compression pointer
)

// key buckets records that may be duplicates of each other.
func (s *sum) key(rr dns.RR) string {
	wire, err := s.pack(rr)
	if err != nil {
		return ""
	}
	return string(bytes.ToLower(wire[len(wire)-int(rr.Header().Rdlength):]))
}

// digest closes the sum over a zone's records with its origin and steered names.
func (s *sum) digest(z *Zone) string {
	hash := sha256.New()
	for _, lane := range s.lanes {
		hash.Write(binary.LittleEndian.AppendUint64(nil, lane))
	}
	hash.Write([]byte(z.origin))
	for name, service := range z.Steered() {
		hash.Write([]byte("\x00" + name + "\x00" + service))
	}
	return hex.EncodeToString(hash.Sum(nil))
}
