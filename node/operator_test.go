package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/meridian-gtm/meridian/control"
	"github.com/meridian-gtm/meridian/replication"
)

const host = "www.shop.example"

func dryRun(c *control.Change) { c.DryRun = true }
func force(c *control.Change)  { c.Force = true }
func ackAll(c *control.Change) { c.Ack = control.AckAll }

// everywhere waits until every node sends clients of a city to a site.
func (f *fleet) everywhere(what string, want string) {
	f.t.Helper()
	f.eventually(what, func() error {
		for _, m := range f.nodes {
			if got := m.sitesFor(host, frankfurt); got != want {
				return fmt.Errorf("%s: Frankfurt is sent to %s: want %s", m.site.Name, got, want)
			}
		}
		return nil
	})
}

func TestDrainAndUndrain(t *testing.T) {
	f := running(t, 3)
	drain := replication.Override{Site: "eu", Action: replication.Drain, Who: "ana", Why: "disk swap"}

	out := f.apply(1, drain, dryRun)
	if out.Applied || len(out.Pools) == 0 || !slices.Contains(out.Pools[0].Before, "eu") || slices.Contains(out.Pools[0].After, "eu") {
		t.Errorf("dry run: %+v: want the pools without eu, and nothing done", out)
	}
	if got := f.nodes[1].sitesFor(host, frankfurt); got != "eu" {
		t.Errorf("after a dry run Frankfurt is sent to %s", got)
	}

	begin := time.Now()
	out = f.apply(1, drain, ackAll)
	if !out.Applied || !out.Acked || len(out.Nodes) != 3 || slices.ContainsFunc(out.Nodes, func(a control.NodeAck) bool { return !a.Applied }) {
		t.Fatalf("drain with ack all: %+v: want it in force on three nodes", out)
	}
	// All nodes have said so: none may answer the site any more.
	for _, m := range f.nodes {
		if got := m.sitesFor(host, frankfurt); got == "eu" {
			t.Errorf("%s: Frankfurt is still sent to eu after all nodes acknowledged", m.site.Name)
		}
	}
	// TTLs of this fleet have not settled, but those of an earlier boot may have been the longest.
	if wait := out.SafeAfter.Sub(begin); wait < 50*time.Second || wait > 70*time.Second {
		t.Errorf("safe after %v: want about the longest TTL of 60 s", wait)
	}
	s := f.nodes[2].status()
	if o := s.Override; len(o) != 1 || o[0].Who != "ana" || o[0].Why != "disk swap" {
		t.Errorf("overrides on another node: %+v", o)
	}
	if !strings.Contains(s.Summary, "eu has drain") {
		t.Errorf("summary %q: want the drain", s.Summary)
	}

	drain.Cleared, drain.Why = true, "swapped"
	if out := f.apply(0, drain, ackAll); !out.Applied {
		t.Fatalf("undrain through another node: %+v", out)
	}
	f.everywhere("eu is back", "eu")
	if _, err := f.nodes[0].api.Apply(t.Context(), control.Change{Override: drain}); err == nil || !strings.Contains(err.Error(), "nothing to clear") {
		t.Errorf("clearing twice: %v: want that there is nothing to clear", err)
	}
	lines := f.nodes[1].auditLines()
	if len(lines) != 1 || lines[0].Override.Site != "eu" || lines[0].Override.Who != "ana" || lines[0].Node != "eu-1" {
		t.Errorf("audit log of eu-1: %+v: want the drain alone", lines)
	}
}

func (m *member) auditLines() (lines []auditLine) {
	m.f.t.Helper()
	b, err := os.ReadFile(filepath.Join(m.data, "audit.jsonl"))
	if err != nil {
		m.f.t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		var l auditLine
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			m.f.t.Fatalf("audit log: %q: %v", line, err)
		}
		lines = append(lines, l)
	}
	return lines
}

