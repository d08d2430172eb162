package disk

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"testing"
	"time"
)

// lossyFS is a directory in memory that fails or loses power at a chosen step. What is written but not synced, and
// what is renamed in a directory not synced, may or may not be there after the loss: afterLoss gives every case.
type lossyFS struct {
	names   map[string]*inode // as a running process sees them
	durable map[string]*inode // as of the last directory sync
	pending []func(map[string]*inode)

	step   int
	faulty int // step that goes wrong; -1 = none
	dead   bool
	loss   bool // the faulty step loses power instead of failing alone
}

type inode struct {
	data   []byte
	synced []byte
}

var errInjected = errors.New("injected fault")

func newLossyFS() *lossyFS {
	return &lossyFS{names: map[string]*inode{}, durable: map[string]*inode{}, faulty: -1}
}

// goes reports whether the next step takes effect.
func (l *lossyFS) goes() bool {
	if l.dead {
		return false
	}
	bad := l.step == l.faulty
	l.step++
	if bad && l.loss {
		l.dead = true
	}
	return !bad
}

func (l *lossyFS) change(f func(map[string]*inode)) {
	f(l.names)
	l.pending = append(l.pending, f)
}

func (l *lossyFS) read(name string) ([]byte, error) {
	n, ok := l.names[name]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return bytes.Clone(n.data), nil
}

func (l *lossyFS) create(name string) (file, error) {
	if !l.goes() {
		return nil, errInjected
	}
	n := l.names[name]
	if n == nil {
		n = &inode{}
		l.change(func(m map[string]*inode) { m[name] = n })
	}
	n.data = nil
	return &lossyFile{l, n}, nil
}

func (l *lossyFS) rename(from, to string) error {
	if !l.goes() {
		return errInjected
	}
	n := l.names[from]
	l.change(func(m map[string]*inode) {
		m[to] = n
		delete(m, from)
	})
	return nil
}

func (l *lossyFS) remove(name string) error {
	if l.dead {
		return errInjected
	}
	l.change(func(m map[string]*inode) { delete(m, name) })
	return nil
}

func (l *lossyFS) sync() error {
	if !l.goes() {
		return errInjected
	}
	l.durable, l.pending = maps.Clone(l.names), nil
	return nil
}

type lossyFile struct {
	l *lossyFS
	n *inode
}

func (f *lossyFile) Write(b []byte) (int, error) {
	if !f.l.goes() {
		f.n.data = append(f.n.data, b[:len(b)/2]...)
		return len(b) / 2, errInjected
	}
	f.n.data = append(f.n.data, b...)
	return len(b), nil
}

func (f *lossyFile) Sync() error {
	if !f.l.goes() {
		return errInjected
	}
	f.n.synced = bytes.Clone(f.n.data)
	return nil
}

func (f *lossyFile) Close() error {
	if !f.l.goes() {
		return errInjected
	}
	return nil
}

// afterLoss returns every directory that may be found after a power loss now: any of the unsynced name changes done
// or not, and of unsynced contents nothing, a part, zeros or all.
func (l *lossyFS) afterLoss() []*lossyFS {
	var out []*lossyFS
	for subset := range 1 << len(l.pending) {
		names := maps.Clone(l.durable)
		for i, change := range l.pending {
			if subset&(1<<i) != 0 {
				change(names)
			}
		}
		for torn := range 4 {
			found := newLossyFS()
			for name, n := range names {
				data := n.data
				if !bytes.Equal(n.data, n.synced) {
					data = [][]byte{nil, n.data[:len(n.data)/2], make([]byte, len(n.data)), n.data}[torn]
				}
				data = bytes.Clone(data)
				found.names[name] = &inode{data: data, synced: bytes.Clone(data)}
			}
			found.durable = maps.Clone(found.names)
			out = append(out, found)
		}
	}
	return out
}

