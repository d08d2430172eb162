package lab

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/meridian-gtm/meridian/control"
	"github.com/meridian-gtm/meridian/drill"
	"github.com/meridian-gtm/meridian/drill/compose"
)

// noticed is how long a fault, and its end, may take to show on a busy machine.
const noticed = 60 * time.Second

// faults makes each fault that leaves containers alive, looks at what it does, and lets one of each way to end it end by
// itself, as if the drill had died.
func faults(t *testing.T, live *compose.World) {
	site, vip := "eu-west", "http://"+subnet+".0.20/healthz"
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	ask := func() (time.Duration, error) {
		start := time.Now()
		resp, err := client.Get(vip)
		if err == nil {
			resp.Body.Close()
		}
		return time.Since(start), err
	}
	well := func() bool { took, err := ask(); return err == nil && took < 350*time.Millisecond }
	seen := func(node string, look func(*control.Status) bool) func() bool {
		return func() bool {
			i := slices.IndexFunc(live.Fleet().Nodes, func(n drill.Node) bool { return n.Site == node })
			s, err := live.Fleet().Nodes[i].API.Status(t.Context())
			return err == nil && look(s)
		}
	}
	opinion := func(of, about, state string) func(*control.Status) bool {
		return func(s *control.Status) bool {
			for _, x := range s.Sites {
				for _, o := range x.Observers {
					if x.Site == about && o.Datacenter == of && o.State == state {
						return true
					}
				}
			}
			return false
		}
	}
	hears := func(whom string, heard bool) func(*control.Status) bool {
		return func(s *control.Status) bool {
			return slices.ContainsFunc(s.Members, func(m control.Member) bool { return m.Datacenter == whom && m.Heard == heard })
		}
	}
	for _, tt := range []struct {
		fault       drill.Fault
		shows, over func() bool
	}{
		{
			drill.Fault{Kind: drill.Slow, Site: site, Delay: 700 * time.Millisecond},
			func() bool { took, err := ask(); return err == nil && took >= 700*time.Millisecond }, well,
		},
		{drill.Fault{Kind: drill.Errors, Site: site}, func() bool { _, err := ask(); return errors.Is(err, syscall.ECONNREFUSED) }, well},
		{
			// At this rate no page comes through by luck.
			drill.Fault{Kind: drill.Lossy, Site: site, Percent: 95},
			func() bool { took, err := ask(); return err != nil || took > 900*time.Millisecond }, well,
		},
		{
			drill.Fault{Kind: drill.CutPath, Site: "us-east", To: site},
			seen("us-east", opinion("us-east", site, "down")), seen("us-east", opinion("us-east", site, "up")),
		},
		{drill.Fault{Kind: drill.CutGossip, Site: "ap-south"}, seen("us-east", hears("ap-south", false)), seen("us-east", hears("ap-south", true))},
		{drill.Fault{Kind: drill.PauseNode, Site: "ap-south"}, seen("us-east", hears("ap-south", false)), seen("us-east", hears("ap-south", true))},
	} {
		for _, alone := range []bool{false, true} {
			if alone && !slices.Contains([]drill.Kind{drill.Slow, drill.Lossy, drill.PauseNode}, tt.fault.Kind) {
				continue
			}
			t.Run(fmt.Sprintf("%s, left alone %t", tt.fault.Kind, alone), func(t *testing.T) {
				await(t, "well before", tt.over)
				f := tt.fault
				f.For = 10 * time.Minute
				if alone {
					f.For = 15 * time.Second
				}
				start := time.Now()
				in, err := live.Inject(t.Context(), f)
				if err != nil {
					t.Fatal(err)
				}
				await(t, "broken", tt.shows)
				if !alone {
					if err := live.Heal(t.Context(), in); err != nil {
						t.Fatal(err)
					}
				}
				await(t, "well again", tt.over)
				if took := time.Since(start); alone && took < f.For {
					t.Errorf("over after %v: want %v", took, f.For)
				}
				if alone {
					// A heal that comes too late is no error.
					if err := live.Heal(t.Context(), in); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
}

func await(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(noticed); !cond(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not %s within %v", what, noticed)
		}
	}
}
