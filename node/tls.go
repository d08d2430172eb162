package node

import (
	"context"
	"fmt"
	"time"

	"github.com/meridian-gtm/meridian/config"
	"github.com/meridian-gtm/meridian/control"
	"github.com/meridian-gtm/meridian/dnsserver/keypair"
	"github.com/meridian-gtm/meridian/filewatch"
	"github.com/meridian-gtm/meridian/health"
)

// overTLS says that a configuration has DNS over TLS.
func overTLS(c config.DNS) bool { return len(c.TLS.Listen) > 0 }

// loadPair loads the certificate of DNS over TLS and puts it in use; after a fault the old one stays, and status shows
// why. Nothing happens without DNS over TLS.
func (n *Node) loadPair(ctx context.Context) error {
	if !overTLS(n.dnsConfig) {
		return nil
	}
	// One at a time, so that the last to load is the last to be put in use.
	if err := n.pairing.take(ctx); err != nil {
		return err
	}
	defer n.pairing.give()
	pair, err := keypair.Load(n.dnsConfig.TLS.Certificate, n.dnsConfig.TLS.Key)
	callErr := n.call(ctx, func() error {
		if now := time.Now(); err == nil {
			err = n.adoptPair(pair, now)
		}
		n.fault(partTLS, err)
		return nil
	})
	if callErr != nil {
		return callErr
	}
	return err
}

// adoptPair puts a certificate in use. One that clients would not accept now does not take the place of one that they do.
// The owner runs it.
func (n *Node) adoptPair(pair *keypair.Pair, now time.Time) error {
	if err := pair.At(now); err != nil && n.pair != nil && n.pair.At(now) == nil {
		return err
	}
	if pair.Exposed {
		n.log.Warn("every user of this machine can read the key of DNS over TLS", "file", pair.KeyFile)
	}
	before := n.pair
	n.pair = pair
	n.dns.SetCertificate(pair.Certificate)
	switch {
	case before == nil:
		n.log.Info("certificate of DNS over TLS in use", "name", pair.Name(), "ends", pair.NotAfter)
	case !before.Certificate.Leaf.Equal(pair.Certificate.Leaf):
		n.log.Info("new certificate of DNS over TLS in use", "name", pair.Name(), "ends", pair.NotAfter)
		n.event(control.Event{Time: now, Kind: "tls", Text: fmt.Sprintf("new certificate of %s in use, ends on %s",
			pair.Name(), pair.NotAfter.UTC().Format(time.DateOnly))})
	}
	return nil
}

// watchPair loads the certificate again whenever its files change, until ctx ends. loaded is their state at the start.
func (n *Node) watchPair(ctx context.Context, loaded filewatch.Stamps) error {
	load := func(ctx context.Context) (func(), error) { return func() {}, n.loadPair(ctx) }
	_ = filewatch.New(n.pairFiles(), loaded, load, filewatch.Options{}).Run(ctx) // returns only when ctx ends
	return nil
}

func (n *Node) pairFiles() []string {
	return []string{n.dnsConfig.TLS.Certificate, n.dnsConfig.TLS.Key}
}

// pairAlarm warns before the certificate ends, and when it is of no use.
func (n *Node) pairAlarm(now time.Time) (a health.Alarm, ok bool) {
	if n.pair == nil {
		return a, false
	}
	err := n.pair.Warn(now, n.dnsConfig.TLS.ExpiryWarning)
	if err == nil {
		return a, false
	}
	return health.Alarm{Code: "certificate", Text: err.Error()}, true
}