func TestEmptyingAPoolIsRefusedUnlessForced(t *testing.T) {
	f := running(t, 2)
	set := func(site string, a replication.Action) replication.Override {
		return replication.Override{Site: site, Action: a, Who: "ana", Why: "a test"}
	}
	f.apply(0, set("eu", replication.Drain), ackAll)
	for _, action := range []replication.Action{replication.Drain, replication.Isolate} {
		out := f.apply(1, set("us", action))
		if out.Applied || !strings.Contains(out.Refused, "no available") {
			t.Errorf("%s of the last site: %+v: want a refusal", action, out)
		}
	}
	if got := f.nodes[1].sitesFor(host, frankfurt); got != "us" || len(f.nodes[1].status().Override) != 1 {
		t.Errorf("a refused change made a difference: Frankfurt is sent to %s", got)
	}
	if out := f.apply(1, set("us", replication.Drain), force, ackAll); !out.Applied {
		t.Errorf("forced: %+v", out)
	}
	for _, m := range f.nodes {
		m.sitesFor(host, frankfurt) // fails the test when there is no answer
	}
	if lines := f.nodes[1].auditLines(); len(lines) != 1 || !lines[0].Forced {
		t.Errorf("audit log: %+v: want the forced change alone", lines)
	}
}

func TestOverridesByKind(t *testing.T) {
	f := running(t, 3)
	set := func(action replication.Action, change ...func(*replication.Override)) replication.Override {
		o := replication.Override{Site: "eu", Action: action, Who: "ana", Why: "a test"}
		for _, c := range change {
			c(&o)
		}
		return o
	}
	clear := func(action replication.Action) {
		t.Helper()
		o := set(action)
		o.Cleared = true
		f.apply(0, o, ackAll)
	}

	f.apply(0, set(replication.Isolate), ackAll)
	f.everywhere("isolated eu is not answered", "us")
	clear(replication.Isolate)
	f.everywhere("eu is back", "eu")

	// A weight of nothing leaves the site in its pool, for when nothing else is there.
	f.apply(1, set(replication.Weight), ackAll)
	f.everywhere("eu without weight is not answered", "us")
	clear(replication.Weight)

	// A freeze holds through a loss; the freeze of one service leaves the others to the probes.
	f.apply(2, set(replication.Freeze, func(o *replication.Override) { o.Service = "shop" }), ackAll)
	f.wires.set("*", "eu", true)
	f.eventually("other services lose eu", func() error {
		for _, m := range f.nodes {
			if got := m.sitesFor("rotated.shop.example", frankfurt); got != "ap us" {
				return fmt.Errorf("%s: %s", m.site.Name, got)
			}
		}
		return nil
	})
	f.everywhere("frozen eu is still answered", "eu")
	out, err := f.nodes[0].api.Apply(t.Context(), control.Change{Override: func() replication.Override {
		o := set(replication.Freeze, func(o *replication.Override) { o.Service = "shop" })
		o.Cleared = true
		return o
	}()})
	if err != nil || !out.Applied {
		t.Fatalf("unfreeze: %+v, %v", out, err)
	}
	f.everywhere("unfrozen eu is down", "us")

	f.apply(1, set(replication.ForceUp), ackAll)
	f.everywhere("eu forced up is answered while probes say down", "eu")
	clear(replication.ForceUp)
	f.everywhere("without force eu is down", "us")
}

func TestFreezeDoesNotLiftADrain(t *testing.T) {
	f := running(t, 2)
	f.apply(0, replication.Override{Site: "eu", Action: replication.Drain}, ackAll)
	out := f.apply(0, replication.Override{Site: "eu", Action: replication.Freeze})
	if out.Applied || !strings.Contains(out.Refused, "drain") {
		t.Errorf("freeze of a drained site: %+v: want a refusal that names the drain", out)
	}
	if out := f.apply(0, replication.Override{Site: "eu", Action: replication.Freeze}, force, ackAll); !out.Applied {
		t.Errorf("forced: %+v", out)
	}
	f.everywhere("the freeze stands above the drain", "eu")
}

func TestFreezeOfADividedSiteIsRefused(t *testing.T) {
	f := newFleet(t, 1)
	n, err := New(Options{ConfigFile: f.nodes[0].config})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	o := replication.Override{Site: "us", Action: replication.Freeze, Who: "ana", Why: "a test", Created: 1}
	if err := n.frozen(&o); err == nil || !strings.Contains(err.Error(), "no verdict yet") {
		t.Errorf("freeze before any verdict: %v", err)
	}
	levels := []string{"up", "down"}
	for i, target := range n.setup.fleet.Targets {
		v := n.decision.Verdicts[target]
		if err := v.Level.UnmarshalText([]byte(levels[i%2])); err != nil {
			t.Fatal(err)
		}
		n.decision.Verdicts[target] = v
	}
	if err := n.frozen(&o); err == nil || !strings.Contains(err.Error(), "divided") {
		t.Errorf("freeze of a site that is up over IPv4 and down over IPv6: %v", err)
	}
}

