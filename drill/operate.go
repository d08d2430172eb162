package drill

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/meridian-gtm/meridian/control"
	"github.com/meridian-gtm/meridian/replication"
)

// operateFor is when an override of a drill ends by itself.
const operateFor = 10 * time.Minute

// agreeWithin is how long the nodes may take to hold the same overrides.
const agreeWithin = 5 * time.Second

// operate does the operations of a step at once, each through another node.
func (r *run) operate(ctx context.Context, ops []Operation) error {
	if len(ops) == 0 {
		return nil
	}
	if r.operated {
		r.facts.Agreed = r.agreed(ctx)
	}
	var apis []*control.Client
	for _, n := range r.Fleet.Nodes {
		if n.API != nil {
			apis = append(apis, n.API)
		}
	}
	var group sync.WaitGroup
	faults := make([]error, len(ops))
	for i, op := range ops {
		o := replication.Override{
			Site: r.Target, Action: op.Action, Percent: op.Percent, Cleared: op.Cleared, Who: cmp.Or(r.Who, "drill"), Why: "drill " + r.Scenario.ID,
			Expires: time.Now().Add(operateFor).UnixMilli(),
		}
		if op.Cleared {
			o.Percent = 0
			r.set = slices.DeleteFunc(r.set, func(have replication.Override) bool { return have.Action == o.Action })
		} else {
			r.set = append(r.set, o)
		}
		group.Go(func() {
			out, err := apis[i%len(apis)].Apply(ctx, control.Change{Override: o, Ack: control.AckLocal})
			if err == nil && out.Refused != "" {
				err = errors.New(out.Refused)
			}
			// Of changes made at once all but one may learn that a later one won.
			if err != nil && !errors.Is(err, control.ErrSuperseded) {
				faults[i] = fmt.Errorf("override %s: %w", o.Action, err)
			}
		})
		r.say("override: %s", op.tell(r.Target))
	}
	group.Wait()
	r.operated = true
	return errors.Join(faults...)
}

// changeRefused tries to set an override that changes no answer through the target's nodes, and says that each
// refused.
func (r *run) changeRefused(ctx context.Context) bool {
	asked := false
	for _, n := range r.Fleet.Nodes {
		if n.Site != r.Target || n.API == nil {
			continue
		}
		o := replication.Override{
			Site: r.Target, Action: replication.Weight, Percent: 100, Who: cmp.Or(r.Who, "drill"), Why: "drill " + r.Scenario.ID,
			Expires: time.Now().Add(operateFor).UnixMilli(),
		}
		out, err := n.API.Apply(ctx, control.Change{Override: o, Ack: control.AckLocal})
		if err == nil && out.Applied {
			r.set = append(r.set, o)
			return false
		}
		if err != nil {
			r.say("%s refuses a change: %v", n.Name, err)
		}
		asked = true
	}
	return asked
}

// unset clears what operations have left.
func (r *run) unset(ctx context.Context) error {
	set := r.set
	r.set = nil
	var cleared []replication.Action
	var faults []error
	for _, o := range set {
		if slices.Contains(cleared, o.Action) {
			continue
		}
		cleared = append(cleared, o.Action)
		o.Cleared, o.Percent = true, 0
		if _, err := r.Fleet.api("").Apply(ctx, control.Change{Override: o, Ack: control.AckMajority}); err != nil {
			faults = append(faults, fmt.Errorf("clear %s of %s: %w: it ends by itself after %v", o.Action, o.Site, err, operateFor))
		}
	}
	return errors.Join(faults...)
}

// agreed waits until all nodes hold the same overrides.
func (r *run) agreed(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), agreeWithin)
	defer cancel()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		if sameOverrides(r.Fleet.statuses(ctx)) {
			return true
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return false
		}
	}
}

func sameOverrides(all []*control.Status) bool {
	var first []byte
	for _, s := range all {
		if s == nil {
			continue
		}
		b, err := json.Marshal(s.Override)
		if err != nil || first != nil && string(b) != string(first) {
			return false
		}
		first = b
	}
	return first != nil
}
