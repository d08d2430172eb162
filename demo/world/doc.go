// Package world is the demo's datacenters in one process, on real loopback sockets.
//
// Every site has one virtual address (VIP). Two directors share it by VRRP (RFC 5798, adverts in process): one
// accepts on it and forwards connections at layer 4 to two shop replicas, the other stands by. A director tells the
// replica its own name and the client's address in a PROXY protocol header, because it cannot write into a stream
// that it does not understand.
//
// Everything that goes wrong goes wrong in one place: [Network] holds the faults, each with a time limit after which
// it heals by itself, and the pure [Faults] table says what they mean. Probes, travelers and gossip ask the network
// before they pass; the world makes the sockets behave alike for those who do not, so that curl sees a lost site too.
//
// What is modelled: round trips between sites (when a connection is opened), VRRP's medium, loss (as the delay of a
// retransmission). What is real: every address, listener, connection and byte. [World.Run] owns every goroutine.
package world
