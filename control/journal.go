package control

import "sync"

// journalSize is how many events are held for late readers.
const journalSize = 1024

// Journal holds the latest events and wakes readers. The zero value is ready; it is safe for concurrent use.
type Journal struct {
	mu     sync.Mutex
	events []Event // consecutive ids
	last   uint64
	more   chan struct{}
}

// Add appends an event and gives it the next id.
func (j *Journal) Add(e Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.last++
	e.ID = j.last
	if len(j.events) == journalSize {
		j.events = append(j.events[:0:0], j.events[journalSize/4:]...)
	}
	j.events = append(j.events, e)
	if j.more != nil {
		close(j.more)
		j.more = nil
	}
}

// After returns the events with ids above after and a channel that is closed when another one comes. reset is true
// when some in between are gone, or when after belongs to an earlier boot.
func (j *Journal) After(after uint64) (events []Event, more <-chan struct{}, reset bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.more == nil {
		j.more = make(chan struct{})
	}
	if after > j.last {
		after, reset = 0, true
	}
	first := j.last - uint64(len(j.events)) + 1
	if after+1 < first {
		reset = reset || after > 0
		after = first - 1
	}
	return append([]Event(nil), j.events[after+1-first:]...), j.more, reset
}
