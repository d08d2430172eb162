package world

import (
	"context"
	"errors"
)

// errKilled is the cause of a context whose owner is to die without a word.
var errKilled = errors.New("killed")

func killed(ctx context.Context) bool { return errors.Is(context.Cause(ctx), errKilled) }

// unit is a director or a replica: something that runs, can be killed, and can be started again. One goroutine
// starts and ends it.
type unit struct {
	name string
	run  func(ctx context.Context) // one life, until ctx ends

	end  context.CancelCauseFunc // nil = dead
	done chan struct{}
}

func (u *unit) alive() bool { return u.end != nil }

func (u *unit) start() {
	// Not a child of another context: what ends a unit, and how, is told to it alone.
	ctx, end := context.WithCancelCause(context.Background())
	u.end, u.done = end, make(chan struct{})
	go func() {
		defer close(u.done)
		u.run(ctx)
	}()
}

// kill ends the unit without a word; stop lets it take its leave. Both wait for its end.
func (u *unit) kill() { u.finish(errKilled) }
func (u *unit) stop() { u.finish(nil) }

func (u *unit) finish(cause error) {
	if u.end == nil {
		return
	}
	u.end(cause)
	<-u.done
	u.end, u.done = nil, nil
}
