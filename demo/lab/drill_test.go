package lab

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meridian-gtm/meridian/control"
	"github.com/meridian-gtm/meridian/drill"
)

// startLab runs a lab on free ports until the test ends.
func startLab(t *testing.T) *Lab {
	t.Helper()
	l, err := New(t.Context(), Options{AnyPort: true})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	select {
	case <-l.Ready():
	case err := <-ended:
		ended <- err
		t.Fatal(err)
	case <-time.After(90 * time.Second):
		t.Fatal("not ready in 90 s")
	}
	return l
}

// TestDrills plays quick drills of the catalogue against a lab on free ports, over the fault control, DNS and the
// control API alone. Limits of time are those of the catalogue, stretched for machines that are busy testing.
func TestDrills(t *testing.T) {
	if testing.Short() {
		t.Skip("drills take half a minute")
	}
	ctx := t.Context()
	l := startLab(t)
	demo, err := drill.DialDemo(ctx, l.World.ControlAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	fleet, err := demo.Fleet()
	if err != nil {
		t.Fatal(err)
	}
	if len(fleet.Nodes) != 3 || len(fleet.Clients) != 36 || demo.Description.Pace != drill.Fast {
		t.Fatalf("the lab tells of %d nodes, %d clients, %s pace: want 3, 36, fast", len(fleet.Nodes), len(fleet.Clients), demo.Description.Pace)
	}
	var apis []*control.Client
	for _, m := range l.Members {
		apis = append(apis, m.API)
	}
	awaitSteady(t, l) // by then every node has heard of every other
	found, err := drill.Discover(ctx, apis, nil, Host, fleet.Clients)
	if err != nil || len(found.Nodes) != 3 {
		t.Fatalf("discovered %+v, %v: want 3 nodes", found.Nodes, err)
	}
	for _, n := range found.Nodes {
		same := func(m drill.Node) bool { return m.Name == n.Name && m.Site == n.Site && m.DNS == n.DNS && n.API != nil }
		if !slices.ContainsFunc(fleet.Nodes, same) {
			t.Errorf("discovered %+v: the lab tells of %+v", n, fleet.Nodes)
		}
	}
	for _, k := range drill.DemoKinds() {
		if !slices.Contains(demo.Can(), k) && k != drill.FillDisk {
			t.Errorf("the lab cannot make %s, which the list of drills promises", k)
		}
	}

	for _, tt := range []struct {
		id    string
		lasts time.Duration
	}{{"config-poison", time.Second}, {"operator-race", 2 * time.Second}, {"dns-node-crash", 4 * time.Second}, {"site-blackout", 3 * time.Second}} {
		s, ok := drill.Find(tt.id)
		if !ok {
			t.Fatalf("no drill %s", tt.id)
		}
		for i := range s.Steps {
			s.Steps[i].At.Fast = tt.lasts * time.Duration(i) / time.Duration(len(s.Steps))
		}
		s.Lasts.Fast = tt.lasts
		for _, limit := range []*drill.Paced{
			&s.Limits.Decide, &s.Limits.Spread, &s.Limits.LastOld, &s.Limits.Return, &s.Limits.Restore, &s.Limits.Converge,
		} {
			limit.Fast *= 4
		}
		s.Wait.Fast *= 2
		options := drill.Options{Scenario: s, Target: "eu-west", Pace: drill.Fast, Fleet: fleet, World: demo}
		if tt.id == "site-blackout" {
			options.Witness = &drill.Witness{
				Watch: []string{"sh", "-c", `trap "exit 0" TERM; while :; do echo "{\"id\":\"x\",\"took_ms\":3}"; sleep 0.1; done`},
				Check: []string{"sh", "-c", `echo "{\"orders\":$(wc -l),\"lost\":0,\"double\":0,\"over\":0,\"stuck\":1}"; exit 1`},
			}
		}
		report, err := drill.Run(ctx, options)
		if err != nil {
			t.Fatalf("%s: %v", tt.id, err)
		}
		if o := report.Orders; o != nil {
			if o.Acked < 20 || o.Acked != o.Verdicts.Orders || o.First == drill.Never || o.Gap <= 0 || o.Fault != "" {
				t.Errorf("%s: orders %+v", tt.id, o)
			}
			i := slices.IndexFunc(report.Checks, func(c drill.Check) bool { return c.Name == "no order is stuck" })
			if i < 0 || report.Checks[i].Passed || report.Outcome != drill.Failed {
				t.Errorf("%s: %s although an order is stuck: %+v", tt.id, report.Outcome, report.Checks)
			}
			report.Checks = slices.Delete(report.Checks, i, i+1)
			if err := os.Remove(o.Log); err != nil {
				t.Error(err)
			}
		} else if options.Witness != nil {
			t.Errorf("%s: the witness is not heard", tt.id)
		}
		for _, c := range report.Checks {
			// How often a busy machine can ask is no matter of the drills.
			if !c.Passed && !strings.HasPrefix(c.Name, "nodes were asked") {
				t.Errorf("%s: %s: %s, want %s", tt.id, c.Name, c.Got, c.Want)
			}
		}
		if tt.id == "site-blackout" && (len(report.Metrics.Decided) != 3 || report.Metrics.Detect == drill.Never || report.Metrics.WrongSeconds <= 0) {
			t.Errorf("a blackout that nobody noticed: %+v", report.Metrics)
		}
		if tt.id == "dns-node-crash" && report.Metrics.Count.Dead == 0 {
			t.Error("a dead node answered everything")
		}
		if left := l.World.Faults(); len(left) > 0 {
			t.Errorf("%s leaves %v", tt.id, left)
		}
	}

	t.Run("an interrupt heals", func(t *testing.T) {
		s, _ := drill.Find("path-fault")
		interrupted, interrupt := context.WithCancel(ctx)
		report, err := drill.Run(interrupted, drill.Options{
			Scenario: s, Target: "eu-west", Pace: drill.Fast, Fleet: fleet, World: demo,
			Progress: func(line string) {
				if strings.Contains(line, "broken:") {
					if len(l.World.Faults()) != 1 {
						t.Errorf("broken: %v: want one fault", l.World.Faults())
					}
					interrupt()
				}
			},
		})
		if err != nil || report == nil || report.Outcome != drill.Aborted || len(l.World.Faults()) != 0 {
			t.Errorf("%+v, %v, still broken: %v: want an aborted report and nothing broken", report, err, l.World.Faults())
		}
	})
	t.Run("a panic heals", func(t *testing.T) {
		awaitSteady(t, l)
		defer func() {
			if recover() == nil || len(l.World.Faults()) != 0 {
				t.Errorf("no panic, or still broken: %v", l.World.Faults())
			}
		}()
		s, _ := drill.Find("path-fault")
		_, _ = drill.Run(ctx, drill.Options{
			Scenario: s, Target: "eu-west", Pace: drill.Fast, Fleet: fleet, World: demo,
			Progress: func(line string) {
				if strings.Contains(line, "broken:") {
					panic("a bug")
				}
			},
		})
	})
	t.Run("interlocks refuse", func(t *testing.T) {
		awaitSteady(t, l)
		for _, id := range []string{"all-down", "capacity-short", "backbone-gone"} {
			s, _ := drill.Find(id)
			var planned *drill.Plan
			_, err := drill.Run(ctx, drill.Options{
				Scenario: s, Target: "eu-west", Pace: drill.Fast, Fleet: fleet, World: demo, Planned: func(p *drill.Plan) error { planned = p; return nil },
			})
			if !errors.Is(err, drill.ErrRefused) || planned == nil || len(planned.Refusals) == 0 {
				t.Errorf("%s: %v: want a refusal", id, err)
			}
		}
		s, _ := drill.Find("node-pause")
		if _, err := drill.Run(ctx, drill.Options{Scenario: s, Target: "eu-west", Pace: drill.Fast, Fleet: fleet, World: demo}); err == nil {
			t.Error("a drill that the lab cannot make is played")
		}
	})
}

// awaitSteady waits until every node holds every site up.
func awaitSteady(t *testing.T, l *Lab) {
	t.Helper()
	deadline := time.Now().Add(90 * time.Second)
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for steady := false; !steady; <-ticker.C {
		if time.Now().After(deadline) {
			t.Fatal("not steady in 90 s")
		}
		steady = true
		for _, m := range l.Members {
			s, err := m.API.Status(t.Context())
			steady = steady && err == nil && s.Mode == "normal"
			for _, site := range s.Sites {
				steady = steady && site.Weight == 1000
			}
			for _, other := range s.Members {
				steady = steady && other.Epoch == s.Epoch
			}
		}
	}
}
