// Package gossip carries replicated records between nodes over hashicorp/memberlist: UDP gossip for what is new,
// authenticated streams for what is large, and an anti-entropy loop for what was missed.
//
// It is transport and hint, never truth. It holds no records: it asks its [Store] for them and delivers to it what
// peers sent, unmerged and checked in form only. That a member is alive says that it can be heard, and nothing
// about any site.
//
// A record goes out with [Gossip.Publish]: up to 1000 bytes in a packet, a larger one as an announcement, upon
// which peers fetch it. memberlist does not relay, so whoever merges a record that changed its state publishes it
// again. What packets lose, the exchange of digests finds: with a near peer every 5 s, with another datacenter
// every 10 s, and with every push/pull of memberlist.
//
// memberlist gives a lost member up for good, so a rejoiner tries the absent seeds and the lost members every 5 s, for
// as long as the process lives. Whatever was parted finds together in 30 s.
//
// Everything from the network is bounded: message sizes, queued bytes, streams, members. What exceeds a bound is
// dropped and counted in [Stats]; anti-entropy brings it again.
package gossip
