package node

import (
	"time"

	"github.com/meridian-gtm/meridian/config"
	"github.com/meridian-gtm/meridian/replication/gossip"
)

// fastLeave is how long a node of a fast fleet takes to say goodbye when nobody listens.
const fastLeave = 300 * time.Millisecond

func (n *Node) newGossip(c *config.Config, keys [][]byte) (*gossip.Gossip, error) {
	opts := gossip.Options{
		Name: n.name, Datacenter: n.datacenter, Bind: c.Gossip.Listen, Advertise: c.Gossip.Advertise, Keyring: keys,
		Faults: n.opts.GossipFaults, Logger: n.log,
	}
	if c.Gossip.Profile == config.GossipFast {
		opts.Profile, opts.LeaveTimeout = gossip.Fast, fastLeave
	}
	for _, s := range c.Gossip.Seeds {
		opts.Seeds = append(opts.Seeds, s.String())
	}
	return gossip.New(n.store, opts)
}
