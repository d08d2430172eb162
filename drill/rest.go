package drill

import (
	"context"
	"fmt"
	"time"
)

// resting is how long a fleet is left alone between two drills: what has fallen lately is held down longer.
var resting = Paced{10 * time.Minute, 15 * time.Second}

// Rest waits until the nodes of a fleet agree that all is well, and then for as long as their memory of the last
// drill takes to fade.
func Rest(ctx context.Context, f Fleet, p Pace) error {
	deadline := time.Now().Add(untilRestore.At(p))
	ticker := time.NewTicker(200 * time.Millisecond)
	defer ticker.Stop()
	for {
		why := []string{"no node answers"}
		for i, s := range f.statuses(ctx) {
			if s == nil {
				continue
			}
			if more := unsteady(s); i == 0 || len(more) > 0 {
				why = more
			}
			if len(why) > 0 {
				break
			}
		}
		if len(why) == 0 {
			break
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("fleet not well within %v: %s", untilRestore.At(p), why[0])
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	select {
	case <-time.After(resting.At(p)):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
