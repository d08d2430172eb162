package sim

import (
	"time"

	"github.com/meridian-gtm/meridian/health"
	"github.com/meridian-gtm/meridian/replication"
)

// seams are the places where a test can put something wrong between the cores and the world, to see that an
// invariant notices. sound has nothing wrong anywhere.
type seams struct {
	step      func(*world, *observer, health.Event) (health.ObserverState, health.Actions)
	aggregate func([]health.Observed, health.Fleet) health.View
	decide    func(health.View, health.Prior, health.Fleet) health.Decision
	knows     func(*replica, replication.Record) bool
	merge     func(*world, *replica, replication.Record, time.Time) (replication.Outcome, error)
	silent    func(*world, *replica, heard) time.Duration
	overrides func(*world, *replica, time.Time) []replication.Override
	version   func(*world, *node, time.Time) (replication.Version, error)
	publish   func(*world, *node, *health.Evidence)

	relay         bool // what is news here is told on
	antiEntropy   bool
	rejoin        bool
	syncDirectory bool
	storeFirst    bool // an override is durable before it is in force
	storeEpoch    bool
	loadGood      bool // a boot begins with the verdicts that were stored
}

func sound() seams {
	return seams{
		step: func(w *world, o *observer, e health.Event) (health.ObserverState, health.Actions) {
			return health.StepObserver(o.state, e, w.now, o.policy)
		},
		aggregate: new(health.Counter).Aggregate,
		decide:    health.Decide,
		knows:     func(r *replica, record replication.Record) bool { return r.state.Knows(record) },
		merge: func(_ *world, r *replica, record replication.Record, wall time.Time) (replication.Outcome, error) {
			return r.state.Merge(record, wall)
		},
		silent: func(w *world, _ *replica, h heard) time.Duration { return w.now - h.at },
		overrides: func(_ *world, r *replica, wall time.Time) []replication.Override {
			return r.state.Overrides(wall)
		},
		version: func(_ *world, n *node, wall time.Time) (replication.Version, error) {
			return n.replica.state.NextVersion(wall)
		},
		publish: func(*world, *node, *health.Evidence) {},

		relay: true, antiEntropy: true, rejoin: true, syncDirectory: true, storeFirst: true,
		storeEpoch: true, loadGood: true,
	}
}
