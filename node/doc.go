// Package node is one running Meridian node: it joins the pure cores to the sockets, disks and clocks around them.
//
// One goroutine, the owner, holds the state. Probe results, gossip, operators' changes, reloads and time reach it as
// events; it folds them in, decides, and when the outcome differs compiles the next plan and swaps one pointer that
// the DNS server reads. Queries never wait for it. The control API reads and changes state by handing the owner a
// function.
//
// A node answers from disk at once when it starts: last known good verdicts and overrides are loaded before the DNS
// sockets are opened, and nothing that happens to peers, gossip or the disk stops it from answering.
package node
