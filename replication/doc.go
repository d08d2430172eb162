// Package replication holds what nodes tell each other: small versioned records, and the rules by which two copies
// of the state become one.
//
// Merge is a join: commutative, associative and idempotent, so any order of delivery, any repetition and any
// detour gives every node the same state. Evidence and applied records have one writer, their node, ordered by
// (boot epoch, sequence). Overrides may be written through any node and are ordered by a hybrid logical clock.
// Expiry is a field, never a delete, so that nothing that ended comes back.
//
// The package is pure; the current time is always an argument. Sockets are in replication/gossip, files in
// replication/disk.
package replication
