package health

import (
	"strings"
	"testing"
	"time"
)

func TestBrake(t *testing.T) {
	good := "ap=up eu=up us=up"
	tests := []struct {
		name     string
		fleet    Fleet
		evidence []string
		prior    string
		want     string
	}{
		{"one of three is no mass loss", three(),
			withOthersUp("ap-1: ap=up eu=down/1s us=up", "us-1: ap=up eu=down/1s us=up"), good, "ap=up eu=down us=up"},
		{"one of two is no mass loss", fleetOf("eu", "us"),
			[]string{"eu-1: eu=down/1s us=up", "us-1: eu=down/1s us=up"}, "eu=up us=up", "eu=down us=up"},
		{"two of three at once are not believed yet", three(),
			[]string{"ap-1: ap=up eu=down/9s us=down/9s", "eu-1: ap=up eu=up us=down/9s", "us-1: ap=up eu=down/9s us=up"}, good,
			"ap=up eu=up~ us=up~"},
		{"two of three at once, seen by all for ten seconds, are", three(),
			[]string{"ap-1: ap=up eu=down/10s us=down/10s", "eu-1: ap=up us=down/10s", "us-1: ap=up eu=down/10s"}, good,
			"ap=up eu=down us=down"},
		{"two of five datacenters dissent: not unanimous", fleetOf("a", "b", "c", "d", "e"),
			[]string{
				"a-1: a=down/12s b=down/12s c=down/12s d=up e=up", "b-1: a=down/12s b=down/12s c=down/12s d=up e=up",
				"c-1: a=down/12s b=down/12s c=down/12s d=up e=up", "d-1: a=down/12s b=down/12s c=down/12s d=up e=up",
				"e-1: a=suspect/1s b=suspect/1s c=suspect/1s d=up e=up",
			}, "a=up b=up c=up d=up e=up", "a=up~ b=up~ c=up~ d=up e=up"},
		{"after the window the votes decide", fleetOf("a", "b", "c", "d", "e"),
			[]string{
				"a-1: a=down/30s b=down/30s c=down/30s d=up e=up", "b-1: a=down/30s b=down/30s c=down/30s d=up e=up",
				"c-1: a=down/30s b=down/30s c=down/30s d=up e=up", "d-1: a=down/30s b=down/30s c=down/30s d=up e=up",
				"e-1: a=suspect/1s b=suspect/1s c=suspect/1s d=up e=up",
			}, "a=up b=up c=up d=up e=up", "a=down b=down c=down d=up e=up"},
		{"what was pulled before the second loss stays pulled", three(),
			[]string{"ap-1: ap=up eu=down/8s us=down/1s", "eu-1: ap=up us=down/1s", "us-1: ap=up eu=down/8s"},
			"ap=up eu=down us=up", "ap=up eu=down us=up~"},
		{"a loss of long ago does not count", three(),
			[]string{"ap-1: ap=up eu=down/1h us=down/1s", "eu-1: ap=up us=down/1s", "us-1: ap=up eu=down/1h"},
			"ap=up eu=down us=up", "ap=up eu=down us=down"},
		{"what was never up is not protected", three(),
			[]string{"ap-1: ap=up eu=down/1s us=down/1s", "eu-1: ap=up us=down/1s", "us-1: ap=up eu=down/1s"}, "",
			"ap=up eu=down us=down"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d := decide(test.fleet, says(t, test.evidence...), Prior{Verdicts: lastGood(test.prior)})
			if got := summary(test.fleet, d.Verdicts); got != test.want {
				t.Errorf("got %s: want %s", got, test.want)
			}
			if braked := strings.Contains(test.want, "~"); braked != strings.Contains(alarmCodes(d.Alarms), "brake:") {
				t.Errorf("alarms %q: want a brake alarm: %v", alarmCodes(d.Alarms), braked)
			}
		})
	}
}

