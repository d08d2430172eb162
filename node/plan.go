package node

import (
	"fmt"
	"slices"
	"time"

	"github.com/meridian-gtm/meridian/control"
	"github.com/meridian-gtm/meridian/dnsserver/steer"
	"github.com/meridian-gtm/meridian/dnsserver/wire"
	"github.com/meridian-gtm/meridian/dnsserver/zone"
	"github.com/meridian-gtm/meridian/geo"
	"github.com/meridian-gtm/meridian/health"
	"github.com/meridian-gtm/meridian/replication"
)

// compiled is what a plan is made of.
type compiled struct {
	setup     *setup
	world     *geo.World
	verdicts  map[health.Target]health.Verdict
	at        time.Time // when verdicts had the ages that they say
	overrides []replication.Override
}

// sameMoment is how far apart two sites may have gone down for their order to be of no account.
const sameMoment = 250 * time.Millisecond

// same says that a plan of b answers like one of c. Votes and reasons make no difference, and ages only where a site
// is down, since answers of last resort go by the order in which sites went.
func (c *compiled) same(b *compiled) bool {
	if c.setup != b.setup || c.world != b.world || !slices.Equal(c.overrides, b.overrides) {
		return false
	}
	for _, t := range c.setup.fleet.Targets {
		v, w := c.verdicts[t], b.verdicts[t]
		if v.Level != w.Level || v.Weight != w.Weight || v.TTL != w.TTL || !slices.Equal(v.AvoidRegions, w.AvoidRegions) {
			return false
		}
		if v.Level == health.Down && (b.at.Add(-w.Age).Sub(c.at.Add(-v.Age))).Abs() > sameMoment {
			return false
		}
	}
	return true
}

func (c *compiled) inputs() steer.Inputs {
	in := c.setup.inputs(c.world, c.verdicts)
	in.Overrides = c.overrides
	return in
}

// current is what a plan would be made of now.
func (n *Node) current(now time.Time) compiled {
	return compiled{n.setup, n.world, n.decision.Verdicts, now, n.store.overrides(now)}
}

// compile makes the plan of what is in force, and has queries answered from it when it differs. Only the owner calls
// it.
func (n *Node) compile(now time.Time) {
	c := n.current(now)
	if n.plan != nil && n.inputs.same(&c) {
		return
	}
	plan, err := steer.Compile(c.inputs(), n.plan)
	n.fault(partPlan, err)
	if err != nil {
		// The configuration was compiled when it was loaded; what else goes into a plan cannot be at fault.
		return
	}
	n.noteExpired(n.inputs.overrides, now)
	fresh := n.plan == nil || plan.Epoch() != n.plan.Epoch() || n.inputs.setup != c.setup
	if fresh && n.plan != nil {
		n.outdate(n.plan, now)
	}
	n.inputs, n.plan = c, plan
	if !fresh {
		return
	}
	n.dns.Store(&wire.Snapshot{Zones: c.setup.zones, Plan: plan})
	n.epoch = epochOf(plan, c.setup.zones)
	n.log.Debug("plan in force", "epoch", n.epoch)
	n.publishApplied(now)
	n.changed.wake()
}

// epochOf is the digest of everything that decides answers: nodes with equal epochs answer alike.
func epochOf(plan *steer.Plan, zones *zone.Set) string { return digest(plan.Epoch(), zones) }

// outdate notes how long answers of a plan that is being replaced may live.
func (n *Node) outdate(plan *steer.Plan, now time.Time) {
	for _, p := range plan.Pools() {
		if end := now.Add(time.Duration(p.TTL) * time.Second); end.After(n.outdated[p.Service]) {
			n.outdated[p.Service] = end
		}
	}
}

// noteExpired makes events of the overrides that have ended by time alone.
func (n *Node) noteExpired(before []replication.Override, now time.Time) {
	for _, o := range before {
		if o.Expires != 0 && now.UnixMilli() >= o.Expires {
			text := fmt.Sprintf("%s of %s for %s service by %s has expired: %s", o.Action, o.Site, orAll(o.Service), o.Who, o.Why)
			n.event(control.Event{Time: now, Kind: "override", Site: o.Site, Text: text})
			n.log.Info("override has expired", "action", string(o.Action), "site", o.Site, "service", orAll(o.Service))
		}
	}
}
