package health

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// withOthersUp adds settled observers that reach everything in the datacenters that the lines leave out.
func withOthersUp(lines ...string) []string {
	for _, dc := range []string{"ap", "eu", "us"} {
		found := false
		for _, l := range lines {
			found = found || strings.HasPrefix(l, dc+"-")
		}
		if !found {
			lines = append(lines, dc+"-1: ap=up eu=up us=up")
		}
	}
	return lines
}

func TestVerdictsBySituation(t *testing.T) {
	tests := []struct {
		name     string
		evidence []string
		prior    string
		want     string
		reason   string // part of eu's
	}{
		{
			name: "all is well", evidence: withOthersUp(),
			want: "ap=up eu=up us=up", reason: "2 of 2 foreign",
		},
		{
			name:     "site blackout: both foreign datacenters lose it, its own is gone with it",
			evidence: []string{"ap-1: ap=up eu=down/1s us=up", "us-1: ap=up eu=down/0s us=up", "eu-1 silent=4s: ap=up eu=up us=up"},
			want:     "ap=up eu=down us=up", reason: "2 agree that it is down: connect refused",
		},
		{
			name:     "VIP dead, hosts alive and answering themselves",
			evidence: withOthersUp("ap-1: ap=up eu=down/1s us=up", "us-1: ap=up eu=down/1s us=up"),
			want:     "ap=up eu=down us=up", reason: "votes 2 of 10",
		},
		{
			name:     "path fault: one datacenter alone cannot reach it",
			evidence: withOthersUp("us-1: ap=up eu=down/1h us=up"),
			want:     "ap=up eu=partial!us us=up", reason: "us alone does not: connect refused",
		},
		{
			name:     "suspicion is not down",
			evidence: withOthersUp("ap-1: ap=up eu=suspect/1s us=up", "us-1: ap=up eu=suspect/1s us=up"),
			want:     "ap=up eu=up us=up",
		},
		{
			name:     "recovering is still down",
			evidence: withOthersUp("ap-1: ap=up eu=recovering us=up", "us-1: ap=up eu=recovering us=up"),
			want:     "ap=up eu=down us=up",
		},
		{
			name:     "its own datacenter alone holds it down",
			evidence: withOthersUp("eu-1: ap=up eu=down/1h us=up"),
			want:     "ap=up eu=up us=up",
		},
		{
			name:     "one foreign datacenter and its own",
			evidence: []string{"us-1: ap=up eu=down/1s us=up", "eu-1: ap=up eu=down/1s us=up", "ap-1 silent=1m: eu=up"},
			want:     "ap=up eu=down us=up", reason: "its own datacenter agrees",
		},
		{
			name:     "one foreign datacenter, and its own has talked since",
			evidence: []string{"us-1: ap=up eu=down/3s us=up", "eu-1 silent=1s: ap=up eu=up us=up"},
			want:     "ap=up eu=down us=up", reason: "talks while it does not answer",
		},
		{
			name:     "one foreign datacenter, its own silent since: not yet",
			evidence: []string{"us-1: ap=up eu=down/3s us=up", "eu-1 silent=4s: ap=up us=up"},
			want:     "ap=up eu=partial!us us=up",
		},
		{
			name:     "one foreign datacenter has held it down long enough",
			evidence: []string{"us-1: ap=up eu=down/10s us=up", "eu-1 silent=11s: ap=up us=up"},
			want:     "ap=up eu=down us=up", reason: "us alone has held it down for 10s",
		},
		{
			name:     "one foreign datacenter has held it down long, but its witnesses are silent",
			evidence: []string{"us-1 blind: ap=up eu=down/12s us=up", "eu-1 silent=13s: ap=up us=up"},
			want:     "ap=up eu=partial!us us=up",
		},
		{
			name:     "a split datacenter leaves a share",
			evidence: withOthersUp("us-1: eu=up", "us-2: eu=down/1m", "ap-1: ap=up us=up eu=down/1m"),
			want:     "ap=up eu=partial:400 us=up",
		},
		{
			name:     "a majority of a datacenter's nodes is its vote",
			evidence: withOthersUp("us-1: eu=up", "us-2: eu=up", "us-3: eu=down/1m"),
			want:     "ap=up eu=up us=up",
		},
		{
			name:     "stale evidence does not count",
			evidence: withOthersUp("us-1 silent=15s: ap=up eu=down us=up", "ap-1: ap=up eu=up us=up"),
			want:     "ap=up eu=up us=up",
		},
		{
			name:     "isolated observers do not count",
			evidence: withOthersUp("us-1 isolated: ap=up eu=down us=up"),
			want:     "ap=up eu=up us=up",
		},
		{
			name:     "sick observers do not count",
			evidence: withOthersUp("us-1 score=4: ap=up eu=down us=up"),
			want:     "ap=up eu=up us=up",
		},
		{
			name:     "warm observers abstain",
			evidence: withOthersUp("us-1 warm: ap=up eu=down us=up"),
			want:     "ap=up eu=up us=up",
		},
		{
			name:     "an observer that has lost everybody is an outlier",
			evidence: withOthersUp("us-1: ap=down eu=down us=up"),
			want:     "ap=up eu=up us=up",
		},
		{
			name:     "nobody has an opinion, nothing is known: unknown",
			evidence: []string{"ap-1:", "eu-1:", "us-1:"},
			want:     "ap=unknown~ eu=unknown~ us=unknown~",
		},
		{
			name:     "nobody has an opinion: last known good",
			evidence: []string{"ap-1:", "eu-1: eu=unknown", "us-1:"},
			prior:    "ap=up eu=down us=partial", want: "ap=up~ eu=down~ us=partial~", reason: "down: last known good",
		},
		{
			name:     "its own word does not put a site back",
			evidence: []string{"ap-1: ap=up us=up", "eu-1: ap=up eu=up us=up", "us-1: ap=up us=up"},
			prior:    "eu=down", want: "ap=up eu=down~ us=up",
		},
		{
			name:     "its own word will do where nothing is known",
			evidence: []string{"ap-1: ap=up us=up", "eu-1: ap=up eu=up us=up", "us-1: ap=up us=up"},
			want:     "ap=up eu=up us=up", reason: "only its own datacenter",
		},
		{
			name:     "nodes of unknown datacenters do not count",
			evidence: withOthersUp("xx-1: ap=down us=down eu=down", "xy-1: ap=down us=down eu=down"),
			want:     "ap=up eu=up us=up",
		},
		{
			name:     "everything is down",
			evidence: []string{"ap-1: ap=down eu=down us=down", "eu-1: ap=down eu=down us=down", "us-1: ap=down eu=down us=down"},
			want:     "ap=down eu=down us=down",
		},
		{
			name:     "a poisoned check definition is set aside while the old one still answers",
			evidence: withOthersUp("us-1: ap=up#2 us=up#2 eu=down#2/1h", "eu-1: eu=down#2/1h ap=up us=up"),
			want:     "ap=up eu=up us=up",
		},
		{
			name:     "a true outage during a change of definition is not",
			evidence: withOthersUp("us-1: ap=up#2 us=up#2 eu=down#2/1h", "ap-1: eu=down/1h ap=up us=up"),
			want:     "ap=up eu=down us=up",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := three()
			d := decide(f, says(t, test.evidence...), Prior{Verdicts: lastGood(test.prior)})
			if got := summary(f, d.Verdicts); got != test.want {
				t.Errorf("got  %s\nwant %s\nreason %s", got, test.want, d.Verdicts[at("eu")].Reason)
			}
			if got := d.Verdicts[at("eu")].Reason; !strings.Contains(got, test.reason) {
				t.Errorf("reason %q: want %q in it", got, test.reason)
			}
			if d.Mode != ModeNormal {
				t.Errorf("mode %s: want normal", d.Mode)
			}
		})
	}
}

