package sim

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/meridian-gtm/meridian/health"
	"github.com/meridian-gtm/meridian/replication"
)

// planted is a mistake that somebody could make in a core or around it.
type planted struct {
	name   string
	plant  func(*seams)
	groups []string // of faults that it shows under; none = all
	nodes  int      // 0 = 9
}

// deciding wraps Decide.
func deciding(f func(health.View, health.Prior, health.Fleet, func(health.View, health.Prior, health.Fleet) health.Decision) health.Decision) func(*seams) {
	return func(x *seams) {
		x.decide = func(v health.View, p health.Prior, fleet health.Fleet) health.Decision {
			return f(v, p, fleet, health.Decide)
		}
	}
}

// withPolicy has Decide work with another policy.
func withPolicy(change func(*health.Policy)) func(*seams) {
	return deciding(func(v health.View, p health.Prior, f health.Fleet, next func(health.View, health.Prior, health.Fleet) health.Decision) health.Decision {
		change(&f.Policy)
		return next(v, p, f)
	})
}

// withVerdicts changes what Decide has decided.
func withVerdicts(change func(health.View, health.Target, *health.Verdict, health.Prior)) func(*seams) {
	return deciding(func(v health.View, p health.Prior, f health.Fleet, next func(health.View, health.Prior, health.Fleet) health.Decision) health.Decision {
		d := next(v, p, f)
		for _, t := range f.Targets {
			x := d.Verdicts[t]
			change(v, t, &x, p)
			d.Verdicts[t] = x
		}
		return d
	})
}

// rebuilt is a state of the records that keep wants.
func rebuilt(r *replica, wall time.Time, keep func(replication.Record) bool, more ...replication.Record) {
	var next replication.State
	for record := range r.state.All() {
		if keep(record) {
			_, _ = next.Merge(record, wall)
		}
	}
	for _, record := range more {
		_, _ = next.Merge(record, wall)
	}
	r.state = next
}

