package node

import (
	"context"
	"errors"
	"runtime/debug"
	"time"

	"github.com/meridian-gtm/meridian/control"
)

// Reload implements control.Backend: it reads the configuration, the zones and the keys again. A fault in any of
// them changes nothing and is kept for status. Geo files are loaded again apart from that, since they come from
// elsewhere, and so is the certificate of DNS over TLS: a fault there keeps the old ones and shows in status, too.
func (n *Node) Reload(ctx context.Context) (*control.ReloadResult, error) {
	if err := n.reloading.take(ctx); err != nil {
		return nil, err
	}
	defer n.reloading.give()
	n.watchers.reopen() // whatever becomes of the rest: a log was moved
	var keys keys
	next, err := load(n.opts.ConfigFile, n.opts.Overrides, time.Now())
	if err == nil {
		keys, err = n.readKeys(next.config)
	}
	result := &control.ReloadResult{}
	callErr := n.call(ctx, func() error {
		if err == nil {
			err = needsRestart(n.setup.config, next.config)
		}
		if err == nil && keys.gossip != nil {
			err = n.gossip.SetKeys(keys.gossip)
		}
		if err == nil {
			err = n.dns.SetCookieKeys(keys.cookies)
		}
		n.reloads.note(err)
		n.fault(partReload, err)
		if err == nil {
			result.Hash, result.Changed = next.hash, next.hash != n.setup.hash
			n.adopt(next, time.Now())
		}
		return nil
	})
	_ = n.loadPair(ctx) // status shows it
	releaseMemory()
	if err := errors.Join(callErr, err); err != nil {
		return nil, err
	}
	return result, nil
}

// releaseMemory gives back what parsing zones and databases took: for large ones several times what stays.
func releaseMemory() { debug.FreeOSMemory() }

// adopt makes next the running setup. The owner runs it.
func (n *Node) adopt(next *setup, now time.Time) {
	if next.hash != n.setup.hash {
		n.event(control.Event{Time: now, Kind: "config", Text: "configuration " + next.hash + " in force"})
	}
	n.log.Info("configuration in force", "hash", next.hash, "before", n.setup.hash)
	n.setup = next
	n.prober.Update(n.probeTargets(next))
	n.prober.Watch(next.config.Witnesses)
	n.watchGeo(geoFiles(next.config))
	n.decide(now)
	n.publishApplied(now)
}
