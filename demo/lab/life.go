package lab

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/meridian-gtm/meridian/demo/world"
	"github.com/meridian-gtm/meridian/node"
	"github.com/meridian-gtm/meridian/replication/gossip"
)

// lookEvery is the pause between two looks at what is broken.
const lookEvery = 20 * time.Millisecond

// life is a member's node, which can die and start again, and what can be wrong with it.
type life struct {
	site    string
	gossip  netip.AddrPort
	peers   []netip.AddrPort // of gossip
	network *world.Network
	faults  *gossip.Faults
	options node.Options
	keyFile string
	dataDir string
	keys    string // what the whole fleet shares

	mu   sync.Mutex
	node *node.Node
	dead bool
}

// newKeys makes the gossip keys of a fleet.
func newKeys() string {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	return "# of this run of the demo\n" + base64.StdEncoding.EncodeToString(key) + "\n"
}

// start makes the node; run runs it.
func (l *life) start() error {
	if err := os.WriteFile(l.keyFile, []byte(l.keys), 0o600); err != nil {
		return err
	}
	n, err := node.New(l.options)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.node, l.dead = n, false
	return nil
}

func (l *life) current() *node.Node {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.node
}

// link cuts or mends the gossip of two nodes. A dead one sends nothing, not even that it leaves.
func (l *life) link(peer *life) {
	cut := gossip.Both
	if l.alive() && peer.alive() && l.network.GossipAllowed(l.site, peer.site) {
		cut = 0
	}
	l.faults.Cut(peer.gossip, cut)
}

func (l *life) alive() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.dead && !l.network.NodeFault(world.KillNode, l.site)
}

// run lets the node live, die and start again until ctx ends.
func (l *life) run(ctx context.Context) error {
	for {
		err := l.once(ctx)
		if ctx.Err() != nil || err != nil {
			return err
		}
		for l.network.NodeFault(world.KillNode, l.site) || l.start() != nil { // its addresses may take a moment to be free
			select {
			case <-time.After(lookEvery):
			case <-ctx.Done():
				return nil
			}
		}
	}
}

// once is one life: until ctx ends, or the node is killed, which is no error.
func (l *life) once(ctx context.Context) error {
	living, kill := context.WithCancel(ctx)
	defer kill()
	n := l.current()
	ended := make(chan error, 1)
	go func() { ended <- n.Run(living) }()
	var troubles sync.WaitGroup
	for _, t := range l.troubles() {
		troubles.Go(func() { t.obey(living) })
	}
	defer troubles.Wait()
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		select {
		case err := <-ended:
			kill()
			return err
		case <-ticker.C:
		}
		if !l.network.NodeFault(world.KillNode, l.site) {
			continue
		}
		l.mu.Lock()
		l.dead = true
		l.mu.Unlock()
		// The peers' ends are cut by the lab's loop; ours must be before the node can say goodbye.
		for _, peer := range l.peers {
			l.faults.Cut(peer, gossip.Both)
		}
		kill()
		<-ended
		return nil
	}
}

// close ends what was never run.
func (l *life) close() error {
	n := l.current()
	if n == nil {
		return nil
	}
	return errors.Join(n.Close(), emptyDisk(l.dataDir))
}
