package node

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/meridian-gtm/meridian/health"
	"github.com/meridian-gtm/meridian/replication"
)

// largeFleet writes a configuration of so many services over 20 sites in 5 datacenters, and returns its path.
func largeFleet(t testing.TB, services int) string {
	t.Helper()
	dir := t.TempDir()
	var b strings.Builder
	b.WriteString("node: {name: dc0-1, datacenter: dc0, data_dir: data}\ndns: {listen: [\"127.0.0.1:0\"]}\n" +
		"gossip: {listen: \"127.0.0.1:0\", profile: fast, advertise: \"127.0.0.1:9\"}\napi: {listen: \"127.0.0.1:0\"}\ndatacenters:\n")
	for i := range 5 {
		fmt.Fprintf(&b, "  dc%d: {region: r%d, lat: %d, lon: %d}\n", i, i, 10*i, 60*i-120)
	}
	b.WriteString("sites:\n")
	var sites []string
	for i := range 20 {
		sites = append(sites, fmt.Sprintf("site%02d", i))
		fmt.Fprintf(&b, "  site%02d: {datacenter: dc%d, vip: {v4: 192.0.2.%d}}\n", i, i%5, i+1)
	}
	b.WriteString("checks:\n  web: {tcp: {port: 80}}\nservices:\n")
	kinds := []string{"nearest", "round-robin", "failover"}
	for i := range services {
		fmt.Fprintf(&b, "  svc%04d: {policy: {%s: [%s]}, checks: [web], ttl: {min: 5s, max: %ds}}\n",
			i, kinds[i%3], strings.Join(sites, ", "), 30+i)
	}
	b.WriteString("zones:\n  shop.example: {file: shop.zone, steer: {www: svc0000}}\n")
	write(t, filepath.Join(dir, "shop.zone"), "@ 60 SOA ns hostmaster 1 3600 600 604800 5\n@ 60 NS ns\nns 60 A 192.0.2.53\n")
	path := filepath.Join(dir, "meridian.yaml")
	write(t, path, b.String())
	return path
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// settled returns a node of a large fleet that has heard every datacenter hold every site up for long.
func settled(t testing.TB, services int) (n *Node, say func(site string, s health.State, now time.Time), now time.Time) {
	t.Helper()
	n, err := New(Options{ConfigFile: largeFleet(t, services)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	now = time.Now()
	seq := uint64(0)
	say = func(site string, s health.State, now time.Time) {
		seq++
		for i := range 5 {
			e := health.Evidence{Node: fmt.Sprintf("dc%d-1", i), Datacenter: fmt.Sprintf("dc%d", i), Epoch: 1 << 60, Seq: seq}
			for _, t := range n.setup.fleet.Targets {
				te := health.TargetEvidence{Target: t, State: health.StateUp, Age: time.Hour, Held: time.Hour}
				if t.Site == site {
					te.State = s
				}
				e.Targets = append(e.Targets, te)
			}
			body, err := e.AppendBinary(nil)
			if err != nil {
				t.Fatal(err)
			}
			r, err := replication.NewEvidence(e.Node, replication.Version{Major: e.Epoch, Minor: e.Seq}, body)
			if err != nil {
				t.Fatal(err)
			}
			if _, refused := n.store.merge([]replication.Record{r}, now); len(refused) > 0 {
				t.Fatal(refused)
			}
		}
	}
	say("", health.StateUp, now)
	n.decide(now)
	return n, say, now
}

// BenchmarkDecide is one pass of the owner over 1,000 services with 20 sites each: what a node does at least four
// times a second.
func BenchmarkDecide(b *testing.B) {
	b.Run("unchanged", func(b *testing.B) {
		n, _, now := settled(b, 1000)
		b.ReportAllocs()
		for b.Loop() {
			now = now.Add(time.Millisecond)
			n.decide(now)
		}
	})
	b.Run("one-verdict", func(b *testing.B) {
		n, say, now := settled(b, 1000)
		b.ReportAllocs()
		states := [2]health.State{health.StateDown, health.StateUp}
		for i := 0; b.Loop(); i++ {
			b.StopTimer()
			say("site07", states[i%2], now)
			before := n.plan.Epoch()
			b.StartTimer()
			n.decide(now)
			if n.plan.Epoch() == before {
				b.Fatal("the verdict made no difference")
			}
		}
	})
}
