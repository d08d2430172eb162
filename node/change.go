package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/meridian-gtm/meridian/config"
	"github.com/meridian-gtm/meridian/control"
	"github.com/meridian-gtm/meridian/dnsserver/steer"
	"github.com/meridian-gtm/meridian/health"
	"github.com/meridian-gtm/meridian/replication"
	"github.com/meridian-gtm/meridian/replication/gossip"
)

const (
	ackWait    = 5 * time.Second
	ackWaitMax = time.Minute
)

// Apply implements control.Backend. A change is validated and previewed, refused when it would empty a pool, made
// durable here, and only then put in force and told to the others.
func (n *Node) Apply(ctx context.Context, c control.Change) (*control.Outcome, error) {
	if c.Ack == "" {
		c.Ack = control.AckMajority
	}
	if c.Ack != control.AckLocal && c.Ack != control.AckMajority && c.Ack != control.AckAll {
		return nil, fmt.Errorf("%w: ack %q: want local, majority or all", control.ErrInvalid, c.Ack)
	}
	if c.Wait == 0 {
		c.Wait = ackWait
	}
	if c.Wait < 0 || c.Wait > ackWaitMax {
		return nil, fmt.Errorf("%w: wait %v: want 0s..%v", control.ErrInvalid, c.Wait, ackWaitMax)
	}

	out, enforced, err := n.change(ctx, c)
	if err != nil || !out.Applied {
		return out, err
	}
	out.Nodes, out.Acked = n.awaitAck(ctx, c.Ack, c.Wait)
	if !out.SafeAfter.IsZero() {
		out.SafeAfter = out.SafeAfter.Add(time.Since(enforced)) // the last node may just have followed
	}
	return out, nil
}

// change previews c and makes it. One change is made at a time, so that what was previewed is what is made.
func (n *Node) change(ctx context.Context, c control.Change) (out *control.Outcome, enforced time.Time, err error) {
	if err := n.saving.take(ctx); err != nil {
		return nil, enforced, fmt.Errorf("nothing was changed: the disk is busy: %w", err)
	}
	defer n.saving.give()
	var record replication.Record
	err = n.call(ctx, func() (err error) {
		out, record, err = n.preview(c, time.Now())
		return err
	})
	if err != nil || out.Refused != "" || c.DryRun {
		return out, enforced, err
	}
	line := auditLine{Time: time.Now(), Node: n.name, Override: out.Override, Forced: c.Force}
	if err := n.audit.add(line); err != nil {
		n.saveSoon() // shows whether the disk is at fault
		return nil, enforced, fmt.Errorf("nothing was changed: %w", err)
	}
	if err := n.save(ctx, record); err != nil {
		n.saveSoon() // a save that failed at its end may have left the record on the disk
		line.Failed = err.Error()
		return nil, enforced, fmt.Errorf("nothing was changed: %w", errors.Join(err, n.audit.add(line)))
	}
	err = n.call(context.WithoutCancel(ctx), func() error {
		enforced = time.Now()
		return n.enforce(out, record, enforced)
	})
	if err != nil {
		return nil, enforced, fmt.Errorf("stored, but not in force: %w", err)
	}
	return out, enforced, nil
}

// preview validates c and says what it would do to every pool. The owner runs it.
func (n *Node) preview(c control.Change, now time.Time) (*control.Outcome, replication.Record, error) {
	o := c.Override
	if err := n.complete(&o, now); err != nil {
		return nil, replication.Record{}, fmt.Errorf("%w: %w", control.ErrInvalid, err)
	}
	n.compile(now) // so that what is compared differs by o alone
	with := n.current(now)
	inForce := with.overrides
	with.overrides = slices.DeleteFunc(slices.Clone(inForce), func(have replication.Override) bool { return have.Key() == o.Key() })
	if !o.Cleared {
		with.overrides = append(with.overrides, o)
	}
	after, err := steer.Compile(with.inputs(), n.plan)
	if err != nil {
		return nil, replication.Record{}, err
	}
	out := &control.Outcome{Override: o, Pools: poolChanges(n.plan.Pools(), after.Pools())}
	if after.Epoch() != n.plan.Epoch() {
		out.SafeAfter = n.safeAfter(o, now)
	}
	if !c.Force {
		out.Refused = cmp.Or(emptied(out.Pools), unfrozen(o, inForce))
	}
	version, err := n.store.nextVersion(now)
	if err != nil {
		return nil, replication.Record{}, err
	}
	record, err := replication.NewOverride(o, n.name, version)
	return out, record, err
}