func TestFewAndManyDatacenters(t *testing.T) {
	one, two, five := fleetOf("eu"), fleetOf("eu", "us"), fleetOf("ap", "eu", "sa", "us", "za")
	tests := []struct {
		name     string
		fleet    Fleet
		evidence []string
		prior    Prior
		want     string
	}{
		{"a lone datacenter decides: up", one, []string{"eu-1: eu=up"}, Prior{}, "eu=up"},
		{"a lone datacenter decides: down", one, []string{"eu-1: eu=down/1s"}, Prior{}, "eu=down"},
		{"a lone datacenter's split", one, []string{"eu-1: eu=down/1s", "eu-2: eu=up"}, Prior{}, "eu=partial:500"},
		{"two datacenters: VIP dead, hosts talk", two,
			[]string{"eu-1 silent=1s: eu=up us=up", "us-1: eu=down/2s us=up"}, Prior{}, "eu=down us=up"},
		{"two datacenters: one just died", two,
			[]string{"eu-1 silent=6s: eu=up us=up", "us-1: eu=down/2s us=up"}, Prior{}, "eu=partial!us us=up"},
		{"two datacenters: one is dead, quorum just lost", two,
			[]string{"eu-1 silent=16s: eu=up us=up", "us-1: eu=down/12s us=up"},
			Prior{Verdicts: lastGood("eu=up us=up"), Witnessed: true, QuorumLost: sec}, "eu=up~ us=up~"},
		{"two datacenters: one is dead and witnesses answer", two,
			[]string{"eu-1 silent=30s: eu=up us=up", "us-1: eu=down/26s us=up"},
			Prior{Verdicts: lastGood("eu=up us=up"), Witnessed: true, QuorumLost: 15 * sec}, "eu=down us=up"},
		{"five datacenters: one alone does not reach it", five,
			[]string{"ap-1: eu=down/1h sa=up us=up za=up ap=up", "eu-1: eu=up sa=up us=up za=up ap=up",
				"sa-1: eu=up sa=up us=up za=up ap=up", "us-1: eu=up sa=up us=up za=up ap=up", "za-1: eu=up sa=up us=up za=up ap=up"},
			Prior{}, "ap=up eu=up!ap sa=up us=up za=up"},
		{"five datacenters: two do not reach it", five,
			[]string{"ap-1: eu=down/1h sa=up us=up za=up ap=up", "eu-1: eu=up sa=up us=up za=up ap=up",
				"sa-1: eu=down/1h sa=up us=up za=up ap=up", "us-1: eu=up sa=up us=up za=up ap=up", "za-1: eu=up sa=up us=up za=up ap=up"},
			Prior{}, "ap=up eu=partial:555 sa=up us=up za=up"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d := decide(test.fleet, says(t, test.evidence...), test.prior)
			if got := summary(test.fleet, d.Verdicts); got != test.want {
				t.Errorf("got %s: want %s; mode %s", got, test.want, d.Mode)
			}
		})
	}
}

