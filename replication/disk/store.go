package disk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/meridian-gtm/meridian/replication"
)

var (
	// ErrFull is wrapped by an error of Save when the disk or the quota is full.
	ErrFull = errors.New("disk full")

	// ErrReadOnly is wrapped by an error of Save when the directory may not be written.
	ErrReadOnly = errors.New("read-only")

	// ErrNotDurable is wrapped by an alarm of Open when the boot epoch could not be written. The node can serve,
	// but whatever Save refuses would not survive its end.
	ErrNotDurable = errors.New("boot epoch is not durable")
)

// Loaded is what Open found.
type Loaded struct {
	// Epoch numbers this boot: greater than that of every boot before it in this directory, and never less than
	// the unix time in seconds, so that a node whose directory was lost is still taken for newer than its own past.
	Epoch uint64

	Records  []replication.Record // to be merged; a damaged generation adds older and doubled ones
	Sections map[string][]byte

	// Alarms say what an operator must look at: generations that could not be read, an epoch that could not be
	// written. The node can serve in spite of all of them.
	Alarms []error
}

// Store is an open data directory. Its methods may be called concurrently.
type Store struct {
	path string // for messages
	fs   filesystem
	lock io.Closer

	mu         sync.Mutex
	epoch      uint64
	generation uint64 // of the last save
	slot       int    // file with the last save; the other is written next
	closed     bool
}

const temporary = "state.tmp"

var slots = [2]string{"state-0", "state-1"}

// Open locks dir, creating it if need be, loads the newest sound state, and makes the epoch of this boot durable. Its
// errors are a directory that cannot be made or locked, among them ErrInUse; everything else is an alarm.
func Open(dir string) (*Store, Loaded, error) {
	fail := func(err error) (*Store, Loaded, error) { return nil, Loaded{}, fmt.Errorf("data dir %s: %w", dir, err) }
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return fail(err)
	}
	lock, err := acquire(dir)
	if err != nil {
		return fail(err)
	}
	s, loaded := open(dir, directory(dir), time.Now())
	s.lock = lock
	return s, loaded, nil
}

func open(path string, fsys filesystem, now time.Time) (*Store, Loaded) {
	s := &Store{path: path, fs: fsys}
	var loaded Loaded
	alarm := func(format string, args ...any) {
		loaded.Alarms = append(loaded.Alarms, fmt.Errorf("data dir %s: "+format, append([]any{path}, args...)...))
	}

	// sound is the newest generation that matches its hash; damaged are the others that exist.
	var sound snapshot
	var damaged []snapshot
	for i, name := range slots {
		b, err := fsys.read(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		var snap snapshot
		if err == nil {
			snap, err = decode(b)
		}
		s.generation = max(s.generation, snap.generation)
		loaded.Epoch = max(loaded.Epoch, snap.epoch)
		switch {
		case err != nil:
			alarm("%s, generation %d, is damaged: %w", name, snap.generation, err)
			damaged = append(damaged, snap)
		case snap.generation > sound.generation:
			sound, s.slot = snap, i
		}
	}
	loaded.Records = sound.records
	loaded.Sections = maps.Clone(sound.sections)
	for _, snap := range damaged {
		if snap.generation < sound.generation {
			continue // what it held is in the newer one, or was forgotten since
		}
		alarm("falling back to generation %d and to %d records of a damaged one", sound.generation, len(snap.records))
		loaded.Records = append(loaded.Records, snap.records...)
		if loaded.Sections == nil {
			loaded.Sections = make(map[string][]byte)
		}
		maps.Copy(loaded.Sections, snap.sections)
	}

	loaded.Epoch = max(loaded.Epoch+1, uint64(max(now.Unix(), 0)))
	s.epoch = loaded.Epoch
	if err := s.Save(loaded.Records, loaded.Sections); err != nil {
		loaded.Alarms = append(loaded.Alarms, fmt.Errorf("%w: %w", ErrNotDurable, err))
	}
	return s, loaded
}

// Save makes records and sections the state that the next Open loads. They are durable when it returns nil; after
// an error the state saved before is still there, or this one, and Save may be tried again.
func (s *Store) Save(records []replication.Record, sections map[string][]byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return fmt.Errorf("data dir %s: %w", s.path, fs.ErrClosed)
	}
	next := snapshot{generation: s.generation + 1, epoch: s.epoch, records: records, sections: sections}
	b, err := next.encode()
	if err != nil {
		return fmt.Errorf("data dir %s: %w", s.path, err)
	}
	slot := 1 - s.slot
	if err := s.replace(slots[slot], b); err != nil {
		return fmt.Errorf("data dir %s: %w", s.path, classify(err))
	}
	s.generation, s.slot = next.generation, slot
	return nil
}

// replace gives a file a new content, durably and all at once.
func (s *Store) replace(name string, b []byte) error {
	f, err := s.fs.create(temporary)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = s.fs.rename(temporary, name)
	}
	if err != nil {
		_ = s.fs.remove(temporary) // gives a full disk its blocks back; a leftover is harmless
		return err
	}
	return s.fs.sync()
}

// Epoch returns the number of this boot.
func (s *Store) Epoch() uint64 { return s.epoch }

// Close unlocks the directory. Saves after it fail. A second Close does nothing.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	if s.lock == nil {
		return nil
	}
	return s.lock.Close()
}

func classify(err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("%w: %w", ErrFull, err)
	case errors.Is(err, syscall.EROFS), errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: %w", ErrReadOnly, err)
	}
	return err
}
