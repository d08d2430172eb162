// Package whatif asks what a change would do before somebody makes it: which clients it moves, how far, and whether
// the sites that they are moved to carry them. It replays counts of queries by client network against the plan as it
// is and as it would be, with the code that answers queries.
//
// The replay is pure; [Load] and [ReadDemand] are its shell.
package whatif
