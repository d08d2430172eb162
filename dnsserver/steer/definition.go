package steer

import (
	"crypto/sha256"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/meridian-gtm/meridian/geo"
	"github.com/meridian-gtm/meridian/health"
)

// definition is a service's configuration with names resolved to positions. Services that differ in nothing but
// their names share one.
type definition struct {
	service Service // Name is empty
	root    *node
	members []member  // sites of the policy, in order of first appearance
	names   SiteNames // of members
	geo     *geography
	digest  [sha256.Size]byte // of all above and of the world, which geo is a function of
}

// member is a site of a service.
type member struct {
	Site
	coord geo.Coord
	key   uint64 // what draws know it by
}

func (m *member) addr(f health.Family) netip.Addr {
	if f == health.V4 {
		return m.V4
	}
	return m.V6
}

// node is a policy node with names resolved.
type node struct {
	kind     Kind
	salt     uint64  // keeps the draws of different nodes independent; a hash of the position in the tree
	member   int     // site
	children []*node // geo: one per rule, then the default
	weights  []uint32
	matches  []match // geo: most specific first
	need     int     // nearest
	slot     int     // geo and nearest: position in an outcome
}

// match is one rule of a geo node, parsed.
type match struct {
	kind        MatchKind
	value, rest string // "US" and "NY" of "US-NY"
	asn         uint32
	child       int
}

func newMatch(r Rule, child int) match {
	m := match{kind: r.Kind, value: r.Value, child: child}
	switch r.Kind {
	case MatchASN:
		n, _ := strconv.ParseUint(r.Value, 10, 32)
		m.asn = uint32(n)
	case MatchCity:
		m.value, m.rest, _ = strings.Cut(r.Value, "/")
	case MatchSubdivision:
		m.value, m.rest, _ = strings.Cut(r.Value, "-")
	}
	return m
}

func (m *match) holds(p *geo.Place) bool {
	switch m.kind {
	case MatchLabel:
		return p.Label == m.value
	case MatchASN:
		return p.ASN == m.asn
	case MatchCity:
		return p.Country == m.value && p.City == m.rest
	case MatchSubdivision:
		return p.Country == m.value && p.Subdivision == m.rest
	case MatchCountry:
		return p.Country == m.value
	default:
		return p.Continent == m.value
	}
}

// String returns the match as the configuration has it.
func (m match) String() string {
	switch m.kind {
	case MatchLabel:
		return "label/" + m.value
	case MatchASN:
		return fmt.Sprintf("asn/%d", m.asn)
	case MatchCity:
		return "city/" + m.value + "/" + m.rest
	case MatchSubdivision:
		return "subdivision/" + m.value + "-" + m.rest
	case MatchCountry:
		return "country/" + m.value
	default:
		return "continent/" + m.value
	}
}

// fleet is the sites and datacenters of one compilation by name.
type fleet struct {
	sites       map[string]Site
	datacenters map[string]Datacenter
}

// define resolves a valid service. Its geography and digest are left to the caller.
func (f *fleet) define(s Service) *definition {
	s.Name = ""
	d := &definition{service: cloneService(s)}
	slots := 0
	d.root = f.node(d, s.Policy, nameKey("policy"), &slots)
	for i := range d.members {
		d.names = append(d.names, d.members[i].Name)
	}
	return d
}

func (f *fleet) node(d *definition, p Policy, salt uint64, slots *int) *node {
	n := &node{kind: p.Kind, salt: salt, need: max(1, p.Count)}
	switch p.Kind {
	case KindSite:
		n.member = f.member(d, p.Site)
		return n
	case KindGeo, KindNearest:
		n.slot = *slots
		*slots++
	}
	children := p.Children
	for i, r := range p.Rules {
		children = append(slices.Clip(children), r.Child)
		n.matches = append(n.matches, newMatch(r, i))
	}
	slices.SortStableFunc(n.matches, func(a, b match) int { return int(a.kind) - int(b.kind) })
	if p.Default != nil {
		children = append(slices.Clip(children), *p.Default)
	}
	for i, c := range children {
		n.children = append(n.children, f.node(d, c, mix(salt^uint64(i+1)), slots))
	}
	n.weights = slices.Clone(p.Weights)
	return n
}

// member returns the position of a site among the members, which it joins when it is new.
func (f *fleet) member(d *definition, name string) int {
	i := slices.IndexFunc(d.members, func(m member) bool { return m.Name == name })
	if i < 0 {
		i = len(d.members)
		s := f.sites[name]
		d.members = append(d.members, member{Site: s, coord: f.datacenters[s.Datacenter].Coord, key: nameKey(name)})
	}
	return i
}

func cloneService(s Service) Service {
	s.Policy = clonePolicy(s.Policy)
	s.LastResort = slices.Clone(s.LastResort)
	s.Checks = slices.Clone(s.Checks)
	if s.AllDown == "" {
		s.AllDown = LastGood
	}
	return s
}

func clonePolicy(p Policy) Policy {
	p.Children = slices.Clone(p.Children)
	for i := range p.Children {
		p.Children[i] = clonePolicy(p.Children[i])
	}
	p.Rules = slices.Clone(p.Rules)
	for i := range p.Rules {
		p.Rules[i].Child = clonePolicy(p.Rules[i].Child)
	}
	if p.Default != nil {
		c := clonePolicy(*p.Default)
		p.Default = &c
	}
	p.Weights = slices.Clone(p.Weights)
	return p
}

// sameService reports whether two services are alike in all but name.
func sameService(a, b *Service) bool {
	return a.TTLMin == b.TTLMin && a.TTLMax == b.TTLMax && a.IgnoreECS == b.IgnoreECS &&
		(a.AllDown == b.AllDown || a.AllDown+b.AllDown == LastGood) && slices.Equal(a.LastResort, b.LastResort) &&
		slices.Equal(a.Checks, b.Checks) && samePolicy(&a.Policy, &b.Policy)
}

func samePolicy(a, b *Policy) bool {
	if a.Kind != b.Kind || a.Site != b.Site || a.Count != b.Count || len(a.Children) != len(b.Children) ||
		len(a.Rules) != len(b.Rules) || (a.Default == nil) != (b.Default == nil) || !slices.Equal(a.Weights, b.Weights) {
		return false
	}
	for i := range a.Children {
		if !samePolicy(&a.Children[i], &b.Children[i]) {
			return false
		}
	}
	for i := range a.Rules {
		x, y := &a.Rules[i], &b.Rules[i]
		if x.Kind != y.Kind || x.Value != y.Value || !samePolicy(&x.Child, &y.Child) {
			return false
		}
	}
	return a.Default == nil || samePolicy(a.Default, b.Default)
}
