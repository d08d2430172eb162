package geo

import (
	"math"
	"strings"
)

// record is a Place in 12 bytes. A city database crossed with an ASN database has a million places or more, but
// they combine a few hundred thousand locations with numbers, so each part is stored once. 0 is "nothing known" in
// every part.
type record struct {
	where uint32 // position in atlas.locations
	asn   uint32
	tag   uint32 // position in atlas.tags
}

// location is where a place is. Strings are positions in atlas.text, coordinates millionths of a degree (11 cm).
type location struct {
	continent, country, subdivision, city uint32

	located  uint32 // 0 or 1
	lat, lon int32  // microdegrees
}

// tag is what the operator calls a network, as positions in atlas.text.
type tag struct{ label, sites uint32 }

const micro = 1e6

// atlas holds the parts of places. A builder only ever appends to it, so worlds may share its beginning.
type atlas struct {
	text      []string
	locations []location
	tags      []tag
}

// place unpacks r.
func (a *atlas) place(r record) Place {
	if r == (record{}) {
		return Place{}
	}
	l, t := a.locations[r.where], a.tags[r.tag]
	p := Place{
		Continent: a.text[l.continent], Country: a.text[l.country], Subdivision: a.text[l.subdivision],
		City: a.text[l.city], Label: a.text[t.label], Sites: a.text[t.sites], ASN: r.asn,
	}
	if l.located != 0 {
		p.Located = true
		p.Coord = Coord{Lat: float64(l.lat) / micro, Lon: float64(l.lon) / micro}
	}
	return p
}

// interner appends to an atlas what it does not have yet.
type interner struct {
	atlas
	textAt     map[string]uint32
	locationAt map[location]uint32
	tagAt      map[tag]uint32
}

func newInterner() *interner {
	return &interner{
		atlas:      atlas{text: []string{""}, locations: []location{{}}, tags: []tag{{}}},
		textAt:     map[string]uint32{"": 0},
		locationAt: map[location]uint32{{}: 0},
		tagAt:      map[tag]uint32{{}: 0},
	}
}

// record packs p, whose coordinates are valid.
func (in *interner) record(p Place) record {
	l := location{
		continent: in.string(p.Continent), country: in.string(p.Country), subdivision: in.string(p.Subdivision),
		city: in.string(p.City),
	}
	if p.Located {
		l.located = 1
		l.lat, l.lon = int32(math.Round(p.Coord.Lat*micro)), int32(math.Round(p.Coord.Lon*micro))
	}
	t := tag{in.string(p.Label), in.string(p.Sites)}
	return record{where: number(&in.locations, in.locationAt, l), asn: p.ASN, tag: number(&in.tags, in.tagAt, t)}
}

// over returns below with the known fields of above over it.
func (in *interner) over(below, above record) record {
	return record{
		where: in.locationOver(below.where, above.where),
		asn:   over(below.asn, above.asn),
		tag:   in.tagOver(below.tag, above.tag),
	}
}

func (in *interner) locationOver(below, above uint32) uint32 {
	if below == 0 || above == 0 {
		return below | above
	}
	b, a := in.locations[below], in.locations[above]
	l := location{
		continent: over(b.continent, a.continent), country: over(b.country, a.country),
		subdivision: over(b.subdivision, a.subdivision), city: over(b.city, a.city),
		located: b.located, lat: b.lat, lon: b.lon,
	}
	if a.located != 0 {
		l.located, l.lat, l.lon = 1, a.lat, a.lon
	}
	return number(&in.locations, in.locationAt, l)
}

func (in *interner) tagOver(below, above uint32) uint32 {
	if below == 0 || above == 0 {
		return below | above
	}
	b, a := in.tags[below], in.tags[above]
	return number(&in.tags, in.tagAt, tag{over(b.label, a.label), over(b.sites, a.sites)})
}

// over returns above unless it is unknown.
func over(below, above uint32) uint32 {
	if above != 0 {
		return above
	}
	return below
}

func (in *interner) string(s string) uint32 {
	if s == "" {
		return 0
	}
	n, ok := in.textAt[s]
	if !ok {
		s = strings.Clone(s) // it may be a piece of something big
		n = uint32(len(in.text))
		in.text = append(in.text, s)
		in.textAt[s] = n
	}
	return n
}

// number returns the position of v in list, where it is put when it is not there.
func number[T comparable](list *[]T, at map[T]uint32, v T) uint32 {
	n, ok := at[v]
	if !ok {
		n = uint32(len(*list))
		*list = append(*list, v)
		at[v] = n
	}
	return n
}

// valid reports whether the coordinates of a located place are on the earth; not-a-number is not.
func (p Place) valid() bool {
	return !p.Located || p.Coord.Lat >= -90 && p.Coord.Lat <= 90 && p.Coord.Lon >= -180 && p.Coord.Lon <= 180
}