// complete checks o against the configuration and fills in what the operator does not say.
func (n *Node) complete(o *replication.Override, now time.Time) error {
	o.Created = now.UnixMilli()
	if o.Cleared {
		// What was configured away may still be cleared.
		inForce := n.store.overrides(now)
		i := slices.IndexFunc(inForce, func(have replication.Override) bool { return have.Key() == o.Key() })
		if i < 0 {
			return fmt.Errorf("%s of site %s for %s service is not in force: nothing to clear", o.Action, o.Site, orAll(o.Service))
		}
		// The clearing carries what it clears, and is remembered as long.
		o.Percent, o.FrozenLevel, o.FrozenWeight = inForce[i].Percent, inForce[i].FrozenLevel, inForce[i].FrozenWeight
		o.Expires = inForce[i].Expires
		return o.Validate()
	}
	cfg := n.setup.config
	if !slices.ContainsFunc(cfg.Sites, func(s steer.Site) bool { return s.Name == o.Site }) {
		return fmt.Errorf("site %q: want one of %v", o.Site, siteNames(cfg.Sites))
	}
	known := func(s steer.Service) bool { return s.Name == o.Service }
	if o.Service != "" && !slices.ContainsFunc(cfg.Services, known) {
		return fmt.Errorf("service %q: want one of %v", o.Service, serviceNames(cfg.Services))
	}
	if o.Expires != 0 && o.Expires <= o.Created {
		return fmt.Errorf("expires: %v: want a time to come", time.UnixMilli(o.Expires).UTC().Format(time.RFC3339))
	}
	if o.Action == replication.Freeze {
		if err := n.frozen(o); err != nil {
			return err
		}
	}
	return o.Validate()
}

// frozen fills in the verdict that a freeze holds: one for all that the service, or every service, checks of the site.
// Where some of it is down and some is not, one verdict would make it all down, or all up.
func (n *Node) frozen(o *replication.Override) error {
	var all []health.Verdict
	var up, down []string
	for _, t := range n.setup.fleet.Targets {
		if t.Site != o.Site || !n.checked(o.Service, t.Check) {
			continue
		}
		v := n.decision.Verdicts[t]
		all = append(all, v)
		switch v.Level {
		case health.Unknown:
			return fmt.Errorf("%s has no verdict yet: there is nothing to freeze", t)
		case health.Down:
			down = append(down, t.String())
		default:
			up = append(up, t.String())
		}
	}
	if len(up) > 0 && len(down) > 0 {
		return fmt.Errorf("site %s stands divided, %v up and %v down: freeze it for one service, or drain or force it",
			o.Site, up, down)
	}
	v := health.Combine(all...)
	o.FrozenLevel, o.FrozenWeight = v.Level.String(), int(v.Weight)
	return nil
}

// checked says whether a service, "" = any, needs the check.
func (n *Node) checked(service, check string) bool {
	return slices.ContainsFunc(n.setup.config.Services, func(s steer.Service) bool {
		return (service == "" || s.Name == service) && slices.Contains(s.Checks, check)
	})
}

// enforce puts a durable override in force here and tells the others. The owner runs it.
func (n *Node) enforce(out *control.Outcome, r replication.Record, now time.Time) error {
	n.fault(partDisk, nil) // it has just been written
	if _, refused := n.store.merge([]replication.Record{r}, now); len(refused) > 0 {
		return errors.Join(refused...)
	}
	if !n.store.holds(r) {
		return fmt.Errorf("%s of %s: %w, and later", out.Override.Action, out.Override.Site, control.ErrSuperseded)
	}
	n.tell(r)
	n.noteOverride(out.Override, now)
	n.compile(now)
	n.publishApplied(now)
	if !out.SafeAfter.IsZero() {
		out.SafeAfter = n.safeAfter(out.Override, now)
	}
	out.Applied = true
	return nil
}

// noteOverride makes an event of an override that came into force or ended.
func (n *Node) noteOverride(o replication.Override, now time.Time) {
	verb := "set"
	if o.Cleared {
		verb = "cleared"
	}
	text := fmt.Sprintf("%s %s by %s on %s for %s service: %s", o.Action, verb, o.Who, o.Site, orAll(o.Service), o.Why)
	n.event(control.Event{Time: now, Kind: "override", Site: o.Site, Text: text})
	n.log.Info("override", "action", string(o.Action), "site", o.Site, "service", orAll(o.Service), "who", o.Who,
		"why", o.Why, "cleared", o.Cleared)
}