func TestOverrideExpires(t *testing.T) {
	f := running(t, 2)
	// The expiry is set by the wall clock and waited for by polling: some room for a slow machine before it is due.
	until := time.Now().Add(2 * time.Second)
	f.apply(0, replication.Override{Site: "eu", Action: replication.Drain, Expires: until.UnixMilli()}, ackAll)
	if time.Now().Before(until) {
		if got := f.nodes[1].sitesFor(host, frankfurt); got != "us" && time.Now().Before(until) {
			t.Errorf("Frankfurt is sent to %s while eu is drained", got)
		}
	}
	f.everywhere("the drain has expired", "eu")
	if time.Now().Before(until) {
		t.Error("the drain ended before its time")
	}
	for _, m := range f.nodes {
		f.eventually("an event tells", func() error { return m.event("override", "has expired") })
		if o := m.status().Override; len(o) != 0 {
			t.Errorf("%s: %+v is still in force", m.site.Name, o)
		}
	}
}

// event looks for an event.
func (m *member) event(kind, text string) error {
	var seen []string
	err := m.api.Events(m.f.t.Context(), 0, false, func(e control.Event) error {
		if e.Kind == kind && strings.Contains(e.Text, text) {
			return fs.SkipAll
		}
		seen = append(seen, e.Kind+": "+e.Text)
		return nil
	})
	if errors.Is(err, fs.SkipAll) {
		return nil
	}
	return fmt.Errorf("%s: no event %q with %q in %q, %v", m.site.Name, kind, text, seen, err)
}

func TestOperatorsAtOnceEndInOneState(t *testing.T) {
	f := running(t, 3)
	actions := []replication.Override{
		{Site: "us", Action: replication.Weight, Percent: 10},
		{Site: "us", Action: replication.Weight, Percent: 90},
		{Site: "eu", Action: replication.Weight, Percent: 50},
		{Site: "ap", Action: replication.ForceUp},
		{Site: "us", Action: replication.Weight, Percent: 70},
		{Site: "eu", Action: replication.ForceUp},
	}
	var all sync.WaitGroup
	for round := range 4 {
		for i, o := range actions {
			o.Who, o.Why = fmt.Sprintf("operator-%d", i), fmt.Sprintf("round %d", round)
			m := f.nodes[(round+i)%len(f.nodes)]
			all.Go(func() {
				out, err := m.api.Apply(t.Context(), control.Change{Override: o, Ack: control.AckLocal})
				// A decision that another operator made a moment later may stand instead.
				if err != nil && !strings.Contains(err.Error(), "meanwhile") || err == nil && !out.Applied {
					t.Errorf("%s: %+v: %+v, %v", m.site.Name, o, out, err)
				}
			})
		}
	}
	all.Wait()
	f.eventually("one state everywhere", func() error {
		first := f.nodes[0].status()
		if len(first.Override) != 4 {
			return fmt.Errorf("%d overrides: want 4", len(first.Override))
		}
		for _, m := range f.nodes[1:] {
			if s := m.status(); !slices.Equal(s.Override, first.Override) {
				return fmt.Errorf("%s: %+v\n%s: %+v", f.nodes[0].site.Name, first.Override, m.site.Name, s.Override)
			}
		}
		return f.oneEpoch()
	})
}

