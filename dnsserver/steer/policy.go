package steer

import (
	"net/netip"

	"github.com/meridian-gtm/meridian/geo"
)

// Kind names a policy node.
type Kind string

// The policy nodes. They nest: a child is a site or another node.
const (
	KindSite       Kind = "site"        // leaf
	KindRoundRobin Kind = "round-robin" // every available child, rotated per answer
	KindWeighted   Kind = "weighted"    // one available child, drawn by weight from a hash of the client's prefix
	KindGeo        Kind = "geo"         // the child of the most specific matching rule, then the default
	KindNearest    Kind = "nearest"     // available sites by great-circle distance; ties share
	KindFailover   Kind = "failover"    // the first child with anything available
	KindSticky     Kind = "sticky"      // one available child by rendezvous hash of the client's prefix
)

// Policy is one node of a service's policy tree.
type Policy struct {
	Kind     Kind
	Site     string   // KindSite only
	Children []Policy // all others; KindNearest takes only sites
	Weights  []uint32 // KindWeighted: one per child, 0..1,000,000; 0 = only when nothing else is available
	Rules    []Rule   // KindGeo
	Default  *Policy  // KindGeo: for places no rule matches, and when the matched child has nothing available
	Count    int      // KindNearest: how many nearest sites to answer together, rotated; default 1
}

// Rule sends matching places to a child of a geo node. The most specific match wins, in the order of MatchKind;
// between equals the first in the list.
type Rule struct {
	Kind  MatchKind
	Value string // "EU", "DE", "US-NY", "DE/Berlin", "64500", "office"
	Child Policy
}

// MatchKind is what a rule compares; smaller is more specific.
type MatchKind uint8

// The match kinds, most specific first.
const (
	MatchLabel MatchKind = iota // operator's label from the CIDR map
	MatchASN
	MatchCity        // "DE/Berlin"
	MatchSubdivision // "US-NY"
	MatchCountry     // "DE"
	MatchContinent   // "EU"
)

// AllDown is what a service answers when no site is available.
type AllDown string

// The all-down policies.
const (
	LastGood   AllDown = "last-good"   // the sites that went down last, through the same policy tree; default
	All        AllDown = "all"         // every site that is not isolated, through the same policy tree
	LastResort AllDown = "last-resort" // Service.LastResort
	None       AllDown = "none"        // NODATA: fail closed, opt-in
)

// Service is one steered name's traffic policy.
type Service struct {
	Name       string
	Policy     Policy
	TTLMin     uint32 // seconds, 1..86400; while anything is unsettled
	TTLMax     uint32 // seconds, TTLMin..86400; settled
	AllDown    AllDown
	LastResort []netip.Addr // AllDown == LastResort; also answered when every site is isolated
	Checks     []string     // names of checks; empty = the sites are always up
	IgnoreECS  bool         // decide by the resolver's address and answer with scope 0
}

// Site is one datacenter's VIP per address family.
type Site struct {
	Name       string
	Datacenter string
	V4, V6     netip.Addr // the zero Addr = the site does not serve that family
	Weight     uint32     // share among equals, 0..1,000,000; 0 = only when no equal has any
	Capacity   uint32     // what the site can carry, in any one unit for all sites; 0 = not stated
}

// Datacenter is a place with nodes and sites.
type Datacenter struct {
	Name   string
	Region string // clients near any datacenter of a region belong to the region
	Coord  geo.Coord
}
