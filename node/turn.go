package node

import "context"

// turn is a lock that one can give up waiting for: who writes the disk holds it, and a disk may hang. Make it with
// newTurn.
type turn chan struct{}

func newTurn() turn { return make(turn, 1) }

// take waits for the turn; with an error it was not taken.
func (t turn) take(ctx context.Context) error {
	select {
	case t <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (t turn) give() { <-t }