func TestInvalidChanges(t *testing.T) {
	f := running(t, 1)
	sound := control.Change{Override: replication.Override{Site: "us", Action: replication.Weight, Percent: 50, Who: "ana", Why: "a test"}}
	for want, change := range map[string]func(*control.Change){
		`site "nowhere"`: func(c *control.Change) { c.Override.Site = "nowhere" },
		`service "x"`:    func(c *control.Change) { c.Override.Service = "x" },
		`action "x"`:     func(c *control.Change) { c.Override.Action = "x" },
		"percent 1001":   func(c *control.Change) { c.Override.Percent = 1001 },
		"who is empty":   func(c *control.Change) { c.Override.Who = "" },
		"why is empty":   func(c *control.Change) { c.Override.Why = " " },
		"a time to come": func(c *control.Change) { c.Override.Expires = 1 },
		`ack "x"`:        func(c *control.Change) { c.Ack = "x" },
		"wait 1h0m0s":    func(c *control.Change) { c.Wait = time.Hour },
	} {
		c := sound
		change(&c)
		if out, err := f.nodes[0].api.Apply(t.Context(), c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %+v, %v: want an error with %s", c, out, err, want)
		}
	}
	if s := f.nodes[0].status(); len(s.Override) != 0 {
		t.Errorf("invalid changes left %+v", s.Override)
	}
}

func TestFullDiskRefusesChangesAndGoesOn(t *testing.T) {
	f := running(t, 2)
	m := f.nodes[0]
	// A directory in the place of the snapshot's temporary file: it can be neither created nor replaced.
	block := filepath.Join(m.data, "state.tmp")
	f.eventually("the disk is blocked", func() error { return os.MkdirAll(filepath.Join(block, "x"), 0o700) })
	drain := replication.Override{Site: "eu", Action: replication.Drain, Who: "ana", Why: "a test"}
	out, err := m.api.Apply(t.Context(), control.Change{Override: drain})
	if err == nil || !strings.Contains(err.Error(), "nothing was changed") || !strings.Contains(err.Error(), m.data) {
		t.Fatalf("drain on a broken disk: %+v, %v: want that nothing was changed and which directory", out, err)
	}
	for _, x := range f.nodes {
		if got := x.sitesFor(host, frankfurt); got != "eu" || len(x.status().Override) != 0 {
			t.Errorf("%s: Frankfurt is sent to %s: want no change", x.site.Name, got)
		}
	}
	if lines := m.auditLines(); len(lines) != 2 || lines[0].Failed != "" || lines[1].Failed == "" {
		t.Errorf("audit log: %+v: want the attempt and its failure", lines)
	}
	f.eventually("the fault shows", func() error {
		s := m.status()
		if m.metrics()[`meridian_fault{part="disk"}`] != 1 || !strings.Contains(strings.Join(s.Alarms, "\n"), "disk: data dir "+m.data) {
			return fmt.Errorf("alarms %q", s.Alarms)
		}
		return nil
	})
	// What other nodes' operators decide acts here all the same.
	f.apply(1, drain)
	f.everywhere("a drain made elsewhere is in force", "us")

	if err := os.RemoveAll(block); err != nil {
		t.Fatal(err)
	}
	drain.Cleared = true
	if out, err := m.api.Apply(t.Context(), control.Change{Override: drain}); err != nil || !out.Applied {
		t.Fatalf("undrain on the mended disk: %+v, %v", out, err)
	}
	f.eventually("the fault is over", func() error {
		if m.metrics()[`meridian_fault{part="disk"}`] != 0 {
			return errors.New("still at fault")
		}
		return m.event("alarm", "over: disk")
	})
}

func TestEventsStream(t *testing.T) {
	f := running(t, 2)
	enough := errors.New("enough")
	seen := 0
	err := f.nodes[1].api.Events(t.Context(), 0, true, func(e control.Event) error {
		if e.Kind == "verdict" && seen == 0 {
			seen++
			// Made through the other node while this stream is open.
			f.apply(0, replication.Override{Site: "eu", Action: replication.Drain})
		}
		if e.Kind == "override" && strings.Contains(e.Text, "drain set by ana") {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) {
		t.Errorf("the stream ended with %v", err)
	}
	f.eventually("members come and go", func() error { return f.nodes[1].event("member", "us-1 of us is alive") })
	f.nodes[0].stop()
	f.eventually("the other has left", func() error {
		if s := f.nodes[1].status(); !strings.Contains(s.Summary, "1 of 1 nodes answer alike") {
			return errors.New(s.Summary)
		}
		return f.nodes[1].event("member", "us-1 of us is left")
	})
	clear := replication.Override{Site: "eu", Action: replication.Drain, Cleared: true}
	if out := f.apply(1, clear, ackAll); !out.Acked || len(out.Nodes) != 1 {
		t.Errorf("ack all after the other has left: %+v: want nobody to be waited for", out)
	}
}
