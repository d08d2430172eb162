package zone

import (
	"errors"
	"fmt"
	"slices"

	"github.com/miekg/dns"
)

// Set finds zones by name.
type Set struct {
	zones   map[string]*Zone
	origins []string // in canonical order
	depth   int      // labels of the longest origin

	// For Match.
	list     []member
	table    slots     // of list, by origin
	depths   [2]uint64 // bit n: an origin has n labels
	services int       // that the zones name
}

// member is a zone in the order given.
type member struct {
	zone     *Zone
	packed   *packed
	origin   []byte // wire form, lower case
	services int    // how many services the zones before it name
}

// NewSet makes a set; two zones with one origin are an error.
func NewSet(zones []*Zone) (*Set, error) {
	s := &Set{zones: make(map[string]*Zone, len(zones))}
	var errs []error
	for _, z := range zones {
		if s.zones[z.origin] != nil {
			errs = append(errs, fmt.Errorf("zone %s: given twice: want each origin once", z.origin))
			continue
		}
		s.zones[z.origin] = z
		s.origins = append(s.origins, z.origin)
		s.depth = max(s.depth, depth(z.origin))
		s.list = append(s.list, member{zone: z, packed: z.packed, origin: z.packed.name(&z.packed.nodes[0])})
	}
	s.index()
	slices.SortFunc(s.origins, compareNames)
	return s, errors.Join(errs...)
}

// Zones returns all zones in canonical order of their origins.
func (s *Set) Zones() []*Zone {
	list := make([]*Zone, len(s.origins))
	for i, origin := range s.origins {
		list[i] = s.zones[origin]
	}
	return list
}

// Find returns the zone with the longest origin that qname (canonical) is at or below, or nil. For type DS at a
// zone's own apex the parent zone is wanted instead, when the set has it (RFC 4035 section 3.1.4.1).
//
// It does not allocate.
func (s *Set) Find(qname string, qtype uint16) *Zone {
	z := s.longest(qname)
	if qtype == dns.TypeDS && z != nil && z.origin == qname && qname != "." {
		if up := s.longest(parent(qname)); up != nil {
			return up
		}
	}
	return z
}

func (s *Set) longest(name string) *Zone {
	for tooDeep := depth(name) - s.depth; tooDeep > 0; tooDeep-- {
		name = parent(name)
	}
	for {
		if z := s.zones[name]; z != nil || name == "." {
			return z
		}
		name = parent(name)
	}
}
