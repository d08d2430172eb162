// Package drill breaks things on purpose and measures what clients notice.
//
// A drill is a [Scenario] of the catalogue, played in a [World]: the demo, a script's, or real sites where a human
// pulls the plug. Run plans it and refuses what capacity or quorum would not bear, asks every node for many client
// networks at least 20 times a second while the fault lasts, stops and heals at the first answer that no client may
// get, and heals in every case. What was seen is a [Timeline]; [Measure] makes [Metrics] of it and [Judge] holds
// those against the scenario's limits. Timeline, metrics and judgement are pure: a report can be made again from
// its file.
//
// A drill knows nodes from outside only: DNS as clients have it, and the control API.
package drill
