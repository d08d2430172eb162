package sim

import (
	"context"
	"sync"
)

// Hunt plays count generated scenarios, from a first seed on, with so many at a time, until ctx ends. Each result is
// given to report in the order of seeds, one at a time; false ends the hunt.
func Hunt(ctx context.Context, first uint64, count, workers int, shape Shape, report func(Scenario, Result) bool) {
	type game struct {
		Scenario
		Result
		done chan struct{}
	}
	ctx, stop := context.WithCancel(ctx)
	var busy sync.WaitGroup
	defer busy.Wait()
	defer stop()
	queue := make(chan *game, max(1, workers)) // holds back what is too far ahead of the report
	next := make(chan *game)
	go func() {
		defer close(queue)
		defer close(next)
		for i := range count {
			g := &game{Scenario: Generate(first+uint64(i), shape), done: make(chan struct{})}
			for _, c := range []chan *game{queue, next} {
				select {
				case c <- g:
				case <-ctx.Done():
					return
				}
			}
		}
	}()
	for range max(1, workers) {
		busy.Go(func() {
			for g := range next {
				g.Result = Run(g.Scenario, Options{StopAtFirst: true})
				close(g.done)
			}
		})
	}
	for g := range queue {
		select {
		case <-g.done:
		case <-ctx.Done():
			return
		}
		if !report(g.Scenario, g.Result) {
			return
		}
	}
}