var bugs = []planted{
	{"quorum of live members", func(x *seams) {
		x.aggregate = func(o []health.Observed, f health.Fleet) health.View {
			v := health.Aggregate(o, f)
			v.Quorate = len(v.Fresh) > 0
			return v
		}
	}, nil, 0},
	{"no rejoin", func(x *seams) { x.rejoin = false }, nil, 0},
	{"no anti-entropy", func(x *seams) { x.antiEntropy = false }, nil, 0},
	{"float tie", withVerdicts(func(_ health.View, _ health.Target, v *health.Verdict, _ health.Prior) {
		if got, of := health.Tally(v.Votes); v.Level == health.Up && of > 0 && float32(got)/float32(of) < 0.6667 {
			v.Level = health.Partial
		}
	}), nil, 0},
	{"no directory sync", func(x *seams) { x.syncDirectory = false }, []string{"nodes", "operators"}, 0},
	{"acknowledge before store", func(x *seams) { x.storeFirst = false }, []string{"nodes", "operators"}, 0},
	{"age by wall clocks", func(x *seams) {
		x.silent = func(w *world, r *replica, h heard) time.Duration {
			return max(0, w.now-h.at+r.members[0].skew-w.nodes[w.sc.nodeNumber(h.Node)].skew)
		}
	}, nil, 0},
	{"evidence never stale", func(x *seams) { x.silent = func(*world, *replica, heard) time.Duration { return 0 } }, nil, 0},
	{"cleared override deleted", func(x *seams) {
		x.merge = func(_ *world, r *replica, record replication.Record, wall time.Time) (replication.Outcome, error) {
			outcome, err := r.state.Merge(record, wall)
			if o, bad := replication.DecodeOverride(record.Body); record.Kind == replication.KindOverride && bad == nil && o.Cleared {
				rebuilt(r, wall, func(have replication.Record) bool { return have.Key != record.Key })
			}
			return outcome, err
		}
	}, []string{"operators", "partitions", "links"}, 0},
	{"merge takes older", func(x *seams) {
		x.knows = func(r *replica, record replication.Record) bool {
			have, ok := r.state.Get(record.Key)
			return ok && have.Version == record.Version && have.Writer == record.Writer
		}
		x.merge = func(_ *world, r *replica, record replication.Record, wall time.Time) (replication.Outcome, error) {
			outcome, err := r.state.Merge(record, wall)
			if have, ok := r.state.Get(record.Key); ok && record.Version.Compare(have.Version) < 0 {
				rebuilt(r, wall, func(have replication.Record) bool { return have.Key != record.Key }, record)
				return replication.Changed, nil
			}
			return outcome, err
		}
	}, nil, 0},
	{"override from the future merged", func(x *seams) {
		x.merge = func(_ *world, r *replica, record replication.Record, wall time.Time) (replication.Outcome, error) {
			return r.state.Merge(record, wall.Add(1000*time.Hour))
		}
	}, []string{"operators", "clocks"}, 0},
	{"clock goes backward", func(x *seams) {
		x.version = func(_ *world, _ *node, wall time.Time) (replication.Version, error) {
			return replication.Version{Major: uint64(wall.UnixMilli())}, nil
		}
	}, []string{"operators", "clocks"}, 0},
	{"expired override acts", func(x *seams) {
		x.overrides = func(_ *world, r *replica, wall time.Time) []replication.Override {
			return r.state.Overrides(wall.Add(-time.Hour))
		}
	}, nil, 0},
	{"isolation forgotten", func(x *seams) {
		x.overrides = func(_ *world, r *replica, wall time.Time) []replication.Override {
			return slices.DeleteFunc(r.state.Overrides(wall), func(o replication.Override) bool { return o.Action == replication.Isolate })
		}
	}, nil, 0},
	{"drain as weight", func(x *seams) {
		x.overrides = func(_ *world, r *replica, wall time.Time) []replication.Override {
			list := r.state.Overrides(wall)
			for i := range list {
				if list[i].Action == replication.Drain {
					list[i].Action, list[i].Percent = replication.Weight, 1
				}
			}
			return list
		}
	}, nil, 0},
	{"own votes veto", withVerdicts(func(_ health.View, _ health.Target, v *health.Verdict, _ health.Prior) {
		for _, x := range v.Votes {
			if x.Own && x.Counted && x.U == 2 && v.Level == health.Down {
				v.Level, v.Weight, v.Held = health.Up, health.FullWeight, false
			}
		}
	}), nil, 0},
	{"own votes pull", withVerdicts(func(view health.View, _ health.Target, v *health.Verdict, _ health.Prior) {
		for _, x := range v.Votes {
			if x.Own && x.Counted && x.U == 0 && view.Quorate && !v.Held {
				v.Level, v.Weight = health.Down, 0
			}
		}
	}), nil, 0},
	{"one datacenter pulls", withVerdicts(func(view health.View, _ health.Target, v *health.Verdict, _ health.Prior) {
		for _, x := range v.Votes {
			if !x.Own && x.Counted && x.U == 0 && view.Quorate && !v.Held {
				v.Level, v.Weight = health.Down, 0
			}
		}
	}), nil, 0},
	{"no corroboration", withVerdicts(func(view health.View, _ health.Target, v *health.Verdict, _ health.Prior) {
		if got, of := health.Tally(v.Votes); view.Quorate && v.Level == health.Partial && 3*got <= of && of > 0 {
			v.Level, v.Weight = health.Down, 0
		}
	}), nil, 0},
	{"heads counted, not datacenters", withVerdicts(func(view health.View, _ health.Target, v *health.Verdict, _ health.Prior) {
		heads, up := 0, 0
		for _, x := range v.Votes {
			heads, up = heads+x.Voters, up+x.NotDown
		}
		if view.Quorate && !v.Held && heads > 0 && v.Level != health.Unknown {
			v.Level = health.Down
			if 2*up > heads {
				v.Level = health.Up
			}
		}
	}), nil, 0},
	{"minority pulls at once", deciding(func(v health.View, p health.Prior, f health.Fleet, next func(health.View, health.Prior, health.Fleet) health.Decision) health.Decision {
		p.QuorumLost += f.Policy.MinorityHold
		p.Witnessed = true
		return next(v, p, f)
	}), nil, 0},
	{"minority pulls the last site", withVerdicts(func(_ health.View, _ health.Target, v *health.Verdict, _ health.Prior) {
		if strings.Contains(v.Reason, "no local observer reaches any site") {
			v.Level, v.Held = health.Down, false
		}
	}), []string{"partitions", "paths", "sites"}, 0},
	{"ramp skipped", withPolicy(func(p *health.Policy) { p.Ramp = 0 }), []string{"sites"}, 0},
	{"no brake", withPolicy(func(p *health.Policy) { p.BrakeHold = 0 }), nil, 0},
	{"no headroom", withPolicy(func(p *health.Policy) { p.Headroom = 0 }), []string{"sites"}, 0},
	{"long TTL always", withVerdicts(func(_ health.View, _ health.Target, v *health.Verdict, _ health.Prior) { v.TTL = 30 }), nil, 0},
	{"damping delays the pull", func(x *seams) {
		x.step = func(w *world, o *observer, e health.Event) (health.ObserverState, health.Actions) {
			fell := o.state.Evidence(health.Target{}, w.now, o.policy).Back
			if e.Kind == health.EventResult && e.Result.Outcome == health.HardFail && fell {
				e.Result.Outcome = health.LocalFault
			}
			return health.StepObserver(o.state, e, w.now, o.policy)
		}
	}, []string{"sites"}, 0},
	{"local fault blames the site", func(x *seams) {
		x.step = func(w *world, o *observer, e health.Event) (health.ObserverState, health.Actions) {
			if e.Result.Outcome == health.LocalFault {
				e.Result.Outcome = health.HardFail
			}
			return health.StepObserver(o.state, e, w.now, o.policy)
		}
	}, nil, 0},
	{"stall not noticed", func(x *seams) {
		x.step = func(w *world, o *observer, e health.Event) (health.ObserverState, health.Actions) {
			if e.Kind == health.EventResult && e.Result.Outcome == health.HardFail {
				for range 3 { // every late answer is a failure, and there are as many as probes under way
					e.Started = w.now
					o.state, _ = health.StepObserver(o.state, e, w.now, o.policy)
				}
			}
			return health.StepObserver(o.state, e, w.now, o.policy)
		}
	}, []string{"nodes"}, 0},
	{"warm node votes", func(x *seams) {
		x.publish = func(_ *world, _ *node, e *health.Evidence) { e.Warm = false }
	}, nil, 0},
	{"boot epoch not stored", func(x *seams) { x.storeEpoch = false }, nil, 0},
	{"verdicts not restored", func(x *seams) { x.loadGood = false }, nil, 0},
	{"order of evidence matters", func(x *seams) {
		x.aggregate = func(o []health.Observed, f health.Fleet) health.View {
			if len(o) > 3 {
				o = o[:len(o)-1]
			}
			return health.Aggregate(o, f)
		}
	}, nil, 0},
	{"poisoned check believed", func(x *seams) {
		x.publish = func(_ *world, _ *node, e *health.Evidence) {
			for i := range e.Targets {
				e.Targets[i].Policy = 1
			}
		}
	}, []string{"config"}, 6},
}