func TestSoftFailures(t *testing.T) {
	capacity := func(f Fleet, demand uint32) Fleet {
		f.Pools[0].Demand = demand
		return f
	}
	four := fleetOf("ap", "eu", "sa", "us")
	tests := []struct {
		name     string
		fleet    Fleet
		evidence []string
		want     string
		reason   string
	}{
		{"a soft failure that all see pulls", three(),
			withOthersUp("ap-1: ap=up eu=soft/1m us=up", "us-1: ap=up eu=soft/1m us=up"), "ap=up eu=down us=up", "soft down"},
		{"a soft failure is corroborated like a hard one", three(),
			withOthersUp("us-1: ap=up eu=soft/1m us=up"), "ap=up eu=up us=up", ""},
		{"hard to one, soft to the other", three(),
			withOthersUp("ap-1: ap=up eu=soft/1m us=up", "us-1: ap=up eu=down/1m us=up"), "ap=up eu=down us=up", "soft down"},
		{"remaining capacity covers the demand with headroom", capacity(three(), 181),
			withOthersUp("ap-1: ap=up eu=soft/1m us=up", "us-1: ap=up eu=soft/1m us=up"), "ap=up eu=down us=up", ""},
		{"remaining capacity is too small", capacity(three(), 182),
			withOthersUp("ap-1: ap=up eu=soft/1m us=up", "us-1: ap=up eu=soft/1m us=up"), "ap=up eu=up us=up", "do not carry its demand"},
		{"a hard failure does not ask for capacity", capacity(three(), 1000),
			withOthersUp("ap-1: ap=up eu=down/1m us=up", "us-1: ap=up eu=down/1m us=up"), "ap=up eu=down us=up", ""},
		{"soft everywhere is shared: no action", three(),
			[]string{"ap-1: ap=soft/1m eu=soft/1m us=soft/1m", "eu-1: ap=soft/1m eu=soft/1m us=soft/1m", "us-1: ap=soft/1m eu=soft/1m us=soft/1m"},
			"ap=up eu=up us=up", "all sites of shop/v4"},
		{"soft wherever it is not hard down is shared too", three(),
			[]string{"ap-1: ap=soft/1m eu=soft/1m us=down/1m", "eu-1: ap=soft/1m eu=soft/1m us=down/1m", "us-1: ap=soft/1m eu=soft/1m us=down/1m"},
			"ap=up eu=up us=down", ""},
		{"one pull per minute: the second must wait", four,
			[]string{"ap-1: ap=soft/50s eu=soft/10s sa=up us=up", "eu-1: ap=soft/50s eu=soft/10s sa=up us=up", "sa-1: ap=soft/50s eu=soft/10s sa=up us=up", "us-1: ap=soft/50s eu=soft/10s sa=up us=up"},
			"ap=down eu=up sa=up us=up", "just pulled"},
		{"one pull per minute: a minute later", four,
			[]string{"ap-1: ap=soft/70s eu=soft/30s sa=up us=up", "eu-1: ap=soft/70s eu=soft/30s sa=up us=up", "sa-1: ap=soft/70s eu=soft/30s sa=up us=up", "us-1: ap=soft/70s eu=soft/30s sa=up us=up"},
			"ap=down eu=down sa=up us=up", "soft down"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d := decide(test.fleet, says(t, test.evidence...), Prior{})
			if got := summary(test.fleet, d.Verdicts); got != test.want {
				t.Errorf("got %s: want %s", got, test.want)
			}
			if got := d.Verdicts[at("eu")].Reason; !strings.Contains(got, test.reason) {
				t.Errorf("reason %q: want %q in it", got, test.reason)
			}
		})
	}
}

func TestRamp(t *testing.T) {
	back := func(age string) []string {
		return []string{
			"ap-1: ap=up eu=back/" + age + " us=up", "eu-1: ap=up eu=up us=up", "us-1: ap=up eu=back/" + age + " us=up",
		}
	}
	tests := []struct {
		name     string
		evidence []string
		want     string
	}{
		{"at once", back("0s"), "ap=up eu=up:100 us=up"},
		{"after a quarter", back("30s"), "ap=up eu=up:250 us=up"},
		{"after a half", back("61s"), "ap=up eu=up:500 us=up"},
		{"before the end", back("119s"), "ap=up eu=up:750 us=up"},
		{"at the end", back("120s"), "ap=up eu=up us=up"},
		{"one datacenter alone had lost it", withOthersUp("us-1: ap=up eu=back/1s us=up"), "ap=up eu=up us=up"},
		{"a first start is no return", withOthersUp("ap-1: ap=up eu=up/1s us=up", "us-1: ap=up eu=up/1s us=up"), "ap=up eu=up us=up"},
		{"while a datacenter is divided", []string{
			"ap-1: ap=up eu=back/1s us=up", "ap-2: ap=up eu=recovering/1s us=up", "eu-1: ap=up eu=up us=up",
			"us-1: ap=up eu=recovering/1s us=up", "us-2: ap=up eu=back/1s us=up",
		}, "ap=up eu=partial:60 us=up"},
		{"a node that has just started ends no ramp", []string{
			"ap-1: ap=up eu=back/1s us=up", "ap-2: ap=up eu=up/19s us=up", "eu-1: ap=up eu=up us=up", "us-1: ap=up eu=up/19s us=up",
		}, "ap=up eu=up:100 us=up"},
		{"seen first by a node that has just started", []string{
			"ap-1: ap=up eu=up/1s us=up", "ap-2: ap=up eu=recovering/1s us=up", "eu-1: ap=up eu=up us=up", "us-1: ap=up eu=recovering/1s us=up",
		}, "ap=up eu=partial:40 us=up"},
		{"lost again before anybody else has noticed", []string{
			"ap-1: ap=up eu=down/0s us=up", "eu-1: ap=up eu=back/1s us=up", "us-1 warm: ap=up eu=up us=up",
		}, "ap=up eu=partial:100!ap us=up"},
		{"the first to come back after all were down is needed",
			[]string{"ap-1: ap=down eu=back/1s us=down", "eu-1: ap=down us=down", "us-1: eu=back/1s ap=down us=down"},
			"ap=down eu=up us=down"},
		{"all come back together",
			[]string{"ap-1: ap=up eu=back/1s us=back/1s", "eu-1: ap=back/1s us=back/1s", "us-1: ap=back/1s eu=back/1s"},
			"ap=up eu=up us=up"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := three()
			d := decide(f, says(t, test.evidence...), Prior{})
			if got := summary(f, d.Verdicts); got != test.want {
				t.Errorf("got %s: want %s", got, test.want)
			}
		})
	}
	t.Run("not while the pool is short", func(t *testing.T) {
		f := three()
		f.Pools[0].Demand = 182 // more than the other two carry with headroom
		d := decide(f, says(t, back("0s")...), Prior{})
		if got, want := summary(f, d.Verdicts), "ap=up eu=up us=up"; got != want {
			t.Errorf("got %s: want %s", got, want)
		}
	})
	t.Run("never goes back as time passes", func(t *testing.T) {
		last := 0
		for age := time.Duration(0); age <= 130*sec; age += 100 * ms {
			p := rampPercent(age, 120*sec)
			if p < last {
				t.Fatalf("at %v: %d %% after %d %%", age, p, last)
			}
			last = p
		}
		if last != 100 || rampPercent(0, 0) != 100 {
			t.Errorf("ends at %d %%", last)
		}
	})
}

