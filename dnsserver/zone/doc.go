// Package zone holds authoritative zone data: RFC 1035 master files become an immutable tree, and the tree answers
// look-ups with the full semantics of RFC 1034 section 4.3.2 (referrals, CNAME), RFC 2308 (negative answers),
// RFC 4592 (wildcards and empty non-terminals) and RFC 6672 (DNAME).
//
// Names that are steered by a traffic policy live in the tree beside static records: they exist, they match
// wildcards, they may be CNAME targets, and their A and AAAA are left for the caller to fill in.
//
// The package is pure but for [Load], which reads files below one directory. Zones and sets are immutable and safe
// for concurrent use.
//
// # The packed form
//
// A loaded zone keeps its records in wire form, each set as it stands in an answer to a question for its own name, in
// a few slices without pointers: about 85 octets for an address record with a name of its own, and nothing for the
// garbage collector to follow. [Set.Match] finds a set at the cost of a hash per label, without allocation.
// [Zone.Lookup] and [Zone.RRsets] unpack what they return.
//
// # What a zone may hold
//
// Load refuses what BIND and Knot refuse, and what can only be a mistake: no SOA or several, no NS, data out of zone,
// a CNAME beside other data, data below a DNAME, a name server in the zone that is an alias or has no address,
// missing in-domain glue, anything static that would answer for a steered name, address hints for one included. NS and
// DNAME at a wildcard are refused as well: RFC 4592 sections 4.2 and 4.4 leave them without meaning.
//
// As with Knot and NSD, data that a delegation hides is kept and never answered; it and other oddities show in
// [Zone.Warnings]. DNSSEC records in a master file are ordinary data: they are answered when asked for by type, and
// are not added to other answers.
//
// # Master files
//
// $ORIGIN, $TTL, $INCLUDE and $GENERATE are known, class IN only. A quoted string ends on its line. Every record
// needs a TTL, or $TTL or a record with one before it. Generic rdata (RFC 3597) works for every type.
package zone
