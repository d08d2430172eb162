package sim

import (
	"os"
	"testing"
	"time"
)

// A thousand nodes in twenty datacenters, ten minutes of virtual time in less than a minute of one core. It takes as
// long as it says: SIM_SCALE=1 has it run.
func TestThousandNodes(t *testing.T) {
	s := Scenario{Seed: 1, Nodes: 1000, Datacenters: 20, Sites: 20, For: 10 * time.Minute, Quiet: time.Minute, Faults: []Fault{
		{At: time.Minute, For: 2 * time.Minute, Kind: "site", Args: []string{"site-c", "blackhole"}},
		{At: 4 * time.Minute, For: time.Minute, Kind: "partition", Args: []string{"b"}},
		{At: 6 * time.Minute, For: 30 * time.Second, Kind: "crash", Args: []string{"d7"}},
		{At: 6 * time.Minute, For: time.Minute, Kind: "isolate", Args: []string{"e"}},
		{At: 7 * time.Minute, For: time.Minute, Kind: "override", Args: []string{"a1", "drain", "site-f"}},
	}}
	if os.Getenv("SIM_SCALE") == "" {
		s.For, s.Quiet, s.Faults = 5*time.Second, 0, nil
	}
	start := time.Now()
	r := Run(s, Options{})
	t.Logf("%v of virtual time in %v: %+v", s.For, time.Since(start), r.Stats)
	for _, v := range r.Violations {
		t.Error(v)
	}
}
