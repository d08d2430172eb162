package health_test

import (
	"fmt"
	"time"

	"github.com/meridian-gtm/meridian/health"
)

// Three datacenters watch one site in Frankfurt. Its own still reaches it, the others do not: its VIP is dead.
func ExampleDecide() {
	site := health.Target{Site: "fra", Check: "http", Family: health.V4}
	fleet := health.Fleet{
		Datacenters: []health.Datacenter{{Name: "bom"}, {Name: "fra"}, {Name: "nyc"}},
		Sites:       []health.Site{{Name: "fra", Datacenter: "fra"}},
		Targets:     []health.Target{site},
		Policy:      health.DefaultPolicy,
	}
	var observed []health.Observed
	for node, state := range map[string]health.State{
		"bom": health.StateDown, "fra": health.StateUp, "nyc": health.StateDown,
	} {
		observed = append(observed, health.Observed{
			Silent: time.Second,
			Evidence: health.Evidence{Node: node + "-1", Datacenter: node, Targets: []health.TargetEvidence{
				{Target: site, State: state, Held: 3 * time.Second},
			}},
		})
	}

	d := health.Decide(health.Aggregate(observed, fleet), health.Prior{}, fleet)
	v := d.Verdicts[site]
	fmt.Println(d.Mode, v.Level, v.Weight, v.TTL)
	fmt.Println(v.Reason)
	// Output:
	// normal down 0 10
	// down: 0 of 2 foreign datacenters reach it (votes 2 of 10), 2 agree that it is down
}