// Every step of a save fails once, and loses power once. Always the state before or the one after is found whole
// and without alarm, the one after if its save returned nil, and the next save works.
func TestSaveSurvivesEveryFault(t *testing.T) {
	boot := time.Unix(1_800_000_000, 0)
	before, wanted, later := records(t, 1, 3), records(t, 2, 5), records(t, 3, 1)
	const steps = 6 // create, write, sync, close, rename, directory sync
	cases := 0
	for _, saves := range []int{1, 2, 3} { // which of the two files comes next, and first use
		for _, loss := range []bool{false, true} {
			for fault := -1; fault < steps; fault++ {
				name := fmt.Sprintf("after %d saves, fault at step %d, power loss %v", saves, fault, loss)
				l := newLossyFS()
				s, loaded := open("d", l, boot)
				if len(loaded.Alarms) > 0 {
					t.Fatal(loaded.Alarms)
				}
				for range saves {
					if err := s.Save(before, section("before")); err != nil {
						t.Fatal(err)
					}
				}
				start := l.step
				if fault >= 0 {
					l.faulty, l.loss = start+fault, loss
				}
				err := s.Save(wanted, section("wanted"))
				if (fault >= 0) != (err != nil) {
					t.Fatalf("%s: save returned %v", name, err)
				}
				if fault < 0 && l.step-start != steps {
					t.Fatalf("a save has %d steps: want %d", l.step-start, steps)
				}

				found := l.afterLoss()
				if !loss {
					l.faulty = -1
					found = append(found, l) // the process was restarted, the machine was not
				}
				for _, f := range found {
					cases++
					s2, loaded := open("d", f, boot)
					if len(loaded.Alarms) > 0 {
						t.Fatalf("%s: %v", name, loaded.Alarms)
					}
					got := summary(loaded)
					if got != summary(Loaded{Records: wanted, Sections: section("wanted")}) &&
						(err == nil || got != summary(Loaded{Records: before, Sections: section("before")})) {
						t.Fatalf("%s: found %s", name, got)
					}
					if loaded.Epoch <= s.Epoch() {
						t.Fatalf("%s: epoch %d after %d", name, loaded.Epoch, s.Epoch())
					}
					if err := s2.Save(later, nil); err != nil {
						t.Fatalf("%s: next save: %v", name, err)
					}
					for _, again := range f.afterLoss() {
						if _, loaded := open("d", again, boot); summary(loaded) != summary(Loaded{Records: later}) {
							t.Fatalf("%s: next save was lost: %s", name, summary(loaded))
						}
					}
				}
			}
		}
	}
	t.Logf("%d directories found after a fault", cases)
}

// After a failed save the same process saves again, whatever step had failed, and that one is durable.
func TestSaveAgainAfterFault(t *testing.T) {
	for fault := range 6 {
		l := newLossyFS()
		s, _ := open("d", l, time.Unix(1_800_000_000, 0))
		l.faulty = l.step + fault
		if err := s.Save(records(t, 1, 2), nil); !errors.Is(err, errInjected) {
			t.Fatalf("fault at step %d: got %v", fault, err)
		}
		if err := s.Save(records(t, 2, 4), nil); err != nil {
			t.Fatalf("after a fault at step %d: %v", fault, err)
		}
		for _, found := range l.afterLoss() {
			if _, loaded := open("d", found, time.Now()); summary(loaded) != summary(Loaded{Records: records(t, 2, 4)}) {
				t.Errorf("after a fault at step %d: found %s", fault, summary(loaded))
			}
		}
	}
}

// A boot whose epoch cannot be written serves, says so, and does not disturb what is there.
func TestOpenWithoutWriting(t *testing.T) {
	l := newLossyFS()
	s, _ := open("d", l, time.Unix(5, 0))
	if err := s.Save(records(t, 1, 2), nil); err != nil {
		t.Fatal(err)
	}
	for fault := range 5 { // a failed directory sync, step 5, leaves the new state in place
		l.faulty = l.step + fault
		_, loaded := open("d", l, time.Unix(5, 0))
		if !slices.ContainsFunc(loaded.Alarms, func(err error) bool { return errors.Is(err, ErrNotDurable) }) {
			t.Errorf("fault at step %d: alarms %v", fault, loaded.Alarms)
		}
		if loaded.Epoch != s.Epoch()+1 || len(loaded.Records) != 2 {
			t.Errorf("fault at step %d: epoch %d, %d records", fault, loaded.Epoch, len(loaded.Records))
		}
	}
}
