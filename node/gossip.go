package node

import (
	"time"

	"github.com/meridian-gtm/meridian/config"
	"github.com/meridian-gtm/meridian/replication/gossip"
)

// fastLeave is how long a node of a fast fleet takes to say goodbye when nobody listens.
const fastLeave = 300 * time.Millisecond

func (n *Node) newGossip(c *config.Config) (*gossip.Gossip, error) {
	keys, err := n.readKeys(c)
	if err != nil {
		return nil, err
	}
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

// readKeys reads the keyring file; none is configured = no keys.
func (n *Node) readKeys(c *config.Config) ([][]byte, error) {
	if c.Gossip.KeyringFile == "" {
		return nil, nil
	}
	keys, exposed, err := gossip.ReadKeyring(c.Gossip.KeyringFile)
	if exposed {
		n.log.Warn("every user of this machine can read the gossip keys", "file", c.Gossip.KeyringFile)
	}
	return keys, err
}
