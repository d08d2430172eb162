// Package filewatch loads files again when they change. It looks at them now and then, which works for every file
// system and every way to replace a file.
package filewatch

import (
	"context"
	"os"
	"time"
)

// Options tune a [Watcher].
type Options struct {
	// Poll is how often the files are looked at; default 5 s. Changed files are loaded when two looks in a row see
	// them alike, so one that is still being written is left alone.
	Poll time.Duration
	// Retry is how long after a failed load the same files are tried again; default 1 min. Files that change are
	// tried sooner.
	Retry time.Duration
}

func (o Options) withDefaults() Options {
	if o.Poll <= 0 {
		o.Poll = 5 * time.Second
	}
	if o.Retry <= 0 {
		o.Retry = time.Minute
	}
	return o
}

// Load loads files. The function it returns tells somebody what came of it, and is not called when the files changed
// meanwhile or Run is to end. An error means that the same files are to be tried again.
type Load func(context.Context) (tell func(), err error)

// Watcher loads files again when they change: by modification time, size or identity, so a file may be replaced by
// rename (best), by a symbolic link that moves, or in place.
type Watcher struct {
	files   []string
	load    Load
	opts    Options
	current Stamps // of the files as last loaded, well or badly
	failed  time.Time
}

// New watches files whose state was loaded when they were last loaded; nil makes Run load them at its first look.
func New(files []string, loaded Stamps, load Load, o Options) *Watcher {
	return &Watcher{files: files, load: load, opts: o.withDefaults(), current: loaded}
}

// Run watches until ctx is done and returns its error.
func (w *Watcher) Run(ctx context.Context) error {
	ticker := time.NewTicker(w.opts.Poll)
	defer ticker.Stop()
	var before Stamps
	for {
		now := Stamp(w.files...)
		if w.due(now) && (w.current == nil || now.equal(before)) {
			w.reload(ctx)
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
func (w *Watcher) due(now Stamps) bool {
	retry := !w.failed.IsZero() && time.Since(w.failed) >= w.opts.Retry
	return w.current == nil || retry || !now.equal(w.current)
}

// reload loads the files and tells.
func (w *Watcher) reload(ctx context.Context) {
	before := Stamp(w.files...)
	tell, err := w.load(ctx)
	if ctx.Err() != nil || !Stamp(w.files...).equal(before) {
		return
	}
	w.current, w.failed = before, time.Time{}
	if err != nil {
		w.failed = time.Now()
	}
	tell()
}

// Stamps are what tells one state of files from another, in their order; nil for a missing file.
type Stamps []os.FileInfo

// Stamp looks at files.
func Stamp(files ...string) Stamps {
	out := Stamps{}
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil {
			info = nil
		}
		out = append(out, info)
	}
	return out
}

func (s Stamps) equal(t Stamps) bool {
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
