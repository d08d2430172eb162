package replication

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"
)

// State is one node's copy of the replicated records. The zero State is empty and ready for use. It is not safe for
// concurrent use: its owner holds a lock or owns a goroutine.
type State struct {
	keys   []string // of held, sorted
	held   map[string]held
	parked map[string][]Record // by key, the earliest first
	buried map[string]Version  // evidence and applied records that Collect forgot
	digest Digest
	clock  Clock
	room   []byte // for sums
}

type held struct {
	record   Record
	sum      uint64
	override Override      // what the body of an override says
	over     bool          // past its horizon, as the last Collect saw it
	since    time.Duration // of which Collect on, by its clock that only goes on
}

// maxParked bounds what records from the future may occupy, and maxParkedOfKey those of one key. One that does not fit comes
// again by anti-entropy.
const (
	maxParked      = 1024
	maxParkedOfKey = 8
)

// Outcome is what became of a record that was offered to a State.
type Outcome uint8

// The outcomes of a merge.
const (
	Unchanged Outcome = iota // already known, or older than what is known
	Changed                  // the state is different now: pass the record on, and act on it
	Parked                   // kept aside until the local clock comes near; see [State.Release]
	Refused                  // the error says why
)

// ErrFull is wrapped by Merge when a new key would exceed [MaxRecords].
var ErrFull = errors.New("state is full")

// Merge folds r in. Of two records with one key the later version wins, then the greater writer name, then the
// greater body; the expiry kept is the later of both, so that nothing is forgotten before what it superseded. The
// result depends on the set of records merged only, not on their order or repetition, as long as now lets all of
// them in. An error comes with Refused and with no other outcome.
func (s *State) Merge(r Record, now time.Time) (Outcome, error) {
	o, err := check(r)
	switch {
	case err != nil:
		return Refused, err
	case pastHorizon(r, now):
		return Refused, fmt.Errorf("record %q: expired %s: %w", r.Key, formatMS(r.Expires), ErrPastHorizon)
	case fromFuture(r, now):
		return s.park(r), nil
	}
	old, known := s.held[r.Key]
	next := held{record: r, override: o}
	if known {
		next.record = join(old.record, r)
		if same(next.record, old.record) {
			return Unchanged, nil
		}
		if compare(old.record, r) > 0 { // only the expiry grew
			next.override = old.override
		}
	} else {
		if v, ok := s.buried[r.Key]; ok && r.Version.Compare(v) <= 0 {
			return Unchanged, nil
		}
		if len(s.keys) >= MaxRecords {
			return Refused, fmt.Errorf("record %q: %d keys held: %w", r.Key, len(s.keys), ErrFull)
		}
	}
	next.sum, s.room = next.record.sum(s.room)
	if known {
		s.digest.toggle(r.Key, old.sum)
	} else {
		at, _ := slices.BinarySearch(s.keys, r.Key)
		s.keys = slices.Insert(s.keys, at, r.Key)
		delete(s.buried, r.Key)
	}
	if s.held == nil {
		s.held = make(map[string]held)
	}
	s.held[r.Key] = next
	s.digest.toggle(r.Key, next.sum)
	if r.Kind == KindOverride {
		s.clock.Observe(next.record.Version, now)
	}
	return Changed, nil
}

// park keeps the earliest records of a key, because they are the first that can be merged. The latest alone would not do:
// it may be centuries ahead. The earliest alone would not either: what a node with a clock ahead was told to set and then to
// clear is nowhere else when that node starts again with a clock that is right.
func (s *State) park(r Record) Outcome {
	waiting := s.parked[r.Key]
	at, known := slices.BinarySearchFunc(waiting, r, compare)
	if known || at == maxParkedOfKey {
		return Parked
	}
	if len(waiting) == maxParkedOfKey {
		waiting = waiting[:len(waiting)-1]
	} else if s.waiting() >= maxParked {
		return Parked
	}
	if s.parked == nil {
		s.parked = make(map[string][]Record)
	}
	s.parked[r.Key] = slices.Insert(waiting, at, r)
	return Parked
}

// waiting is the number of parked records.
func (s *State) waiting() (n int) {
	for _, of := range s.parked {
		n += len(of)
	}
	return n
}

// Release merges the parked records whose time has come, and returns those that changed the state, in key order and, of one
// key, in that of their versions.
func (s *State) Release(now time.Time) []Record {
	var due []Record
	for key, waiting := range s.parked {
		n := 0
		for n < len(waiting) && !fromFuture(waiting[n], now) {
			n++
		}
		due = append(due, waiting[:n]...)
		if n == len(waiting) {
			delete(s.parked, key)
		} else {
			s.parked[key] = waiting[n:]
		}
	}
	sortByKey(due)
	var changed []Record
	for _, r := range due {
		if outcome, _ := s.Merge(r, now); outcome == Changed {
			changed = append(changed, s.held[r.Key].record)
		}
	}
	return changed
}

// Parked returns the records that wait for their time, in key order, for people to see.
func (s *State) Parked() []Record {
	out := make([]Record, 0, s.waiting())
	for _, waiting := range s.parked {
		out = append(out, waiting...)
	}
	sortByKey(out)
	return out
}

