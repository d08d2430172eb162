package mmdb

import (
	"context"
	"os"
	"time"

	"github.com/meridian-gtm/meridian/geo"
)

// WatchOptions tunes a [Watcher].
type WatchOptions struct {
	// Poll is how often the files are looked at; default 5 s. A changed file is loaded when two looks in a row see
	// it alike, so one that is still being written is left alone.
	Poll time.Duration
	// Retry is how long after a failed load the same files are tried again; default 1 min. Files that change are
	// tried sooner.
	Retry time.Duration
}

func (o WatchOptions) withDefaults() WatchOptions {
	if o.Poll <= 0 {
		o.Poll = 5 * time.Second
	}
	if o.Retry <= 0 {
		o.Retry = time.Minute
	}
	return o
}

// Watcher loads a world again when its files change: by modification time, size or identity, so a file may be
// replaced by rename (best), by a symbolic link that moves, or in place.
type Watcher struct {
	files   Files
	opts    WatchOptions
	notify  func(*geo.World, Info, error)
	current stamps // of the files as last loaded, well or badly
	failed  time.Time
}

// NewWatcher watches the files of a world that [Load] made and described as loaded; the zero Info makes Run load at
// its first look. Notify is called from Run with each new world, or with nil and what was wrong, when the world
// that is in use should stay. It may be called with a world of the same digest.
func NewWatcher(files Files, loaded Info, notify func(*geo.World, Info, error), opts WatchOptions) *Watcher {
	return &Watcher{files: files, opts: opts.withDefaults(), notify: notify, current: loaded.stamps}
}

// Run watches until ctx is done and returns its error.
func (w *Watcher) Run(ctx context.Context) error {
	ticker := time.NewTicker(w.opts.Poll)
	defer ticker.Stop()
	var before stamps
	for {
		now := stamp(w.files)
		if w.due(now) && (w.current == nil || now.equal(before)) {
			w.load(ctx)
		}
		before = now
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}

// due reports whether the files are to be loaded once they are at rest.
func (w *Watcher) due(now stamps) bool {
	retry := !w.failed.IsZero() && time.Since(w.failed) >= w.opts.Retry
	return w.current == nil || retry || !now.equal(w.current)
}

// load loads the files and tells, unless they changed meanwhile or Run is to end.
func (w *Watcher) load(ctx context.Context) {
	before := stamp(w.files)
	world, info, err := load(ctx, w.files)
	if ctx.Err() != nil || !stamp(w.files).equal(before) {
		return
	}
	w.current, w.failed = before, time.Time{}
	if err != nil {
		w.failed = time.Now()
	}
	w.notify(world, info, err)
}

// stamps is what tells one state of the files from another, in the order of their layers; nil for a missing file.
type stamps []os.FileInfo

func stamp(files Files) stamps {
	out := stamps{}
	for _, s := range files.sources() {
		info, err := os.Stat(s.file)
		if err != nil {
			info = nil
		}
		out = append(out, info)
	}
	return out
}

func (s stamps) equal(t stamps) bool {
	if len(s) != len(t) {
		return false
	}
	for i, a := range s {
		b := t[i]
		switch {
		case a == nil || b == nil:
			if a != nil || b != nil {
				return false
			}
		case a.Size() != b.Size() || !a.ModTime().Equal(b.ModTime()) || !os.SameFile(a, b):
			return false
		}
	}
	return true
}
