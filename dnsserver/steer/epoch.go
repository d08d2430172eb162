package steer

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math"

	"github.com/meridian-gtm/meridian/geo"
)

// Digests are of a plain encoding: every text and list is preceded by its length, numbers have fixed sizes or are
// varints, so that no two inputs have one encoding.

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendCoord(b []byte, c geo.Coord) []byte {
	// -0 and 0 are one place.
	b = binary.BigEndian.AppendUint64(b, math.Float64bits(c.Lat+0))
	return binary.BigEndian.AppendUint64(b, math.Float64bits(c.Lon+0))
}

func appendSite(b []byte, s *Site) []byte {
	b = appendText(appendText(b, s.Name), s.Datacenter)
	b = appendText(b, string(s.V4.AsSlice()))
	b = appendText(b, string(s.V6.AsSlice()))
	b = binary.BigEndian.AppendUint32(b, s.Weight)
	return binary.BigEndian.AppendUint32(b, s.Capacity)
}

func appendDatacenter(b []byte, d *Datacenter) []byte {
	return appendCoord(appendText(appendText(b, d.Name), d.Region), d.Coord)
}

func appendService(b []byte, s *Service) []byte {
	b = appendText(b, s.Name)
	b = appendPolicy(b, &s.Policy)
	b = binary.BigEndian.AppendUint32(b, s.TTLMin)
	b = binary.BigEndian.AppendUint32(b, s.TTLMax)
	b = appendText(b, string(s.AllDown))
	b = binary.AppendUvarint(b, uint64(len(s.LastResort)))
	for _, a := range s.LastResort {
		b = appendText(b, string(a.AsSlice()))
	}
	b = binary.AppendUvarint(b, uint64(len(s.Checks)))
	for _, c := range s.Checks {
		b = appendText(b, c)
	}
	if s.IgnoreECS {
		return append(b, 1)
	}
	return append(b, 0)
}

func appendPolicy(b []byte, p *Policy) []byte {
	b = appendText(appendText(b, string(p.Kind)), p.Site)
	b = binary.AppendUvarint(b, uint64(max(1, p.Count)))
	b = binary.AppendUvarint(b, uint64(len(p.Children)))
	for i := range p.Children {
		b = appendPolicy(b, &p.Children[i])
	}
	b = binary.AppendUvarint(b, uint64(len(p.Weights)))
	for _, w := range p.Weights {
		b = binary.BigEndian.AppendUint32(b, w)
	}
	b = binary.AppendUvarint(b, uint64(len(p.Rules)))
	for i := range p.Rules {
		r := &p.Rules[i]
		b = appendText(append(b, byte(r.Kind)), r.Value)
		b = appendPolicy(b, &r.Child)
	}
	if p.Default == nil {
		return append(b, 0)
	}
	return appendPolicy(append(b, 1), p.Default)
}

// seal computes a definition's digest. Ground is the digest of world and datacenters.
func (d *definition) seal(ground [sha256.Size]byte) {
	b := append([]byte(nil), ground[:]...)
	b = appendService(b, &d.service)
	for i := range d.members {
		b = appendCoord(appendSite(b, &d.members[i].Site), d.members[i].coord)
	}
	d.digest = sha256.Sum256(b)
}

// digestEpoch digests names, definitions, and what stands where. Ages, votes and reasons are not in it, so that
// nodes which heard the same at different times agree.
func (p *Plan) digestEpoch() string {
	h := sha256.New()
	b := append([]byte(nil), p.ground.digest[:]...)
	b = append(b, p.ground.siteDigest[:]...)
	for i := range p.services {
		s := &p.services[i]
		b = appendText(b, s.name)
		b = append(b, s.def.digest[:]...)
		for _, v := range s.variants {
			if v == nil {
				b = append(b, 0)
				continue
			}
			b = append(append(b, 1), v.digest[:]...)
		}
		if len(b) > 1<<14 {
			h.Write(b) // a hash never fails
			b = b[:0]
		}
	}
	h.Write(b)
	return hex.EncodeToString(h.Sum(nil)[:epochBytes])
}

// epochBytes is long enough that two plans of a fleet's lifetime do not meet by chance.
const epochBytes = 12
