package node

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/meridian-gtm/meridian/health"
	"github.com/meridian-gtm/meridian/replication"
)

// store is the node's copy of the replicated records. Gossip reads it from its own goroutines; only the owner merges.
type store struct {
	mu       sync.RWMutex
	state    replication.State
	evidence map[string]heard // by node
	applied  map[string]replication.Applied
	advanced map[string]time.Time // when a node's evidence or applied record last grew, on our monotonic clock

	began    time.Time                 // any moment of our monotonic clock
	received chan []replication.Record // from peers, for the owner
	closed   <-chan struct{}           // the owner has ended
}

// heard is the latest evidence of a node, decoded once.
type heard struct {
	health.Evidence
	at time.Time // when it came, on our monotonic clock
}

func newStore(closed <-chan struct{}) *store {
	return &store{
		evidence: map[string]heard{}, applied: map[string]replication.Applied{}, advanced: map[string]time.Time{},
		began: time.Now(), received: make(chan []replication.Record), closed: closed,
	}
}

// View implements gossip.Store.
func (s *store) View(f func(*replication.State)) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	f(&s.state)
}

// Deliver implements gossip.Store: the owner merges what peers sent, in its own time.
func (s *store) Deliver(records []replication.Record) {
	select {
	case s.received <- records:
	case <-s.closed:
	}
}

// merge folds records in and returns those that changed the state. What cannot be decoded is refused: a record that
// this node cannot read is worth nothing to the next one either.
func (s *store) merge(records []replication.Record, now time.Time) (changed []replication.Record, refused []error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range records {
		news, err := s.mergeOne(r, now)
		if err != nil {
			refused = append(refused, fmt.Errorf("%s: %w", r.Key, err))
		} else if news {
			held, _ := s.state.Get(r.Key) // of a decision made twice, that with the later expiry
			changed = append(changed, held)
		}
	}
	return changed, refused
}

func (s *store) mergeOne(r replication.Record, now time.Time) (changed bool, err error) {
	if s.state.Knows(r) {
		return false, nil
	}
	var evidence health.Evidence
	var applied replication.Applied
	writer := ""
	switch r.Kind {
	case replication.KindEvidence:
		evidence, err = health.DecodeEvidence(r.Body)
		writer = evidence.Node
	case replication.KindApplied:
		applied, err = replication.DecodeApplied(r.Body)
		writer = applied.Node
	}
	if err != nil {
		return false, err
	}
	if of := replication.NodeOf(r.Key); of != writer {
		return false, fmt.Errorf("body of node %q: want %q", writer, of)
	}
	outcome, err := s.state.Merge(r, now)
	if err != nil || outcome != replication.Changed {
		return false, err
	}
	switch r.Kind {
	case replication.KindEvidence:
		s.evidence[writer], s.advanced[writer] = heard{evidence, now}, now
	case replication.KindApplied:
		s.applied[writer], s.advanced[writer] = applied, now
	}
	return true, nil
}

// housekeep merges what was parked and is due, and forgets what has been over or silent for long.
func (s *store) housekeep(now time.Time) (released []replication.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	released = s.state.Release(now)
	gone := s.state.Collect(now, now.Sub(s.began), func(node string) time.Duration { return now.Sub(s.advanced[node]) })
	for _, key := range gone {
		node := replication.NodeOf(key)
		delete(s.evidence, node)
		delete(s.applied, node)
		delete(s.advanced, node)
	}
	return released
}

// observed returns all evidence with its silence.
func (s *store) observed(now time.Time) []health.Observed {
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := make([]health.Observed, 0, len(s.evidence))
	for _, h := range s.evidence {
		out = append(out, health.Observed{Evidence: h.Evidence, Silent: now.Sub(h.at)})
	}
	return out
}

// evidenceOf returns a node's evidence; ok is false when there is none.
func (s *store) evidenceOf(node string) (e health.Evidence, ok bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	h, ok := s.evidence[node]
	return h.Evidence, ok
}

// appliedBy returns what each node says about itself.
func (s *store) appliedBy() map[string]replication.Applied {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return maps.Clone(s.applied)
}

func (s *store) overrides(now time.Time) []replication.Override {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.state.Overrides(now)
}

// holds says whether r is what the state has for its key.
func (s *store) holds(r replication.Record) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	have, ok := s.state.Get(r.Key)
	return ok && have.Version == r.Version && have.Writer == r.Writer
}

func (s *store) nextVersion(wall time.Time) (replication.Version, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state.NextVersion(wall)
}

func (s *store) parked() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.state.Parked())
}

// durable returns the records that a restart must not lose: what operators did.
func (s *store) durable() []replication.Record {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var out []replication.Record
	for r := range s.state.All() {
		if r.Kind == replication.KindOverride {
			out = append(out, r)
		}
	}
	return out
}

// overridesDigest identifies the override records held, cleared ones included: nodes with equal digests hold the same
// operators' decisions.
func (s *store) overridesDigest() string {
	h := sha256.New()
	for _, r := range s.durable() {
		fmt.Fprintf(h, "%s %s %d %d\n", r.Key, r.Writer, r.Version.Major, r.Version.Minor)
	}
	return hex.EncodeToString(h.Sum(nil)[:6])
}