func TestPartition(t *testing.T) {
	lost := "eu-1: ap=down/1m eu=up us=down/1m"
	tests := []struct {
		name     string
		evidence []string
		prior    Prior
		good     string
		mode     Mode
		want     string
	}{
		{"two of three are a quorum", []string{"eu-1: ap=down/1m eu=up us=up", "us-1: ap=down/1m eu=up us=up"},
			Prior{}, "ap=up eu=up us=up", ModeNormal, "ap=down eu=up us=up"},
		{"quorum just lost: nothing changes", []string{lost},
			Prior{QuorumLost: 14 * sec, Witnessed: true}, "ap=up eu=up us=down", ModeMinorityHold, "ap=up~ eu=up~ us=down~"},
		{"then, witnesses answering, local evidence acts", []string{lost},
			Prior{QuorumLost: 15 * sec, Witnessed: true}, "ap=up eu=up us=up", ModeMinorityLocal, "ap=down eu=up us=down"},
		{"then, witnesses silent, nothing changes for ever", []string{lost},
			Prior{QuorumLost: 240 * time.Hour}, "ap=up eu=up us=down", ModeMinorityBlind, "ap=up~ eu=up~ us=down~"},
		{"divided local evidence changes nothing", []string{lost, "eu-2: ap=up eu=up us=down/1m"},
			Prior{QuorumLost: time.Minute, Witnessed: true}, "ap=up eu=up us=up", ModeMinorityLocal, "ap=up~ eu=up us=down"},
		{"backbone cut, internet fine: nothing is pulled", []string{"eu-1: ap=up eu=up us=up"},
			Prior{QuorumLost: time.Hour, Witnessed: true}, "ap=up eu=up us=up", ModeMinorityLocal, "ap=up eu=up us=up"},
		{"never the last site", []string{"eu-1: ap=down/1m eu=down/1m us=down/1m"},
			Prior{QuorumLost: time.Hour, Witnessed: true}, "ap=up eu=up us=up", ModeMinorityLocal, "ap=up~ eu=up~ us=up~"},
		{"what was down before may stay so", []string{"eu-1: ap=down/1m eu=down/1m us=down/1m"},
			Prior{QuorumLost: time.Hour, Witnessed: true}, "ap=up eu=up us=down", ModeMinorityLocal, "ap=up~ eu=up~ us=down"},
		{"local evidence puts a site back", []string{"eu-1: ap=up eu=up us=up"},
			Prior{QuorumLost: time.Hour, Witnessed: true}, "ap=down eu=up us=up", ModeMinorityLocal, "ap=up eu=up us=up"},
		{"a node that is itself isolated has no quorum", []string{"eu-1 isolated: ap=down eu=up us=down"},
			Prior{QuorumLost: time.Hour}, "ap=up eu=up us=up", ModeMinorityBlind, "ap=up~ eu=up~ us=up~"},
		{"just started and alone: from disk", []string{"eu-1 warm:"},
			Prior{QuorumLost: sec, Warm: true}, "ap=up eu=down us=up", ModeWarm, "ap=up~ eu=down~ us=up~"},
		{"just started with nothing on disk", []string{"eu-1: eu=up ap=down/1s"},
			Prior{QuorumLost: sec}, "", ModeMinorityHold, "ap=unknown~ eu=up us=unknown~"},
		{"no node at all", nil,
			Prior{QuorumLost: time.Hour, Witnessed: true}, "ap=up eu=up us=down", ModeMinorityLocal, "ap=up~ eu=up~ us=down~"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := three()
			test.prior.Verdicts = lastGood(test.good)
			d := decide(f, says(t, test.evidence...), test.prior)
			if got := summary(f, d.Verdicts); got != test.want || d.Mode != test.mode {
				t.Errorf("got  %s in mode %s\nwant %s in mode %s", got, d.Mode, test.want, test.mode)
			}
			if d.Mode != ModeNormal {
				for tt, v := range d.Verdicts {
					if v.TTL != f.Policy.UnsettledTTL {
						t.Errorf("%v: TTL %d: want %d", tt, v.TTL, f.Policy.UnsettledTTL)
					}
				}
				if got := encoded(t, d.Good); got != encoded(t, test.prior.Verdicts) {
					t.Errorf("last known good changed without quorum: %s", got)
				}
			}
		})
	}
}