// awaitAck waits until the operators' decisions held here are held by as many nodes as level asks.
func (n *Node) awaitAck(ctx context.Context, level control.Ack, wait time.Duration) (acks []control.NodeAck, met bool) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	for {
		changed := n.changed.next()
		acks = n.acks()
		if enough(acks, level) {
			return acks, true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return acks, false
		case <-n.stopped:
			return acks, false
		}
	}
}

// acks compares every known node's overrides with ours. One that said goodbye is not waited for.
func (n *Node) acks() []control.NodeAck {
	want := n.store.overridesDigest()
	states := map[string]gossip.MemberState{}
	for _, m := range n.gossip.Members() {
		states[m.Name] = m.State
	}
	acks := []control.NodeAck{{Node: n.name, Applied: true, Alive: true}}
	for name, a := range n.store.appliedBy() {
		if name != n.name && states[name] != gossip.Left {
			acks = append(acks, control.NodeAck{Node: name, Applied: a.Overrides == want, Alive: states[name] == gossip.Alive})
		}
	}
	slices.SortFunc(acks, func(a, b control.NodeAck) int { return strings.Compare(a.Node, b.Node) })
	return acks
}

func enough(acks []control.NodeAck, level control.Ack) bool {
	applied := 0
	for _, a := range acks {
		if a.Applied {
			applied++
		}
	}
	switch level {
	case control.AckLocal:
		return true
	case control.AckAll:
		return applied == len(acks)
	default:
		return 2*applied > len(acks)
	}
}

// poolChanges pairs the pools of two plans of one configuration.
func poolChanges(before, after []steer.Pool) []control.PoolChange {
	out := []control.PoolChange{}
	for i, b := range before {
		a := after[i]
		if slices.Equal(b.Available, a.Available) && b.Capacity == a.Capacity {
			continue
		}
		out = append(out, control.PoolChange{
			Service: b.Service, Family: b.Family.String(),
			Before: append([]string{}, b.Available...), After: append([]string{}, a.Available...),
			CapacityBefore: b.Capacity, CapacityAfter: a.Capacity,
		})
	}
	return out
}

// emptied says which pools would lose their last available site; "" = none.
func emptied(changes []control.PoolChange) string {
	for _, c := range changes {
		if len(c.Before) > 0 && len(c.After) == 0 {
			return fmt.Sprintf("service %s would have no available %s site left (now: %v)", c.Service, c.Family, c.Before)
		}
	}
	return ""
}

// unfrozen says which override that keeps a site out of answers a freeze would lift; "" = none.
func unfrozen(o replication.Override, inForce []replication.Override) string {
	if o.Action != replication.Freeze || o.Cleared || o.FrozenLevel == health.Down.String() {
		return ""
	}
	for _, have := range inForce {
		keepsOut := have.Action == replication.Drain || have.Action == replication.Isolate
		if keepsOut && have.Site == o.Site && (have.Service == "" || o.Service == "" || have.Service == o.Service) {
			return fmt.Sprintf("a freeze stands above the %s of %s by %s for %s service and would have the site answered",
				have.Action, have.Site, have.Who, orAll(have.Service))
		}
	}
	return ""
}

// safeAfter is when the last answer that was given until now, to a name that o bears on, ends by its TTL. What was
// answered before this boot is not known, only that it ended with the services' greatest TTL.
func (n *Node) safeAfter(o replication.Override, now time.Time) time.Time {
	last := now
	note := func(end time.Time) {
		if end.After(last) {
			last = end
		}
	}
	for _, s := range n.setup.config.Services {
		if o.Service != "" && o.Service != s.Name || !slices.Contains(config.Sites(s.Policy), o.Site) {
			continue
		}
		note(n.started.Add(time.Duration(s.TTLMax) * time.Second))
		note(n.outdated[s.Name])
		for _, p := range n.plan.Pools() {
			if p.Service == s.Name {
				note(now.Add(time.Duration(p.TTL) * time.Second))
			}
		}
	}
	return last.UTC().Round(0)
}

func siteNames(sites []steer.Site) (names []string) {
	for _, s := range sites {
		names = append(names, s.Name)
	}
	return names
}

func serviceNames(services []steer.Service) (names []string) {
	for _, s := range services {
		names = append(names, s.Name)
	}
	return names
}

func orAll(service string) string {
	if service == "" {
		return "every"
	}
	return service
}
