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

func appliedRecord(t *testing.T, node string, seq uint64) replication.Record {
	t.Helper()
	r, err := replication.NewApplied(replication.Applied{
		Node: node, Datacenter: "eu", PlanEpoch: "e", ConfigHash: "h", Mode: "normal", Overrides: "o", ClockMS: 1, Version: "v", DNS: "d",
	}, replication.Version{Major: 1, Minor: seq})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func evidenceRecord(t *testing.T, node string, epoch, seq uint64) replication.Record {
	t.Helper()
	r, err := newEvidence(health.Evidence{Node: node, Datacenter: "eu", Epoch: epoch, Seq: seq})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestWhatANodeSaysOfItselfNeedsNoEvidence(t *testing.T) {
	s, now := newStore(nil), time.Now()
	s.merge([]replication.Record{appliedRecord(t, "eu-1", 1)}, now)
	s.housekeep(now.Add(time.Second))
	if _, ok := s.appliedBy()["eu-1"]; !ok {
		t.Error("forgotten a second after it came")
	}
	s.housekeep(now.Add(replication.GoneAfter))
	if _, ok := s.appliedBy()["eu-1"]; ok {
		t.Error("kept although the node is gone")
	}
}

func TestSilenceIsSinceEvidenceAdvanced(t *testing.T) {
	s, now := newStore(nil), time.Now()
	r := evidenceRecord(t, "eu-1", 7, 1)
	s.merge([]replication.Record{r}, now)
	// What is repeated, older, or about something else is no sign of life.
	later := now.Add(time.Minute)
	s.merge([]replication.Record{r, evidenceRecord(t, "eu-1", 6, 9), appliedRecord(t, "eu-1", 1)}, later)
	if got := s.observed(later); len(got) != 1 || got[0].Silent != time.Minute {
		t.Errorf("observed %+v: want a minute of silence", got)
	}
	s.merge([]replication.Record{evidenceRecord(t, "eu-1", 7, 2)}, later)
	if got := s.observed(later); got[0].Silent != 0 || got[0].Evidence.Seq != 2 {
		t.Errorf("observed %+v: want the new evidence, just heard", got)
	}
}

func TestUnreadableRecordsAreRefused(t *testing.T) {
	s, now := newStore(nil), time.Now()
	garbage := evidenceRecord(t, "eu-1", 1, 1)
	garbage.Body = []byte("garbage")
	other := evidenceRecord(t, "us-1", 1, 1)
	other.Key, other.Writer = replication.EvidenceKey("eu-1"), "eu-1"
	changed, refused := s.merge([]replication.Record{garbage, other}, now)
	if len(changed) != 0 || len(refused) != 2 {
		t.Errorf("changed %v, refused %v: want both refused", changed, refused)
	}
	if len(s.observed(now)) != 0 {
		t.Error("something of them counts")
	}
}

// An outage gives every target a long reason, just when the others need to hear of it.
func TestLongReasonsDoNotSilenceEvidence(t *testing.T) {
	e := health.Evidence{Node: "eu-1", Datacenter: "eu", Epoch: 1, Seq: 1}
	for i := range 1000 {
		e.Targets = append(e.Targets, health.TargetEvidence{
			Target: health.Target{Site: fmt.Sprintf("site-%04d", i), Check: "web", Family: health.V4}, State: health.StateDown,
			Reason: strings.Repeat("r", 90),
		})
	}
	r, err := newEvidence(e)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := health.DecodeEvidence(r.Body); err != nil || len(got.Targets) != 1000 || got.Targets[9].State != health.StateDown {
		t.Errorf("%d targets, %v: want all, down", len(got.Targets), err)
	}
}

func TestATwinIsAFault(t *testing.T) {
	f := newFleet(t, 1)
	n, err := New(Options{ConfigFile: f.nodes[0].config})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	now := time.Now()
	n.receive([]replication.Record{evidenceRecord(t, "us-1", n.bootEpoch+1, 1)}, now)
	n.publishEvidence(now)
	if text := n.faults[partEvidence]; !strings.Contains(text, "another node has this one's name") {
		t.Errorf("fault %q: want that somebody else speaks in this node's name", text)
	}
}

func TestAuditLogSurvivesATornLine(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "audit.jsonl")
	write(t, path, `{"time":"2026-01-01T00:00:00Z","node":"us-1"}`+"\n"+`{"time":"2026-01-0`)
	l, err := openAuditLog(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	for range 2 {
		if err := l.add(auditLine{Node: "us-1"}); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(b), "\n")
	if len(lines) != 5 || lines[1] != `{"time":"2026-01-0` || !strings.HasPrefix(lines[2], `{"time":`) || !strings.HasSuffix(lines[3], "}") || lines[4] != "" {
		t.Errorf("audit log:\n%s\nwant the torn line by itself and two whole ones after it", b)
	}
}

func TestPoolsThatAreAlikeAreOne(t *testing.T) {
	pools := mergePools([]health.Pool{
		{Service: "a", Sites: []string{"us", "eu"}, Checks: []string{"web"}},
		{Service: "b", Sites: []string{"eu", "us"}, Checks: []string{"web"}},
		{Service: "c", Sites: []string{"eu", "us"}, Checks: []string{"web", "sql"}},
		{Service: "d", Sites: []string{"us", "eu"}, Checks: []string{"web"}},
		{Service: "e", Sites: []string{"us"}, Checks: []string{"web"}},
	})
	got := ""
	for _, p := range pools {
		got += fmt.Sprintf("%s %v %v; ", p.Service, p.Sites, p.Checks)
	}
	if want := "a and 2 more [eu us] [web]; c [eu us] [sql web]; e [us] [web]; "; got != want {
		t.Errorf("pools %s\nwant %s", got, want)
	}
}
