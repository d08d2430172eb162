// Command bench measures Meridian beside knot, nsd and gdnsd on one machine: queries per second, processor time per
// answered query and latency, of servers with one core each that serve the same zone and the same networks.
//
//	go run ./bench                                  # all servers that are installed, 5 rounds
//	go run ./bench -servers meridian,knot -sets www # only these
//
// Figures of one machine mean little on another, and little on the same one an hour later. So servers take turns in
// every round, and what counts is the ratio to Meridian in the same round; docs/benchmarks.md says more.
//
// It runs on Linux, talks to 127.0.0.1 alone, and ends the processes that it started and no others.
package main
