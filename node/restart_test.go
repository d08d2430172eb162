package node

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meridian-gtm/meridian/replication"
)

// firstAnswerWithin is the promise for a node that starts alone; a test machine that is short of breath is given more.
const firstAnswerWithin = time.Second

// crash returns a member that begins with what the running m has on its disk at this moment, as after a power loss,
// and without anybody to talk to.
func (m *member) crash() *member {
	m.f.t.Helper()
	next := &member{f: m.f, site: m.site, gossip: freePort(m.f.t), config: m.config + ".again", data: m.data + "-again"}
	if err := os.CopyFS(next.data, os.DirFS(m.data)); err != nil {
		m.f.t.Fatal(err)
	}
	for _, x := range m.f.nodes {
		x.stop()
	}
	next.writeConfig(m.f.vars)
	return next
}

// troubled is a fleet in which ap is down, us is drained and a weight was given and taken again.
func troubled(t *testing.T) *fleet {
	f := running(t, 3)
	f.apply(1, replication.Override{Site: "us", Action: replication.Drain}, ackAll)
	f.apply(2, replication.Override{Site: "eu", Action: replication.Weight, Percent: 10}, ackAll)
	f.apply(1, replication.Override{Site: "eu", Action: replication.Weight, Cleared: true}, ackAll)
	f.wires.set("*", "ap", true)
	f.eventually("ap is down and everybody has stored it", func() error {
		for _, m := range f.nodes {
			if l := m.site1("ap").Level.String(); l != "down" {
				return fmt.Errorf("%s: ap is %s", m.site.Name, l)
			}
		}
		return f.stored("ap")
	})
	return f
}

// stored checks that every node's snapshot says that a site is down, and holds its override of us.
func (f *fleet) stored(site string) error {
	for _, m := range f.nodes {
		a, _ := os.ReadFile(filepath.Join(m.data, "state-0"))
		b, _ := os.ReadFile(filepath.Join(m.data, "state-1"))
		want := `{"target":{"site":"` + site + `","check":"web","family":4},"verdict":{"level":"down"`
		if !strings.Contains(string(a)+string(b), want) {
			return fmt.Errorf("%s: verdict on %s not stored", m.site.Name, site)
		}
		if n := strings.Count(string(a)+string(b), "override/*/us/drain"); n == 0 {
			return fmt.Errorf("%s: override not stored", m.site.Name)
		}
	}
	return nil
}

func TestRestartAloneAnswersFromDisk(t *testing.T) {
	f := troubled(t)
	m := f.nodes[0].crash()
	f.wires.set("*", "*", true) // no probe of its own tells it anything
	begin := time.Now()
	m.start()
	got := m.sitesFor(host, frankfurt)
	took := time.Since(begin)
	t.Logf("first answer %v after the start", took)
	if got != "eu" {
		t.Errorf("Frankfurt is sent to %s: want eu, since us is drained and ap was down", got)
	}
	if got := m.sitesFor(host, newYork); got != "eu" {
		t.Errorf("New York is sent to %s: want eu", got)
	}
	if took > 5*firstAnswerWithin {
		t.Errorf("the first answer took %v: want %v", took, firstAnswerWithin)
	}
	s := m.status()
	if len(s.Override) != 1 || s.Override[0].Site != "us" {
		t.Errorf("overrides after the restart: %+v: want the drain of us alone", s.Override)
	}
	if s.Mode != "warm" {
		t.Errorf("mode %s: want warm", s.Mode)
	}
	if i := slices.IndexFunc(s.Alarms, func(a string) bool { return strings.HasPrefix(a, "snapshot") }); i >= 0 {
		t.Errorf("alarm %q of a sound snapshot", s.Alarms[i])
	}
	// Time and its own probes, all of which fail, change nothing while nobody else is heard.
	f.eventually("the node knows that it is alone", func() error {
		if got := m.sitesFor(host, frankfurt); got != "eu" {
			t.Fatalf("Frankfurt is sent to %s in mode %s", got, m.status().Mode)
		}
		if mode := m.status().Mode; mode != "minority-blind" {
			return fmt.Errorf("mode %s", mode)
		}
		return nil
	})
}

func TestRestartFromADamagedSnapshot(t *testing.T) {
	f := troubled(t)
	m := f.nodes[1].crash()
	// The generation that was written last is cut short, as by a disk that lied about what it had stored.
	newest := filepath.Join(m.data, "state-0")
	if a, b := stat(t, newest), stat(t, filepath.Join(m.data, "state-1")); b.ModTime().After(a.ModTime()) {
		newest = filepath.Join(m.data, "state-1")
	}
	if err := os.Truncate(newest, stat(t, newest).Size()-40); err != nil {
		t.Fatal(err)
	}
	f.wires.set("*", "*", true)
	m.start()
	if got := m.sitesFor(host, frankfurt); got != "eu" {
		t.Errorf("Frankfurt is sent to %s: want eu", got)
	}
	s := m.status()
	if len(s.Override) != 1 || s.Override[0].Site != "us" {
		t.Errorf("overrides: %+v: want the drain of us", s.Override)
	}
	alarms := strings.Join(s.Alarms, "\n")
	if !strings.Contains(alarms, "snapshot: data dir "+m.data) || !strings.Contains(alarms, filepath.Base(newest)) {
		t.Errorf("alarms %q: want the damaged file", s.Alarms)
	}
	if m.metrics()[`meridian_fault{part="snapshot"}`] != 1 {
		t.Error("the metric does not say that the snapshot was damaged")
	}
	if err := m.event("alarm", "snapshot: "); err != nil {
		t.Error(err)
	}
	// It has been written anew: the next start finds nothing wrong.
	m.stop()
	m.start()
	if m.metrics()[`meridian_fault{part="snapshot"}`] != 0 || len(m.status().Override) != 1 {
		t.Error("the second start still finds damage, or has lost the override")
	}
}

func stat(t *testing.T, path string) os.FileInfo {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

func TestBothSnapshotsGoneIsAFreshStart(t *testing.T) {
	f := running(t, 2)
	m := f.nodes[0].crash()
	for _, name := range []string{"state-0", "state-1"} {
		write(t, filepath.Join(m.data, name), "no snapshot")
	}
	m.start()
	m.sitesFor(host, frankfurt)
	if a := strings.Join(m.status().Alarms, "\n"); !strings.Contains(a, "state-0") || !strings.Contains(a, "state-1") {
		t.Errorf("alarms %q: want both files", a)
	}
}
