package zone

import (
	"iter"
	"maps"
	"slices"

	"github.com/miekg/dns"
)

// Zone is one zone's immutable data.
type Zone struct {
	origin   string
	serial   uint32
	digest   string
	warnings []string

	nodes    map[string]*node // by canonical name, empty non-terminals included; nil once packed
	packed   *packed          // nil until all is checked
	depth    int              // labels of the longest name
	negative []dns.RR         // the SOA with the TTL of negative answers (RFC 2308 section 3)
}

// Origin returns the canonical (lower-case, fully qualified) apex name.
func (z *Zone) Origin() string { return z.origin }

// Serial returns the SOA serial.
func (z *Zone) Serial() uint32 { return z.serial }

// Digest identifies the contents, steered names included: 64 hexadecimal digits. It does not depend on the order of
// records in the master file, nor on comments and layout.
func (z *Zone) Digest() string { return z.digest }

// Warnings returns what is odd in the zone but has only one sensible reading, each as "FILE:LINE: ...": data that a
// delegation hides, duplicate records, RRsets with differing TTLs, loops and dead ends of names in the zone.
func (z *Zone) Warnings() []string { return slices.Clone(z.warnings) }

// RRsets walks over every RRset, glue and hidden data included, with its canonical owner. The SOA comes first, then
// owners in canonical order (RFC 4034 section 6.1), and types in numeric order. Steered names have no records here;
// see [Zone.Steered]. The walk sorts the names each time; the records are made for it.
func (z *Zone) RRsets() iter.Seq2[string, []dns.RR] {
	return func(yield func(string, []dns.RR) bool) {
		if !yield(z.origin, z.at(z.origin).set(dns.TypeSOA)) {
			return
		}
		names := make([]string, len(z.packed.nodes))
		for i := range names {
			names[i] = z.packed.presentation(&z.packed.nodes[i])
		}
		slices.SortFunc(names, compareNames)
		for _, name := range names {
			for _, s := range z.at(name).sets {
				if name == z.origin && s.rtype == dns.TypeSOA {
					continue
				}
				if !yield(name, s.rrs) {
					return
				}
			}
		}
	}
}

// Steered walks over the steered names with their services, in canonical order.
func (z *Zone) Steered() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		services := map[string]string{}
		for i := range z.packed.nodes {
			if l := &z.packed.nodes[i]; l.flags&flagService != 0 {
				services[z.packed.presentation(l)] = z.packed.services[z.packed.rares[l.rare].service-1]
			}
		}
		for _, name := range slices.SortedFunc(maps.Keys(services), compareNames) {
			if !yield(name, services[name]) {
				return
			}
		}
	}
}
