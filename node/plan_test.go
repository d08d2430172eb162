package node

import (
	"maps"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/meridian-gtm/meridian/dnsserver/steer"
	"github.com/meridian-gtm/meridian/health"
	"github.com/meridian-gtm/meridian/replication"
)

// What is not compiled again must not answer differently: whenever two inputs are taken for the same, their plans have
// one epoch.
func TestLawSameInputsHaveOneEpoch(t *testing.T) {
	n, _, now := settled(t, 12)
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	base := n.current(now)
	compile := func(c compiled) string {
		plan, err := steer.Compile(c.inputs(), n.plan)
		if err != nil {
			t.Fatal(err)
		}
		return plan.Epoch()
	}
	same, different := 0, 0
	for range 400 {
		a := base
		a.verdicts = maps.Clone(base.verdicts)
		for target, v := range a.verdicts {
			if r.IntN(3) > 0 {
				v.Level, v.Weight = health.Down, 0
				v.Age = time.Duration(r.IntN(5)) * time.Minute // some together, some apart
				a.verdicts[target] = v
			}
		}
		b := a
		b.at = a.at.Add(time.Duration(r.IntN(10_000)) * time.Millisecond)
		b.verdicts = maps.Clone(a.verdicts)
		for target, v := range b.verdicts {
			v.Age += b.at.Sub(a.at)
			v.Reason, v.Votes = "in other words", nil
			b.verdicts[target] = v
		}
		for range r.IntN(3) {
			target := n.setup.fleet.Targets[r.IntN(len(n.setup.fleet.Targets))]
			v := b.verdicts[target]
			switch r.IntN(6) {
			case 0:
				v.TTL++
			case 1:
				v.Level, v.Weight = health.Up, health.FullWeight
			case 2:
				v.Weight /= 2
			case 3:
				v.AvoidRegions = []string{"r1"}
			case 4:
				v.Age = time.Duration(r.IntN(1000)) * time.Second
			case 5:
				b.overrides = []replication.Override{{Site: target.Site, Action: replication.Drain, Who: "ana", Why: "x", Created: 1}}
			}
			b.verdicts[target] = v
		}
		if !a.same(&b) {
			different++
			continue
		}
		same++
		if x, y := compile(a), compile(b); x != y {
			t.Fatalf("seed %d: taken for the same, but epochs are %s and %s", seed, x, y)
		}
	}
	if same < 50 || different < 50 {
		t.Errorf("seed %d: %d same, %d different: want some of both", seed, same, different)
	}
}

// A decision in which nothing has changed makes no plan, and one that changes what is served swaps the snapshot.
func TestPlanIsCompiledOnlyWhenAnswersChange(t *testing.T) {
	n, say, now := settled(t, 3)
	plan, snapshot := n.plan, n.dns.Snapshot()
	for i := range 8 {
		n.decide(now.Add(time.Duration(i) * tick))
	}
	if n.plan != plan || n.dns.Snapshot() != snapshot {
		t.Error("a plan was made although nothing changed")
	}
	say("site03", health.StateDown, now.Add(time.Second))
	n.decide(now.Add(time.Second))
	if n.plan == plan || n.dns.Snapshot() == snapshot || n.dns.Snapshot().Plan != n.plan {
		t.Error("no plan was made although a site went down")
	}
}

func TestSafeAfterCountsTheTTLsThatWereServed(t *testing.T) {
	n, say, now := settled(t, 1)      // ttl max 30 s, min 5 s
	n.warmSince = now.Add(-time.Hour) // no longer warm
	n.decide(now)
	o := replication.Override{Site: "site07", Action: replication.Drain}
	safe := func(at time.Time) time.Duration { return n.safeAfter(o, at).Sub(at).Round(time.Second) }
	if got := safe(now); got != 30*time.Second {
		t.Fatalf("settled: safe after %v: want 30s", got)
	}
	// A suspicion shortens what is answered from now on, not what has been.
	say("site03", health.StateSuspect, now)
	n.decide(now)
	if got := n.plan.Pools()[0].TTL; got > 10 {
		t.Fatalf("ttl %d while a site is suspect: want at most 10", got)
	}
	for after, want := range map[time.Duration]time.Duration{0: 30 * time.Second, 12 * time.Second: 18 * time.Second, time.Minute: 10 * time.Second} {
		if got := safe(now.Add(after)); got != want {
			t.Errorf("%v after the TTL fell: safe after %v: want %v", after, got, want)
		}
	}
	// A site that no service has concerns nobody; and just after the start, nobody knows what was answered before.
	o.Site = "elsewhere"
	if got := safe(now); got != 0 {
		t.Errorf("for a site of no service: safe after %v: want at once", got)
	}
	o.Site, n.started = "site07", now.Add(time.Minute-10*time.Second)
	if got := safe(now.Add(time.Minute)); got != 20*time.Second {
		t.Errorf("10 s after the start: safe after %v: want the rest of the longest TTL", got)
	}
}
