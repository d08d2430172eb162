// Package steer decides which addresses a client is given.
//
// [Compile] turns services, sites, geography, verdicts and overrides into a [Plan]: every policy tree is resolved
// as far as it can be without knowing the client, so that [Plan.Answer] is a table look-up, at most a few hashes of
// the client's prefix, and a copy of addresses. Everything that can be decided when health changes is decided then.
//
// The package is pure: no clock, no randomness, no I/O, no logging, no goroutine. Equal inputs give equal plans with
// equal epochs on every node. Plans are immutable and safe for concurrent use. [Plan.Explain] runs the same
// resolution and writes down why.
//
// # How an answer is found
//
//  1. The client's network is of one class of places for the service: which rule of each geo node matches, and how
//     each nearest node orders its sites. Sites within a kilometre of the same distance tie. For a network that the
//     operator's map orders sites for, that order comes first; for one without coordinates all sites tie.
//  2. Each site stands as the first of these says: freeze, isolate, force-up, drain, weight, verdict. An override
//     of one service outranks one for every service of the same action. A weight override scales the share that
//     health leaves; it never makes a site that is down available.
//  3. The policy tree is walked over the sites that stand, without those that the client's region cannot reach,
//     then also over those that nobody has checked yet, then also over those that the region cannot reach.
//  4. If that gives nothing, drained sites that are not down answer; then the all-down policy over sites that are
//     neither drained nor isolated; then any drained site; then the last resort, if the service has one. All-down
//     policy none answers nothing instead of the first of these.
//     A client's answer never leaves its part of the tree, and an isolated site is never answered: with every site
//     of that part isolated and no last resort the answer is empty. So it is for a family that no site there has.
//
// # Shares
//
// A site below its full weight, because it ramps up, is partly reachable or was lowered, takes only that share of
// client prefixes where something comes after it, and the rest go on. Whoever is turned away everywhere goes to the
// largest share. Weighted and sticky nodes, and ties of nearest ones, multiply configured weights by it instead. A
// node below another has the share of its best site. Weight 0 is for when nothing else is there.
//
// Draws hash the client's /24 or /48 with the names of service and sites and the node's position in the tree, in
// integers only: every node of a fleet draws alike, and a restart moves nobody.
//
// # Scope
//
// [Answer.Scope] is the length of the widest known prefix with the same decision: that of the class when classes
// differ, of the region when regions do, of the hashed prefix when a draw decided; 0 when nothing about the client
// did. Classes that differ in what they would do next are not merged while they get the same answer, so a scope may
// be longer than it needs to be, never shorter.
package steer