// A node that has just started pulls nothing on the word of the one datacenter that it has heard so far.
func TestWarmNodeWaitsForTheOthers(t *testing.T) {
	f := fleetOf("ap", "eu", "sa", "us")
	first := []string{"ap-1: ap=up eu=down/1m sa=up us=up", "eu-1:", "sa-1 warm:"}
	later := append([]string{"us-1: eu=down/1m"}, first...)
	for _, tt := range []struct {
		name     string
		evidence []string
		prior    Prior
		want     Level
	}{
		{"warm, one of three foreign", first, Prior{Warm: true}, Up},
		{"warm, two of three foreign", later, Prior{Warm: true}, Down},
		{"not warm", first, Prior{}, Down},
		{"warm, and down before", first, Prior{Warm: true, Verdicts: lastGood("eu=down")}, Down},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.prior.Verdicts == nil {
				tt.prior.Verdicts = lastGood("ap=up eu=up sa=up us=up")
			}
			v := Aggregate(says(t, tt.evidence...), f)
			if v.Complete(f) != (len(tt.evidence) == len(later)) || !v.Quorate {
				t.Errorf("fresh %v, quorate %v", v.Fresh, v.Quorate)
			}
			for target, got := range Decide(v, tt.prior, f).Verdicts {
				if target.Site == "eu" && got.Level != tt.want {
					t.Errorf("%v: %s, want %v", got.Level, got.Reason, tt.want)
				}
			}
		})
	}
}

func TestQuorumCountsConfiguredWeight(t *testing.T) {
	f := three()
	only := says(t, "eu-1: eu=up")
	if v := Aggregate(only, f); v.Quorate {
		t.Error("one of three: want no quorum")
	}
	f.Datacenters[1].Weight = 3
	if v := Aggregate(only, f); !v.Quorate {
		t.Error("weight 3 of 5: want a quorum")
	}
	f.Datacenters[1].Weight = 2
	if v := Aggregate(only, f); v.Quorate {
		t.Error("weight 2 of 4, exactly half: want no quorum")
	}
	if v := Aggregate(says(t, "eu-1 warm score=9:", "us-1:"), f); !v.Quorate || len(v.Fresh) != 2 {
		t.Error("a warm or sick node is still there: want a quorum")
	}
}

