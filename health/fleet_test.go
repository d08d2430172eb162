package health

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// three is the fleet of most tests: one site and one check in each of three datacenters.
func three() Fleet { return fleetOf("ap", "eu", "us") }

// fleetOf has one datacenter per name, each in a region of its own name with one site, also of that name.
func fleetOf(names ...string) Fleet {
	f := Fleet{Policy: DefaultPolicy}
	for _, n := range names {
		f.Datacenters = append(f.Datacenters, Datacenter{Name: n, Region: "region-" + n})
		f.Sites = append(f.Sites, Site{Name: n, Datacenter: n, Capacity: 100})
		f.Targets = append(f.Targets, at(n))
	}
	f.Pools = []Pool{{Service: "shop", Sites: names, Checks: []string{"http"}}}
	return f
}

func at(site string) Target { return Target{Site: site, Check: "http", Family: V4} }

// says reads evidence from lines such as
//
//	us-1 silent=3s blind: eu=down/4s ap=up us=suspect/10m
//
// The datacenter is the node's name up to the dash. Opinions: up, suspect, down, recovering, soft, unknown, back
// (up after a return), cleared (up after a suspicion). An age of ten minutes is the default.
func says(t testing.TB, lines ...string) []Observed {
	t.Helper()
	var observed []Observed
	for _, line := range lines {
		head, body, _ := strings.Cut(line, ":")
		words := strings.Fields(head)
		o := Observed{Evidence: Evidence{Node: words[0], Epoch: 1, Seq: 1}}
		o.Evidence.Datacenter, _, _ = strings.Cut(words[0], "-")
		for _, w := range words[1:] {
			key, value, _ := strings.Cut(w, "=")
			switch key {
			case "silent":
				o.Silent = duration(t, value)
			case "blind":
				o.Evidence.Blind = true
			case "isolated":
				o.Evidence.Isolated = true
			case "warm":
				o.Evidence.Warm = true
			case "score":
				fmt.Sscan(value, &o.Evidence.Score)
			default:
				t.Fatalf("%q: unknown word %q", line, w)
			}
		}
		for _, w := range strings.Fields(body) {
			site, opinion, _ := strings.Cut(w, "=")
			opinion, age, aged := strings.Cut(opinion, "/")
			opinion, policy, _ := strings.Cut(opinion, "#")
			e := TargetEvidence{Target: at(site), Age: 10 * time.Minute, Held: 10 * time.Minute}
			fmt.Sscan(policy, &e.Policy)
			if aged {
				e.Age = duration(t, age)
				e.Held = e.Age
			}
			switch opinion {
			case "up":
				e.State = StateUp
			case "cleared": // up again after a suspicion
				e.State, e.Held = StateUp, 10*time.Minute
			case "back":
				e.State, e.Back = StateUp, true
			case "suspect":
				e.State, e.Held = StateSuspect, 10*time.Minute
			case "down":
				e.State, e.Reason = StateDown, "connect refused"
			case "soft":
				e.State, e.Soft, e.Reason = StateDown, true, "status 503"
			case "recovering":
				e.State = StateRecovering
			case "unknown":
			default:
				t.Fatalf("%q: unknown opinion %q", line, opinion)
			}
			o.Evidence.Targets = append(o.Evidence.Targets, e)
		}
		slices.SortFunc(o.Evidence.Targets, func(a, b TargetEvidence) int { return a.Target.Compare(b.Target) })
		observed = append(observed, o)
	}
	return observed
}

func duration(t testing.TB, s string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// lastGood reads verdicts from words such as "eu=up ap=down".
func lastGood(words string) map[Target]Verdict {
	verdicts := map[Target]Verdict{}
	for _, w := range strings.Fields(words) {
		site, level, _ := strings.Cut(w, "=")
		v := Verdict{Age: 10 * time.Minute, TTL: 30, Reason: level}
		v.Level.UnmarshalText([]byte(level))
		if v.Level != Down {
			v.Weight = FullWeight
		}
		verdicts[at(site)] = v
	}
	return verdicts
}

// summary writes verdicts as "ap=up eu=partial:250!us": level, weight if it is not the level's, regions to avoid,
// and ~ for last known good.
func summary(f Fleet, verdicts map[Target]Verdict) string {
	var words []string
	for _, t := range slices.SortedFunc(slices.Values(f.Targets), Target.Compare) {
		v := verdicts[t]
		w := t.Site + "=" + v.Level.String()
		if full := v.Level != Down; full && v.Weight != FullWeight || !full && v.Weight != 0 {
			w += fmt.Sprintf(":%d", v.Weight)
		}
		for _, r := range v.AvoidRegions {
			w += "!" + strings.TrimPrefix(r, "region-")
		}
		if v.Held {
			w += "~"
		}
		words = append(words, w)
	}
	return strings.Join(words, " ")
}

func decide(f Fleet, observed []Observed, prior Prior) Decision {
	return Decide(Aggregate(observed, f), prior, f)
}

func asJSON(t testing.TB, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func encoded(t testing.TB, verdicts map[Target]Verdict) string {
	t.Helper()
	b, err := EncodeVerdicts(verdicts)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func alarmCodes(alarms []Alarm) string {
	var codes []string
	for _, a := range alarms {
		codes = append(codes, a.Code+":"+a.Subject)
	}
	return strings.Join(codes, " ")
}

func TestNthAge(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	chance := rand.New(rand.NewPCG(seed, 0))
	for range 5000 {
		ages := make([]time.Duration, 1+chance.IntN(60))
		for i := range ages {
			ages[i] = time.Duration(chance.IntN(1 + chance.IntN(100)))
			if chance.IntN(8) == 0 {
				ages[i] = never
			}
		}
		k := chance.IntN(len(ages))
		sorted := slices.Sorted(slices.Values(ages))
		if got := nth(slices.Clone(ages), k); got != sorted[k] {
			t.Fatalf("place %d of %v: %v, want %v", k, ages, got, sorted[k])
		}
	}
}
