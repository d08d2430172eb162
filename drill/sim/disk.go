package sim

import (
	"time"

	"github.com/meridian-gtm/meridian/health"
	"github.com/meridian-gtm/meridian/replication"
)

// disk is a node's data directory, after replication/disk: a save writes and syncs a new file, renames it over the
// older generation, and syncs the directory. Power that fails before the rename leaves what was there; between the
// rename and the sync of the directory either may be found. The record and verdict codecs are the real ones.
type disk struct {
	durable saved
	renamed *saved // visible, but its name is not synced
	failing bool   // refuses every write
	writing *write
	waiting []*write
	wanted  bool // a save in the background
}

// saved is the content of a generation.
type saved struct {
	epoch   uint64
	records [][]byte
	good    []byte
}

// write is a save under way.
type write struct {
	saved
	done func(ok bool)
}

// The stages of a save, and how long each takes.
const (
	stageRenamed = iota
	stageSynced
	stageRetry
	stageFlushed
)

const (
	writeTakes = 8 * time.Millisecond
	syncTakes  = 4 * time.Millisecond
	saveRetry  = 10 * time.Second
	// flushAfter is when a file system syncs names by itself.
	flushAfter = 5 * time.Second
)

func (s saved) decode() []replication.Record {
	var out []replication.Record
	for _, b := range s.records {
		if r, err := replication.DecodeRecord(b); err == nil {
			out = append(out, r)
		}
	}
	return out
}

// load returns what the disk holds after the power came back.
func (d *disk) load(*world) saved {
	if d.renamed != nil {
		return *d.renamed
	}
	return d.durable
}

// open makes the epoch of this boot durable, if the disk lets it.
func (d *disk) open(w *world, n *node) {
	d.writing, d.waiting, d.wanted, d.renamed = nil, nil, false, nil
	if !d.failing && w.seams.storeEpoch {
		d.durable.epoch = n.epoch
	}
}

// lose is a power failure.
func (d *disk) lose(w *world) {
	if d.renamed != nil {
		if w.chance.IntN(2) == 0 {
			d.durable = *d.renamed
		}
		d.renamed = nil
	}
	d.writing, d.waiting = nil, nil
}

// content is what a save of n writes now.
func (w *world) content(n *node, more ...replication.Record) saved {
	s := saved{epoch: n.epoch}
	if !w.seams.storeEpoch {
		s.epoch = 0
	}
	add := func(r replication.Record) {
		if b, err := r.MarshalBinary(); err == nil {
			s.records = append(s.records, b)
		}
	}
	for r := range n.replica.state.All() {
		if r.Kind == replication.KindOverride {
			add(r)
		}
	}
	for _, r := range more {
		add(r)
	}
	bare := make(map[health.Target]health.Verdict, len(n.replica.good))
	for t, v := range n.replica.good {
		v.Votes = nil
		bare[t] = v
	}
	s.good, _ = health.EncodeVerdicts(bare)
	return s
}

// saveSoon stores the state in the background.
func (w *world) saveSoon(r *replica) {
	for _, n := range r.members {
		if len(r.members) > 1 {
			return // a cohort's disks are looked at by nobody before one of them has a replica of its own
		}
		if n.up && !n.disk.wanted {
			n.disk.wanted = true
			w.nextWrite(n)
		}
	}
}

// save stores the state with more records, and calls done when it is durable or will not be.
func (w *world) save(n *node, done func(ok bool), more ...replication.Record) {
	n.disk.waiting = append(n.disk.waiting, &write{saved: w.content(n, more...), done: done})
	w.nextWrite(n)
}

// nextWrite begins a write when none is under way: one writer at a time has the disk.
func (w *world) nextWrite(n *node) {
	d := &n.disk
	if d.writing != nil {
		return
	}
	switch {
	case len(d.waiting) > 0:
		d.writing, d.waiting = d.waiting[0], d.waiting[1:]
		d.writing.saved = w.merged(n, d.writing.saved)
	case d.wanted:
		d.wanted = false
		d.writing = &write{saved: w.content(n), done: func(ok bool) {
			if !ok {
				w.later(n, saveRetry, evDisk, stageRetry, (*write)(nil))
			}
		}}
	default:
		return
	}
	w.later(n, writeTakes, evDisk, stageRenamed, d.writing)
}

// merged is the state as it is now with what a write that waited adds to it, which comes last.
func (w *world) merged(n *node, s saved) saved {
	now := w.content(n)
	if len(s.records) > 0 {
		now.records = append(now.records, s.records[len(s.records)-1])
	}
	return now
}

func (w *world) diskStage(n *node, stage int, x *write) {
	d := &n.disk
	switch stage {
	case stageRetry:
		d.wanted = true
		w.nextWrite(n)
		return
	case stageFlushed:
		if d.renamed != nil {
			d.durable, d.renamed = *d.renamed, nil
		}
		return
	case stageRenamed:
		if d.failing {
			d.writing = nil
			x.done(false)
			w.nextWrite(n)
			return
		}
		d.renamed = &x.saved
		if w.seams.syncDirectory {
			w.later(n, syncTakes, evDisk, stageSynced, x)
			return
		}
		w.later(n, flushAfter, evDisk, stageFlushed, x)
	case stageSynced:
		d.durable, d.renamed = x.saved, nil
	}
	d.writing = nil
	x.done(true)
	w.nextWrite(n)
}