func TestOnlyTheNewestEvidenceOfANodeCounts(t *testing.T) {
	f := three()
	lines := says(t, withOthersUp("us-1: ap=up eu=up us=up")...)
	old := says(t, "us-1: ap=down eu=down us=down")[0]
	old.Evidence.Epoch, old.Evidence.Seq = 0, 99
	want := encoded(t, decide(f, lines, Prior{}).Verdicts)
	if got := encoded(t, decide(f, append([]Observed{old}, lines...), Prior{}).Verdicts); got != want {
		t.Errorf("an older boot's evidence counts:\n%s\n%s", got, want)
	}
}

func TestStandingOfObservers(t *testing.T) {
	v := Aggregate(says(t, "ap-1 silent=20s:", "eu-1 isolated:", "us-1 score=5:", "us-2 warm:", "us-3: us=up", "xx-1:"), three())
	want := map[string]string{"ap-1": "stale", "eu-1": "isolated", "us-1": "score 5", "us-2": "warm", "us-3": "", "xx-1": "unknown datacenter"}
	for _, o := range v.Observers {
		if o.Why != want[o.Node] || o.Counted != (o.Why == "") {
			t.Errorf("%s: counted %v, %q: want %q", o.Node, o.Counted, o.Why, want[o.Node])
		}
	}
	if len(v.Observers) != len(want) {
		t.Errorf("%d observers: want %d", len(v.Observers), len(want))
	}
}

func TestVotesTellTheStory(t *testing.T) {
	d := decide(three(), says(t, "ap-1 silent=2s: eu=down/1m", "us-1 silent=20s: eu=up", "eu-1: eu=up"), Prior{})
	votes := d.Verdicts[at("eu")].Votes
	want := []Vote{
		{Datacenter: "ap", Counted: true, Voters: 1, Age: 2 * sec, Reason: "connect refused"},
		{Datacenter: "eu", Counted: true, U: 2, Own: true, NotDown: 1, Voters: 1},
		{Datacenter: "us", Age: 20 * sec, Reason: "stale"},
	}
	if asJSON(t, votes) != asJSON(t, want) {
		t.Errorf("got  %s\nwant %s", asJSON(t, votes), asJSON(t, want))
	}
	if got, of := Tally(votes); got != 2 || of != 6 {
		t.Errorf("tally %d of %d: want 2 of 6", got, of)
	}
}

func TestShareOfADatacenter(t *testing.T) {
	tests := []struct{ notDown, voters, want int }{
		{0, 0, 0}, {0, 1, 0}, {1, 1, 2}, {1, 2, 1}, {2, 2, 2},
		{1, 3, 0}, {2, 3, 2}, {1, 4, 0}, {2, 4, 1}, {3, 4, 2}, {2, 5, 1}, {2, 6, 0}, {3, 6, 1}, {4, 6, 2},
	}
	for _, test := range tests {
		if got := share(test.notDown, test.voters); got != test.want {
			t.Errorf("%d of %d: vote %d: want %d", test.notDown, test.voters, got, test.want)
		}
	}
}

func TestAgeOfADatacentersVote(t *testing.T) {
	tests := []struct {
		down   []time.Duration
		voters int
		want   time.Duration
	}{
		{nil, 1, 0},
		{[]time.Duration{5}, 1, 5},
		{[]time.Duration{5, 9}, 2, 5},
		{[]time.Duration{5, 9}, 3, 5},
		{[]time.Duration{1, 5, 9}, 3, 5},
		{[]time.Duration{9}, 2, 0}, // it does not vote 0
	}
	for _, test := range tests {
		if got := voteAge(test.down, test.voters); got != test.want {
			t.Errorf("%v of %d: %v: want %v", test.down, test.voters, got, test.want)
		}
	}
}

