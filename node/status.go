package node

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/meridian-gtm/meridian/control"
	"github.com/meridian-gtm/meridian/dnsserver/steer"
	"github.com/meridian-gtm/meridian/health"
	"github.com/meridian-gtm/meridian/replication"
	"github.com/meridian-gtm/meridian/replication/gossip"
)

// Status implements control.Backend.
func (n *Node) Status(ctx context.Context) (*control.Status, error) {
	var s *control.Status
	err := n.call(ctx, func() error {
		s = n.status(time.Now())
		return nil
	})
	return s, err
}

// Events implements control.Backend.
func (n *Node) Events(after uint64) ([]control.Event, <-chan struct{}, bool) {
	return n.journal.After(after)
}

// status is run by the owner.
func (n *Node) status(now time.Time) *control.Status {
	s := &control.Status{
		Node: n.name, Datacenter: n.datacenter, Version: n.version, Started: n.started, BootEpoch: n.bootEpoch,
		Mode: string(n.decision.Mode), Epoch: n.epoch,
		Config: control.ConfigStatus{
			File: n.opts.ConfigFile, Hash: n.setup.hash, Loaded: n.setup.loaded, LastError: n.faults[partReload],
			Zones: []control.Zone{}, Geo: n.geoInfo.String(), GeoError: n.faults[partGeo],
		},
		Services: []control.ServiceStatus{}, Override: n.store.overrides(now), Alarms: []string{},
	}
	for _, a := range n.alarms(now) {
		s.Alarms = append(s.Alarms, a.Text)
	}
	if s.Override == nil {
		s.Override = []replication.Override{}
	}
	for _, z := range n.setup.zones.Zones() {
		s.Config.Zones = append(s.Config.Zones, control.Zone{Origin: z.Origin(), Serial: z.Serial(), Digest: z.Digest()})
	}
	for _, p := range n.plan.Pools() {
		s.Services = append(s.Services, control.ServiceStatus{
			Service: p.Service, Family: p.Family.String(), Available: append([]string{}, p.Available...), Total: p.Total,
			Capacity: p.Capacity, CapacityTotal: p.CapacityTotal, AllDown: p.AllDown,
		})
	}
	observed := n.store.observed(now)
	slices.SortFunc(observed, func(a, b health.Observed) int { return strings.Compare(a.Evidence.Node, b.Evidence.Node) })
	for _, site := range n.setup.config.Sites {
		s.Sites = append(s.Sites, n.siteStatus(site, observed, s.Override))
	}
	s.Members = n.members(now)
	s.Summary = summarise(s)
	return s
}

func (n *Node) siteStatus(site steer.Site, observed []health.Observed, overrides []replication.Override) control.SiteStatus {
	v := n.siteVerdict(site.Name)
	out := control.SiteStatus{
		Site: site.Name, Datacenter: site.Datacenter, V4: site.V4, V6: site.V6, Capacity: site.Capacity, Level: v.Level, Weight: v.Weight,
		Targets: []steer.TargetVerdict{}, Observers: []control.ObserverOpinion{},
	}
	for _, t := range n.setup.fleet.Targets {
		if t.Site == site.Name {
			out.Targets = append(out.Targets, steer.TargetVerdict{Target: t, Verdict: n.decision.Verdicts[t]})
		}
	}
	for _, o := range observed {
		for _, e := range o.Evidence.Targets {
			if e.Target.Site == site.Name {
				out.Observers = append(out.Observers, control.ObserverOpinion{
					Node: o.Evidence.Node, Datacenter: o.Evidence.Datacenter, Target: e.Target, State: e.State.String(),
					Age: e.Age + o.Silent, Silent: o.Silent, RTT: e.RTT, Reason: e.Reason,
				})
			}
		}
	}
	for _, o := range overrides {
		if o.Site == site.Name {
			out.Overrides = append(out.Overrides, o)
		}
	}
	return out
}

// siteVerdict combines the verdicts on all targets of a site. A site that nothing checks is up.
func (n *Node) siteVerdict(site string) health.Verdict {
	var all []health.Verdict
	for _, t := range n.setup.fleet.Targets {
		if t.Site == site {
			all = append(all, n.decision.Verdicts[t])
		}
	}
	if len(all) == 0 {
		return health.Verdict{Level: health.Up, Weight: health.FullWeight, Reason: "no checks"}
	}
	return health.Combine(all...)
}

func (n *Node) members(now time.Time) []control.Member {
	byName := map[string]*control.Member{}
	member := func(name string) *control.Member {
		if byName[name] == nil {
			byName[name] = &control.Member{Node: name, State: "unknown", Self: name == n.name}
		}
		return byName[name]
	}
	member(n.name).State = "alive"
	for _, m := range n.gossip.Members() {
		c := member(m.Name)
		c.Datacenter, c.Address, c.State = m.Datacenter, m.Addr.String(), string(m.State)
	}
	for name, a := range n.store.appliedBy() {
		c := member(name)
		c.Datacenter, c.Epoch, c.ConfigHash, c.Mode, c.Overrides = a.Datacenter, a.PlanEpoch, a.ConfigHash, a.Mode, a.Overrides
		c.Version, c.DNS = a.Version, a.DNS
		c.ClockSkew = n.skew[name]
	}
	for _, o := range n.view.Observers {
		m := member(o.Node)
		m.Heard, m.Silent, m.Datacenter = o.Silent < n.setup.fleet.Policy.Stale, o.Silent, o.Datacenter
	}
	out := make([]control.Member, 0, len(byName))
	for _, m := range byName {
		out = append(out, *m)
	}
	slices.SortFunc(out, func(a, b control.Member) int { return strings.Compare(a.Node, b.Node) })
	return out
}

// summarise says in one sentence what someone who was just woken up wants to know first.
func summarise(s *control.Status) string {
	var troubled, drained []string
	for _, site := range s.Sites {
		if site.Level != health.Up {
			troubled = append(troubled, fmt.Sprintf("%s is %s", site.Site, site.Level))
		}
		for _, o := range site.Overrides {
			drained = append(drained, fmt.Sprintf("%s has %s", site.Site, o.Action))
		}
	}
	agree, members := 0, 0
	for _, m := range s.Members {
		if m.State != string(gossip.Left) {
			members++
		}
		if m.Heard && m.Epoch == s.Epoch {
			agree++
		}
	}
	state := fmt.Sprintf("all %d sites up", len(s.Sites))
	if len(troubled) > 0 {
		state = strings.Join(troubled, ", ")
	}
	if len(drained) > 0 {
		state += "; " + strings.Join(drained, ", ")
	}
	for _, svc := range s.Services {
		if svc.AllDown {
			state += fmt.Sprintf("; service %s %s: nothing available, the all-down policy answers", svc.Service, svc.Family)
		}
	}
	return fmt.Sprintf("%s; %d of %d nodes answer alike", state, agree, members)
}
