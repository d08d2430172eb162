package drill

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/meridian-gtm/meridian/control"
	"github.com/meridian-gtm/meridian/health"
	"github.com/meridian-gtm/meridian/replication"
)

// Plan is what a drill is going to do, and what speaks against it.
type Plan struct {
	Drill    string        `json:"drill"`
	Title    string        `json:"title"`
	World    string        `json:"world"`
	Target   string        `json:"target"`
	Pace     Pace          `json:"pace"`
	Does     []string      `json:"does"`     // step by step, for people
	Breaks   []string      `json:"breaks"`   // sites that clients will notice
	Pools    []PoolPreview `json:"pools"`    // what is left of the services that change
	Refusals []string      `json:"refusals"` // interlocks that do not hold; empty = it may run
}

// PoolPreview is a service's pool before and while the sites are broken.
type PoolPreview struct {
	Service        string   `json:"service"`
	Family         string   `json:"family"`
	Before         []string `json:"before"`
	After          []string `json:"after"`
	CapacityBefore uint64   `json:"capacity_before"`
	CapacityAfter  uint64   `json:"capacity_after"`
}

// preview makes the plan of a drill. It changes nothing.
func preview(ctx context.Context, o Options) (*Plan, []Site, error) {
	p := &Plan{
		Drill: o.Scenario.ID, Title: o.Scenario.Title, World: o.World.Name(), Target: o.Target, Pace: o.Pace,
		Does: []string{}, Pools: []PoolPreview{}, Refusals: []string{},
	}
	if missing := o.Scenario.Missing(o.World.Can()); len(missing) > 0 {
		return nil, nil, fmt.Errorf("drill %s: the world %s cannot make %v", o.Scenario.ID, o.World.Name(), missing)
	}
	status, err := o.Fleet.api(o.Target).Status(ctx)
	if err != nil {
		return nil, nil, err
	}
	names, sites := sitesOf(status)
	if !slices.Contains(names, o.Target) {
		return nil, nil, fmt.Errorf("site %q: want one of %s", o.Target, strings.Join(names, ", "))
	}
	p.Breaks = o.Scenario.broken(o.Target, names)
	p.Does = o.Scenario.tell(o.Target, names, o.Pace)
	for _, all := range o.Fleet.statuses(ctx) {
		if all != nil {
			p.Refusals = append(p.Refusals, unsteady(all)...)
		}
	}
	p.Refusals = append(p.Refusals, quorum(o.Scenario, o.Target, names, status)...)
	if len(p.Breaks) == 1 {
		out, err := o.Fleet.api(o.Target).Apply(ctx, control.Change{DryRun: true, Override: replication.Override{
			Site: p.Breaks[0], Action: replication.Drain, Who: "drill", Why: "preview of drill " + o.Scenario.ID,
		}})
		if err != nil {
			return nil, nil, fmt.Errorf("preview: %w", err)
		}
		if out.Refused != "" {
			p.Refusals = append(p.Refusals, out.Refused)
		}
	}
	p.Pools = without(p.Breaks, status, sites)
	for _, pool := range p.Pools {
		p.Refusals = append(p.Refusals, pool.refusal()...)
	}
	slices.Sort(p.Refusals)
	p.Refusals = slices.Compact(p.Refusals)
	return p, sites, nil
}

// sitesOf lists the sites that a node knows, sorted by name, with the capacity that services state for them.
func sitesOf(s *control.Status) (names []string, sites []Site) {
	for _, site := range s.Sites {
		names = append(names, site.Site)
	}
	slices.Sort(names)
	for _, site := range s.Sites {
		sites = append(sites, Site{Name: site.Site, Capacity: uint64(site.Capacity)})
	}
	return names, sites
}

// unsteady says what is not as it should be before something is broken on purpose.
func unsteady(s *control.Status) (why []string) {
	if s.Mode != string(health.ModeNormal) {
		why = append(why, fmt.Sprintf("node %s is in mode %s: want %s", s.Node, s.Mode, health.ModeNormal))
	}
	for _, site := range s.Sites {
		if site.Level != health.Up || site.Weight != health.FullWeight {
			why = append(why, fmt.Sprintf("node %s: site %s is %s with weight %d: want all up with 1000", s.Node, site.Site, site.Level, site.Weight))
		}
	}
	for _, m := range s.Members {
		if m.Epoch != s.Epoch {
			why = append(why, fmt.Sprintf("nodes %s and %s answer from different plans", s.Node, m.Node))
		}
	}
	if len(s.Override) > 0 {
		why = append(why, fmt.Sprintf("%d overrides are in force", len(s.Override)))
	}
	return why
}

