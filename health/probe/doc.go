// Package probe looks at VIPs from outside, as clients do, and keeps one health observer per target.
//
// [HTTP], [HTTPS] and [TCP] make one probe each: a connection of its own to the VIP, so that it proves the VIP and the
// directors behind it and not a connection that has survived them. A probe ends with the check's fixed timeout at the
// latest. What this machine could not do is a [health.LocalFault] and says nothing about the target.
//
// A [Prober] runs them in time: it drives the pure observer of every target with the monotonic clock, hands out
// evidence, and asks witnesses whether this machine sees the network at all.
package probe
