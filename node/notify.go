package node

import "sync"

// notifier wakes everybody who waits for the next change. The zero value is ready.
type notifier struct {
	mu sync.Mutex
	ch chan struct{}
}

// next returns a channel that is closed by the next wake.
func (n *notifier) next() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ch == nil {
		n.ch = make(chan struct{})
	}
	return n.ch
}

func (n *notifier) wake() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ch != nil {
		close(n.ch)
		n.ch = nil
	}
}
