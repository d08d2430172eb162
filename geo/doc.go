// Package geo knows where clients are and turns that into small integers that answers can be compiled from.
//
// A [World] is a total partition of the IPv4 and IPv6 address space into prefixes, each with one [Place]. A
// [Builder] makes it once, when the databases load (package geo/mmdb), from layers: Country or City networks, ASN
// networks and the operator's CIDR map ([ParseCIDRMap]), the later layer winning field by field. [World.Classify]
// maps every place to a class with the caller's function and merges equal neighbours, so that a [Table] answers
// "which class, and what is the widest prefix around this address with that one class" — which is exactly an ECS
// scope (RFC 7871 section 7.2.1).
//
// Addresses are never translated: a 4-in-6 address (::ffff:192.0.2.1) must be unmapped by the caller, and 6to4 and
// Teredo addresses are where the databases say that those prefixes are.
//
// The package is pure: no files, no clock, no goroutines. Worlds and tables are immutable and safe for concurrent
// use.
package geo