// needs says whether a pool is short without t while the others have the given verdicts.
func needs(f Fleet, verdicts string, t Target) bool {
	return decide(f, nil, Prior{Verdicts: lastGood(verdicts)}).Needed[t]
}

func TestNeeded(t *testing.T) {
	f := three()
	tests := []struct {
		verdicts string
		demand   uint32
		want     bool
	}{
		{"ap=up us=up eu=down", 0, false},
		{"ap=down us=up eu=down", 0, false},
		{"ap=down us=down eu=down", 0, true},
		{"ap=down us=partial eu=down", 0, true},
		{"ap=up us=up eu=down", 181, false},
		{"ap=up us=up eu=down", 182, true},
		{"ap=up us=down eu=down", 100, true},
	}
	for _, test := range tests {
		f.Pools[0].Demand = test.demand
		if got := needs(f, test.verdicts, at("eu")); got != test.want {
			t.Errorf("%s, demand %d: needed %v: want %v", test.verdicts, test.demand, got, test.want)
		}
	}
	f.Pools = nil
	if !needs(f, "ap=down us=down", at("eu")) {
		t.Error("without pools: want targets of one check to stand in for each other")
	}
}

func TestFamiliesArePoolsOfTheirOwn(t *testing.T) {
	f := three()
	v6 := at("eu")
	v6.Family = V6
	f.Targets = append(f.Targets, v6)
	if !needs(f, "ap=up us=up", v6) {
		t.Error("the only site with IPv6: want it needed, whatever IPv4 does")
	}
}

func TestTTL(t *testing.T) {
	tests := []struct {
		name     string
		evidence []string
		prior    Prior
		want     uint32 // of eu
	}{
		{"settled", withOthersUp(), Prior{}, 30},
		{"settled for less than a minute", withOthersUp("us-1: ap=up eu=up/59s us=up"), Prior{}, 10},
		{"settled down", withOthersUp("ap-1: ap=up eu=down us=up", "eu-1: ap=up us=up", "us-1: ap=up eu=down us=up"), Prior{}, 30},
		{"one datacenter suspects it", withOthersUp("us-1: ap=up eu=suspect us=up"), Prior{}, 10},
		{"a suspicion was cleared a moment ago", withOthersUp("us-1: ap=up eu=cleared/59s us=up"), Prior{}, 10},
		{"a suspicion was cleared a minute ago", withOthersUp("us-1: ap=up eu=cleared/60s us=up"), Prior{}, 30},
		{"one datacenter sees it recover", withOthersUp("ap-1: ap=up eu=down us=up", "eu-1: ap=up us=up", "us-1: ap=up eu=recovering us=up"), Prior{}, 10},
		{"one node dissents", withOthersUp("us-1: ap=up eu=up us=up", "us-2: eu=up", "us-3: eu=down"), Prior{}, 10},
		{"partial", withOthersUp("us-1: ap=up eu=down us=up"), Prior{}, 10},
		{"soft", withOthersUp("us-1: ap=up eu=soft us=up"), Prior{}, 10},
		{"ramping", withOthersUp("us-1: ap=up eu=back/61s us=up", "ap-1: ap=up eu=back/61s us=up"), Prior{}, 10},
		{"fail-open", []string{"ap-1: ap=down eu=down us=down", "eu-1: ap=down us=down", "us-1: eu=down ap=down us=down"}, Prior{}, 10},
		{"warm", withOthersUp(), Prior{Warm: true}, 10},
		{"another site's trouble", withOthersUp("us-1: ap=suspect eu=up us=up"), Prior{}, 30},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d := decide(three(), says(t, test.evidence...), test.prior)
			if v := d.Verdicts[at("eu")]; v.TTL != test.want {
				t.Errorf("TTL %d: want %d; %s", v.TTL, test.want, v.Reason)
			}
		})
	}
}
