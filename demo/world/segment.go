package world

import "sync"

// segment is the link that the directors of a site share: what one sends, all others hear. Adverts to a member that
// does not keep up are lost, as on a wire.
type segment struct {
	mu      sync.Mutex
	members map[string]chan advert
}

func newSegment() *segment { return &segment{members: map[string]chan advert{}} }

// join adds a member until leave is called.
func (s *segment) join(name string) (hear <-chan advert, leave func()) {
	c := make(chan advert, 16)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.members[name] = c
	return c, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.members[name] == c {
			delete(s.members, name)
		}
	}
}

func (s *segment) send(a advert) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, c := range s.members {
		if name == a.from {
			continue
		}
		select {
		case c <- a:
		default:
		}
	}
}