// sortByKey leaves records of one key in their order.
func sortByKey(records []Record) {
	slices.SortStableFunc(records, func(a, b Record) int { return strings.Compare(a.Key, b.Key) })
}

// Collect forgets overrides past their horizon and the evidence and applied records of nodes that have been silent
// for at least [GoneAfter], and returns the forgotten keys, sorted. now is the wall clock, up the caller's monotonic
// clock, and silent says how long ago by that clock a node's evidence or applied record last advanced. What a gone node
// said comes back only with a newer version: the old one, still held elsewhere, does not. An override must have been past
// its horizon at every call for GoneAfter: a wall clock that is far ahead for a while, and however it gets there, costs
// nothing that an operator did.
func (s *State) Collect(now time.Time, up time.Duration, silent func(node string) time.Duration) []string {
	var gone []string
	for _, key := range s.keys {
		h := s.held[key]
		if node := NodeOf(key); node != "" {
			if silent(node) < GoneAfter {
				continue
			}
			if len(s.buried) >= MaxRecords {
				clear(s.buried)
			}
			if s.buried == nil {
				s.buried = make(map[string]Version)
			}
			s.buried[key] = h.record.Version
		} else if !s.longOver(h, now, up) {
			continue
		}
		s.digest.toggle(key, h.sum)
		delete(s.held, key)
		gone = append(gone, key)
	}
	s.keys = slices.DeleteFunc(s.keys, func(key string) bool { _, ok := s.held[key]; return !ok })
	return gone
}

// longOver says whether a record has been past its horizon for [GoneAfter], and notes when that began.
func (s *State) longOver(h held, now time.Time, up time.Duration) bool {
	if over := pastHorizon(h.record, now); over != h.over {
		h.over, h.since = over, up
		s.held[h.record.Key] = h
	}
	return h.over && up-h.since >= GoneAfter
}

// NextVersion returns a version for an override made here at wall, later than that of every override merged so far.
// It fails when the wall clock was set back by more than [MaxFuture].
func (s *State) NextVersion(wall time.Time) (Version, error) { return s.clock.Now(wall) }

// Len is the number of records held.
func (s *State) Len() int { return len(s.keys) }

// Get returns the record of a key.
func (s *State) Get(key string) (Record, bool) {
	h, ok := s.held[key]
	return h.record, ok
}

// All yields the records in key order. The state must not change meanwhile.
func (s *State) All() iter.Seq[Record] {
	return func(yield func(Record) bool) {
		for _, key := range s.keys {
			if !yield(s.held[key].record) {
				return
			}
		}
	}
}

// Knows reports whether merging r would change nothing. It spares the work for what gossip repeats.
func (s *State) Knows(r Record) bool {
	if h, ok := s.held[r.Key]; ok {
		return compare(r, h.record) <= 0 && laterExpiry(r.Expires, h.record.Expires) == h.record.Expires
	}
	v, ok := s.buried[r.Key]
	return ok && r.Version.Compare(v) <= 0
}

// Records returns the records of those keys that are held, in the order asked.
func (s *State) Records(keys []string) []Record {
	var out []Record
	for _, key := range keys {
		if h, ok := s.held[key]; ok {
			out = append(out, h.record)
		}
	}
	return out
}

// Overrides returns the overrides in force at now, in key order. A cleared or expired override is never among them,
// whatever is merged later, unless an operator made it anew.
func (s *State) Overrides(now time.Time) []Override {
	var out []Override
	first, _ := slices.BinarySearch(s.keys, overridePrefix)
	for _, key := range s.keys[first:] { // no other kind's keys sort behind
		if h := s.held[key]; h.record.Kind == KindOverride && h.override.InForce(now) {
			out = append(out, h.override)
		}
	}
	return out
}

// NextExpiry returns when the first of the overrides in force at now ends by itself, in unix milliseconds, or 0 when
// none does: the moment at which [State.Overrides] changes without a merge.
func (s *State) NextExpiry(now time.Time) int64 {
	var next int64
	for _, o := range s.Overrides(now) {
		if o.Expires != 0 && (next == 0 || o.Expires < next) {
			next = o.Expires
		}
	}
	return next
}

// join is the least upper bound of two records of one key.
func join(a, b Record) Record {
	winner := a
	if compare(b, a) > 0 {
		winner = b
	}
	winner.Expires = laterExpiry(a.Expires, b.Expires)
	return winner
}

// laterExpiry returns the later of two expiries, where 0 is never.
func laterExpiry(a, b int64) int64 {
	if a == 0 || b == 0 {
		return 0
	}
	return max(a, b)
}

// compare is the total order of the records of one key: equal versions by one writer with different bodies cannot
// come from a sound node, but must not keep two sound nodes apart.
func compare(a, b Record) int {
	if c := a.Version.Compare(b.Version); c != 0 {
		return c
	}
	if c := strings.Compare(a.Writer, b.Writer); c != 0 {
		return c
	}
	return bytes.Compare(a.Body, b.Body)
}

func same(a, b Record) bool { return compare(a, b) == 0 && a.Expires == b.Expires }