// Every planted bug is caught within 200 seeds. It takes minutes, so it runs only when SIM_PLANTED is set.
func TestPlantedBugs(t *testing.T) {
	if os.Getenv("SIM_PLANTED") == "" {
		t.Skip("PLANTED BUGS NOT LOOKED FOR: it takes minutes; set SIM_PLANTED=1")
	}
	const limit = 200
	var table strings.Builder
	out := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "planted bug\tcaught by\tafter seeds")
	only := os.Getenv("SIM_BUG")
	for _, b := range bugs {
		if only != "" && !strings.Contains(b.name, only) {
			continue
		}
		x := sound()
		b.plant(&x)
		caught := false
		for seed := uint64(1); seed <= limit && !caught; seed++ {
			s := Generate(seed, Shape{Groups: b.groups, Nodes: cmp.Or(b.nodes, 9)})
			if v := run(s, Options{StopAtFirst: true}, x).Violations; len(v) > 0 {
				fmt.Fprintf(out, "%s\t%s\t%s\n", b.name, v[0].Invariant, strconv.FormatUint(seed, 10))
				caught = true
			}
		}
		if !caught {
			t.Errorf("%s: not caught in %d seeds", b.name, limit)
		}
	}
	out.Flush()
	t.Logf("\n%s", table.String())
}
