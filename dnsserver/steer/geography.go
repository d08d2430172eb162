package steer

import (
	"cmp"
	"encoding/binary"
	"iter"
	"math"
	"slices"
	"strings"

	"github.com/meridian-gtm/meridian/geo"
)

// tieKM is how close two sites' distances from a client must be to count as equal: such sites share the client's
// prefix by weight, where an order would leave the second without any traffic.
const tieKM = 1

// geography is what the geo and nearest nodes of a policy make of the world. It depends on neither health nor
// weights, so it lasts until the world or the sites' coordinates change, and services with the same rules and
// distances share it.
type geography struct {
	table   *geo.Table // address -> position in classes
	classes []outcome  // class 0 is the zero Place
}

// outcome is what one class of places gets from each geo and nearest node, by slot; nil for a node that no client
// of the class can come to.
//
// A geo node's value is the position of the rule's child, or the default's. A nearest node's values are the
// positions of its children, nearest first; the flag tied says that one shares with the one before it.
type outcome [][]uint16

const tied = 1 << 15

// geographyKey names the geography of a policy: equal keys have equal outcomes for every place.
func (d *definition) geographyKey() string { return string(appendGeographyKey(nil, d, d.root)) }

func appendGeographyKey(b []byte, d *definition, n *node) []byte {
	switch n.kind {
	case KindGeo:
		b = binary.AppendUvarint(append(b, 'G'), uint64(len(n.matches)))
		for _, m := range n.matches {
			b = append(b, byte(m.kind))
			b = appendText(appendText(b, m.value), m.rest)
			b = binary.AppendUvarint(b, uint64(m.asn))
			b = binary.AppendUvarint(b, uint64(m.child))
		}
	case KindNearest:
		b = binary.AppendUvarint(append(b, 'N'), uint64(len(n.children)))
		for _, c := range n.children {
			m := &d.members[c.member]
			b = appendCoord(appendText(b, m.Name), m.coord)
		}
		return b
	}
	for _, c := range n.children {
		b = appendGeographyKey(b, d, c)
		if n.kind == KindGeo {
			b = append(b, '/')
		}
	}
	return b
}

// survey classifies the world for one geography.
func survey(w *geo.World, d *definition) *geography {
	g := &geography{table: &geo.Table{}}
	s := surveyor{d: d, orders: map[vantage][]uint16{}}
	s.blank(d.root)
	numbers := map[string]uint32{}
	class := func(p geo.Place) uint32 {
		out := make(outcome, s.slots)
		s.visit(d.root, &p, out)
		key := out.key()
		n, ok := numbers[key]
		if !ok {
			n = uint32(len(g.classes))
			numbers[key] = n
			g.classes = append(g.classes, out)
		}
		return n
	}
	class(geo.Place{})
	if w != nil && s.slots > 0 {
		g.table = w.Classify(class)
	}
	return g
}

// surveyor computes outcomes.
type surveyor struct {
	d      *definition
	slots  int
	orders map[vantage][]uint16
}

// vantage is what an order of sites depends on: many places share one.
type vantage struct {
	slot    int
	coord   geo.Coord
	located bool
	sites   string
}

func (s *surveyor) blank(n *node) {
	if n.kind == KindGeo || n.kind == KindNearest {
		s.slots = max(s.slots, n.slot+1)
	}
	for _, c := range n.children {
		s.blank(c)
	}
}

func (s *surveyor) visit(n *node, p *geo.Place, out outcome) {
	switch n.kind {
	case KindGeo:
		fallback := len(n.children) - 1
		child := fallback
		for i := range n.matches {
			if n.matches[i].holds(p) {
				child = n.matches[i].child
				break
			}
		}
		out[n.slot] = []uint16{uint16(child)}
		if child != fallback {
			s.visit(n.children[child], p, out)
		}
		s.visit(n.children[fallback], p, out)
	case KindNearest:
		v := vantage{n.slot, p.Coord, p.Located, p.Sites}
		order, ok := s.orders[v]
		if !ok {
			order = s.d.order(n, p)
			s.orders[v] = order
		}
		out[n.slot] = order
	default:
		for _, c := range n.children {
			s.visit(c, p, out)
		}
	}
}

// order ranks the children of a nearest node for a place: first those that the operator's map lists for the
// network, one by one; then the others by distance, or all tied when the place is not located.
func (d *definition) order(n *node, p *geo.Place) []uint16 {
	type ranked struct {
		child int
		name  string
		km    float64
	}
	var rest []ranked
	var out []uint16
	listed := func(name string) int {
		return slices.IndexFunc(n.children, func(c *node) bool { return d.members[c.member].Name == name })
	}
	if p.Sites != "" {
		for name := range strings.SplitSeq(p.Sites, ",") {
			if i := listed(strings.TrimSpace(name)); i >= 0 && !slices.Contains(out, uint16(i)) {
				out = append(out, uint16(i))
			}
		}
	}
	for i, c := range n.children {
		if slices.Contains(out, uint16(i)) {
			continue
		}
		m := &d.members[c.member]
		r := ranked{child: i, name: m.Name}
		if p.Located {
			r.km = geo.Distance(p.Coord, m.coord)
		}
		rest = append(rest, r)
	}
	slices.SortFunc(rest, func(a, b ranked) int {
		return cmp.Or(cmp.Compare(a.km, b.km), cmp.Compare(a.name, b.name))
	})
	first := math.Inf(-1) // of the group of ties
	for _, r := range rest {
		child := uint16(r.child)
		if r.km-first <= tieKM {
			child |= tied
		} else {
			first = r.km
		}
		out = append(out, child)
	}
	return out
}

func (o outcome) key() string {
	var b []byte
	for _, values := range o {
		b = binary.AppendUvarint(b, uint64(len(values)))
		for _, v := range values {
			b = binary.BigEndian.AppendUint16(b, v)
		}
	}
	return string(b)
}

// groups yields the ranges of an order whose members tie.
func groups(order []uint16) iter.Seq[[]uint16] {
	return func(yield func([]uint16) bool) {
		for len(order) > 0 {
			end := 1
			for end < len(order) && order[end]&tied != 0 {
				end++
			}
			if !yield(order[:end]) {
				return
			}
			order = order[end:]
		}
	}
}

// regions maps places to the region of the nearest datacenter.
type regions struct {
	table *geo.Table // address -> position in names
	names []string   // sorted; 0 is "", for places that are not located
	dcs   []Datacenter
}

// newRegions takes the datacenters sorted by name.
func newRegions(w *geo.World, dcs []Datacenter) *regions {
	r := &regions{table: &geo.Table{}, names: []string{""}, dcs: slices.Clone(dcs)}
	for _, d := range dcs {
		r.names = append(r.names, d.Region)
	}
	slices.Sort(r.names)
	r.names = slices.Compact(r.names)
	if w != nil && len(dcs) > 0 {
		memo := map[geo.Coord]uint32{}
		r.table = w.Classify(func(p geo.Place) uint32 {
			if !p.Located {
				return 0
			}
			n, ok := memo[p.Coord]
			if !ok {
				at, _ := slices.BinarySearch(r.names, r.of(&p))
				n = uint32(at)
				memo[p.Coord] = n
			}
			return n
		})
	}
	return r
}

// of returns the region of a place: that of the nearest datacenter, of equals the first by name; "" when the place
// is not located.
func (r *regions) of(p *geo.Place) string {
	if !p.Located {
		return ""
	}
	region, least := "", math.Inf(1)
	for _, d := range r.dcs {
		if km := geo.Distance(p.Coord, d.Coord); km < least {
			region, least = d.Region, km
		}
	}
	return region
}
