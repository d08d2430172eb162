package mmdb

import (
	"context"

	"github.com/meridian-gtm/meridian/filewatch"
	"github.com/meridian-gtm/meridian/geo"
)

// NewWatcher watches the files of a world that [Load] made and described as loaded; the zero Info makes Run load at
// its first look. Notify is called from Run with each new world, or with nil and what was wrong, when the world
// that is in use should stay. It may be called with a world of the same digest.
func NewWatcher(files Files, loaded Info, notify func(*geo.World, Info, error), opts filewatch.Options) *filewatch.Watcher {
	return filewatch.New(files.names(), loaded.stamps, func(ctx context.Context) (func(), error) {
		world, info, err := load(ctx, files)
		return func() { notify(world, info, err) }, err
	}, opts)
}

// names returns the files that are named, in the order of their layers.
func (f Files) names() []string {
	var out []string
	for _, s := range f.sources() {
		out = append(out, s.file)
	}
	return out
}