func TestAlarms(t *testing.T) {
	f := three()
	tests := []struct {
		name     string
		evidence []string
		prior    Prior
		want     string
	}{
		{"none", withOthersUp(), Prior{}, ""},
		{"outlier", withOthersUp("us-1: ap=down eu=down us=up"), Prior{}, "outlier:us-1"},
		{"stranger", withOthersUp("xx-1:"), Prior{}, "unknown-datacenter:xx-1"},
		{"minority", []string{"us-1: us=up"}, Prior{QuorumLost: sec}, "minority:minority-hold"},
		{"all down", []string{"ap-1: ap=down eu=down us=down", "eu-1: ap=down eu=down us=down"}, Prior{}, "all-down:shop/v4"},
		{"definition", withOthersUp("us-1: eu=down#2"), Prior{Verdicts: lastGood("us=up")}, "definition:eu/http/v4"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := alarmCodes(decide(f, says(t, test.evidence...), test.prior).Alarms); got != test.want {
				t.Errorf("got %q: want %q", got, test.want)
			}
		})
	}
}

func TestCombine(t *testing.T) {
	up := Verdict{Level: Up, Weight: 1000, TTL: 30, Age: time.Hour, Reason: "up"}
	partial := Verdict{Level: Partial, Weight: 400, TTL: 10, Age: time.Minute, AvoidRegions: []string{"us", "ap"}, Reason: "partial"}
	down := Verdict{Level: Down, TTL: 10, Age: 2 * time.Minute, AvoidRegions: []string{"ap"}, Reason: "down"}
	younger := Verdict{Level: Down, TTL: 20, Age: sec, Reason: "down too"}
	unknown := Verdict{Level: Unknown, Weight: 1000, TTL: 10, Reason: "unknown"}
	tests := []struct {
		name string
		in   []Verdict
		want Verdict
	}{
		{"one", []Verdict{up}, up},
		{"up and partial", []Verdict{up, partial},
			Verdict{Level: Partial, Weight: 400, TTL: 10, Age: time.Minute, AvoidRegions: []string{"ap", "us"}, Reason: "partial"}},
		{"partial and down", []Verdict{down, partial},
			Verdict{Level: Down, TTL: 10, Age: 2 * time.Minute, AvoidRegions: []string{"ap", "us"}, Reason: "down"}},
		{"the youngest of equals", []Verdict{down, younger},
			Verdict{Level: Down, TTL: 10, Age: sec, AvoidRegions: []string{"ap"}, Reason: "down too"}},
		{"unknown is worse than partial", []Verdict{partial, unknown},
			Verdict{Level: Unknown, Weight: 400, TTL: 10, AvoidRegions: []string{"ap", "us"}, Reason: "unknown"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := Combine(test.in...); asJSON(t, got) != asJSON(t, test.want) {
				t.Errorf("got  %s\nwant %s", asJSON(t, got), asJSON(t, test.want))
			}
		})
	}
	if asJSON(t, partial.AvoidRegions) != `["us","ap"]` {
		t.Error("Combine changed its input")
	}
	if v := Combine(); v.Level != Up || v.Weight != FullWeight || v.Age < time.Hour {
		t.Errorf("no checks: got %+v: want settled up", v)
	}
}

// BenchmarkDecide is one change of evidence in a fleet of 3 datacenters, 9 nodes and 120 targets.
func BenchmarkDecide(b *testing.B) {
	f := fleetOf("ap", "eu", "us")
	f.Targets, f.Pools = nil, nil
	for i := range 20 {
		check := fmt.Sprintf("check-%02d", i)
		for _, site := range f.Sites {
			f.Targets = append(f.Targets, Target{site.Name, check, V4}, Target{site.Name, check, V6})
		}
		f.Pools = append(f.Pools, Pool{Service: check, Sites: []string{"ap", "eu", "us"}, Checks: []string{check}})
	}
	var observed []Observed
	for _, dc := range f.Datacenters {
		for i := range 3 {
			e := Evidence{Node: fmt.Sprintf("%s-%d", dc.Name, i), Datacenter: dc.Name}
			for _, t := range f.Targets {
				e.Targets = append(e.Targets, TargetEvidence{Target: t, State: StateUp, Age: time.Hour, Held: time.Hour})
			}
			observed = append(observed, Observed{Evidence: e})
		}
	}
	d := decide(f, observed, Prior{})
	b.ReportAllocs()
	for b.Loop() {
		decide(f, observed, Prior{Verdicts: d.Good})
	}
}