// quorum says whether a majority of the datacenters still hears each other.
func quorum(sc Scenario, target string, names []string, s *control.Status) []string {
	dcs := map[string]bool{}
	for _, m := range s.Members {
		if m.State == "alive" {
			dcs[m.Datacenter] = true
		}
	}
	all := len(dcs)
	for _, step := range sc.Steps {
		for _, b := range step.Break {
			switch b.Kind {
			case CutGossip, KillNode, SwapKey, PauseNode:
			default:
				continue
			}
			for _, site := range cast(b.Site, target, names) {
				if site == "" {
					return []string{"no datacenter hears another: there is no quorum while it lasts"}
				}
				delete(dcs, datacenterOf(site, s))
			}
		}
	}
	if 2*len(dcs) <= all {
		return []string{fmt.Sprintf("%d of %d datacenters are left to hear each other: there is no quorum while it lasts", len(dcs), all)}
	}
	return nil
}

func datacenterOf(site string, s *control.Status) string {
	for _, have := range s.Sites {
		if have.Site == site {
			return have.Datacenter
		}
	}
	return site
}

// without computes what the pools are without some sites.
func without(gone []string, s *control.Status, sites []Site) (pools []PoolPreview) {
	for _, svc := range s.Services {
		p := PoolPreview{
			Service: svc.Service, Family: svc.Family, Before: svc.Available, After: []string{}, CapacityBefore: svc.Capacity, CapacityAfter: svc.Capacity,
		}
		for _, name := range svc.Available {
			if !slices.Contains(gone, name) {
				p.After = append(p.After, name)
				continue
			}
			i := slices.IndexFunc(sites, func(x Site) bool { return x.Name == name })
			p.CapacityAfter -= min(p.CapacityAfter, sites[i].Capacity)
		}
		if len(p.After) != len(p.Before) {
			pools = append(pools, p)
		}
	}
	return pools
}

// refusal says why a pool cannot do without the sites.
func (p PoolPreview) refusal() []string {
	switch {
	case len(p.After) == 0:
		return []string{fmt.Sprintf("service %s would have no available %s site left", p.Service, p.Family)}
	case p.CapacityBefore > 0 && p.CapacityAfter*100 < p.CapacityBefore*Demand:
		return []string{fmt.Sprintf("service %s %s: capacity %d of %d would be left: less than the assumed demand of %d %%",
			p.Service, p.Family, p.CapacityAfter, p.CapacityBefore, Demand)}
	}
	return nil
}

// tell lists what the scenario does, with its sites.
func (sc Scenario) tell(target string, names []string, pace Pace) (lines []string) {
	for _, step := range sc.Steps {
		if step.Heal {
			lines = append(lines, fmt.Sprintf("after %v: heal everything", step.At.At(pace)))
		}
		for _, b := range step.Break {
			for _, f := range b.faults(target, names, 0) {
				lines = append(lines, fmt.Sprintf("after %v: %s", step.At.At(pace), f))
			}
		}
		for _, op := range step.Operate {
			lines = append(lines, fmt.Sprintf("after %v: override: %s", step.At.At(pace), op.tell(target)))
		}
	}
	return append(lines, fmt.Sprintf("after %v: heal everything", sc.Lasts.At(pace)))
}

// tell says what an operation does.
func (op Operation) tell(target string) string {
	switch {
	case op.Cleared:
		return fmt.Sprintf("clear %s of %s", op.Action, target)
	case op.Percent > 0:
		return fmt.Sprintf("%s of %s to %d %%", op.Action, target, op.Percent)
	}
	return fmt.Sprintf("%s %s", op.Action, target)
}

// ErrRefused is wrapped by the error of a drill whose interlocks do not hold.
var ErrRefused = errors.New("refused")
