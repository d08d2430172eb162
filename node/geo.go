package node

import (
	"context"
	"time"

	"github.com/meridian-gtm/meridian/control"
	"github.com/meridian-gtm/meridian/filewatch"
	"github.com/meridian-gtm/meridian/geo"
	"github.com/meridian-gtm/meridian/geo/mmdb"
)

// watchGeo has files loaded, and watched from then on. Only the owner calls it.
func (n *Node) watchGeo(files mmdb.Files) {
	select {
	case <-n.geoWatch: // nobody has taken the last order yet: this one replaces it
	default:
	}
	n.geoWatch <- files
}

// watchGeoFiles loads the geo databases again whenever they change, until ctx ends.
func (n *Node) watchGeoFiles(ctx context.Context, files mmdb.Files, info mmdb.Info) error {
	for ctx.Err() == nil {
		watching, cancel := context.WithCancel(ctx)
		notify := func(w *geo.World, info mmdb.Info, err error) { n.newWorld(watching, w, info, err) }
		watcher := mmdb.NewWatcher(files, info, notify, filewatch.Options{})
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = watcher.Run(watching) // returns only when watching ends
		}()
		select {
		case <-ctx.Done():
		case files = <-n.geoWatch:
			info = mmdb.Info{} // load them now
		}
		cancel()
		<-done
	}
	return nil
}

// newWorld puts a freshly loaded world in use, unless other files are wanted meanwhile; after a fault the old one stays.
func (n *Node) newWorld(ctx context.Context, w *geo.World, info mmdb.Info, err error) {
	_ = n.call(ctx, func() error { // it fails only when ctx has ended
		n.fault(partGeo, err)
		if err != nil {
			return nil // the old world stays
		}
		same := n.world.Digest() == w.Digest()
		n.world, n.geoInfo = w, info
		if same {
			return nil
		}
		now := time.Now()
		n.log.Info("geo databases in use", "databases", info.String())
		n.event(control.Event{Time: now, Kind: "geo", Text: "geo databases in use: " + info.String()})
		n.compile(now)
		return nil
	})
}
