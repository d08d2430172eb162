// Package disk keeps a node's replicated records, its boot epoch and some opaque sections (such as its last known
// good verdicts) through crashes and power loss, in one data directory:
//
//	state-0, state-1   two generations; each save replaces the older one
//	state.tmp          a save in progress; never read
//	lock               held while a process uses the directory; holds its process id
//
// [Store.Save] writes the temporary file, syncs it, renames it over the older generation and syncs the directory.
// So at every moment the last state that was saved is whole in its own file, whatever is interrupted, and a save
// that returned nil is durable. A generation that does not match its hash is not trusted: [Open] falls back to the
// other, adds whatever records of the damaged one still have sound checksums, which is safe because merging is
// a join, and raises an alarm. It never refuses to start over damage, because a node that has lost its state must
// still answer.
//
// The package decides nothing about records; its caller merges what was loaded, which also checks it.
package disk
