package node

import (
	"errors"

	"github.com/meridian-gtm/meridian/config"
	"github.com/meridian-gtm/meridian/dnsserver"
	"github.com/meridian-gtm/meridian/replication/gossip"
)

// keys are the secrets that a configuration names.
type keys struct {
	gossip  [][]byte // nil = gossip is not encrypted
	cookies dnsserver.CookieKeys
}

// readKeys reads the files of secrets. Server cookies are made with those of the keyring unless they have a file of
// their own, so that all nodes of a fleet accept them.
func (n *Node) readKeys(c *config.Config) (k keys, err error) {
	var faults [2]error
	var exposed bool
	if file := c.Gossip.KeyringFile; file != "" {
		k.gossip, exposed, faults[0] = gossip.ReadKeyring(file)
		n.warnOfExposed(file, exposed)
	}
	k.cookies.Roots = k.gossip
	if file := c.DNS.Cookies.SecretsFile; file != "" {
		k.cookies.Secrets, exposed, faults[1] = dnsserver.ReadCookieSecrets(file)
		n.warnOfExposed(file, exposed)
	}
	return k, errors.Join(faults[:]...)
}

func (n *Node) warnOfExposed(file string, exposed bool) {
	if exposed {
		n.log.Warn("every user of this machine can read the keys", "file", file)
	}
}
