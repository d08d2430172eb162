// Package sim plays whole fleets of Meridian nodes in virtual time, breaks them in every way it knows, and checks
// after every event that nothing happened that must never happen.
//
// [Run] plays one [Scenario]: one goroutine, a heap of events ordered by (time, sequence), one seeded source of
// chance. Equal scenarios give equal runs, byte for byte, and equal [Result.Hash]. [Generate] makes a scenario of a
// seed, with faults biased to edges; [Shrink] makes a failing one small; [Parse] and [Scenario.String] are the file
// format in which it is kept.
//
// # What is real and what is modelled
//
// Real, the very code that nodes run: health.StepObserver, Aggregate, Decide and the evidence codec;
// replication.State with its merge, digests, diffs, horizon, parking and hybrid logical clock, and the record codec;
// steer.Compile and Plan.Answer over a geo.World; the TTLs that all of these give.
//
// Modelled: what packages with sockets, files and clocks do around the cores. The owner loop of package node
// (heartbeats, silence, warm start, lost quorum, relaying, saving: shell.go); the spreading of records by gossip and
// anti-entropy, and membership (gossip.go); the schedule of probes (probe.go); the data directory, which loses
// what was not synced (disk.go); links, clocks, sites, operators and clients. Where the model stands in for a file
// of another package, it says so.
package sim
