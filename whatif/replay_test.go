package whatif

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/meridian-gtm/meridian/config"
	"github.com/meridian-gtm/meridian/geo/mmdb/demodb"
)

const fleet = `
node: {name: n1, datacenter: us-east}
dns: {listen: ["127.0.0.1:5300"]}
geo: {city: demo-city.mmdb}
datacenters:
  us-east: {lat: 40.71, lon: -74.01}
  eu-west: {lat: 50.11, lon: 8.68}
  ap-south: {lat: 19.08, lon: 72.88}
sites:
  us-east: {datacenter: us-east, vip: {v4: 192.0.2.1}, capacity: 100}
  eu-west: {datacenter: eu-west, vip: {v4: 192.0.2.2}, capacity: 100}
  ap-south: {datacenter: ap-south, vip: {v4: 192.0.2.3}, capacity: 100}
checks: {web: {http: {}}}
services:
  shop: {policy: {nearest: [us-east, eu-west, ap-south]}, checks: [web]}
  both: {policy: {round-robin: [us-east, eu-west]}, checks: [web]}
  blind: {policy: eu-west}
zones: {shop.example: {file: zone, steer: {www: shop, all: both, old: blind}}}
`

func situation(t *testing.T, text string) Situation {
	t.Helper()
	dir := t.TempDir()
	if _, _, err := demodb.WriteFiles(dir); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "meridian.yaml")
	if err := writeFile(path, text); err != nil {
		t.Fatal(err)
	}
	s, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var demand = []Demand{ // New York, Frankfurt, London, Mumbai
	{netip.MustParsePrefix("192.0.2.0/26"), 30, "shop"},
	{netip.MustParsePrefix("198.51.100.0/26"), 50, "shop"},
	{netip.MustParsePrefix("198.51.100.64/26"), 10, "shop"},
	{netip.MustParsePrefix("203.0.113.0/26"), 40, "shop"},
}

func replay(t *testing.T, now, then Situation, demand []Demand, o Options) *Result {
	t.Helper()
	r, err := Replay(now, then, demand, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestLossOfASite(t *testing.T) {
	now := situation(t, fleet)
	then, err := now.Without("eu-west")
	if err != nil {
		t.Fatal(err)
	}
	r := replay(t, now, then, demand, Options{Farther: 6000})
	want := []Shift{
		{Site: "ap-south", Before: 40, After: 40, Capacity: 100},
		{Site: "eu-west", Before: 60, Capacity: 100, Down: true},
		{Site: "us-east", Before: 30, After: 90, Capacity: 100},
	}
	if d := cmp.Diff(want, r.Sites, cmpopts.EquateApprox(0, 1e-9)); d != "" {
		t.Errorf("shifts (-want +got):\n%s", d)
	}
	// Frankfurt is 6206 km from New York, London 5570 and 640 from Frankfurt.
	if r.Moved != 60 || r.Far != 50 || r.Dead != 0 || len(r.Moves) != 2 {
		t.Errorf("moved %v, far %v, dead %v, %d moves: want 60, 50, 0, 2", r.Moved, r.Far, r.Dead, len(r.Moves))
	}
	if m := r.Moves[0]; m.Load != 50 || !m.Far || !slices.Equal(m.From, []string{"eu-west"}) || !slices.Equal(m.To, []string{"us-east"}) || m.ToKM < 6100 || m.ToKM > 6300 {
		t.Errorf("the largest move: %+v", m)
	}

	bare := replay(t, now, then, []Demand{{demand[1].Client, 500, "shop"}}, Options{Uncapped: true})
	if us := bare.Sites[2]; us.After != 500 || us.Over || !bare.Uncapped {
		t.Errorf("counts that are no load: %+v: want 500, not over", us)
	}
	scaled := replay(t, now, then, demand, Options{Total: 260})
	if us := scaled.Sites[2]; us.After != 180 || !us.Over {
		t.Errorf("twice the load: %+v: want 180, over", us)
	}
}

func TestAnotherConfiguration(t *testing.T) {
	now := situation(t, fleet)
	then := situation(t, strings.Replace(fleet, "nearest: [us-east, eu-west, ap-south]", "weighted: {us-east: 1, ap-south: 0}", 1))
	r := replay(t, now, then, demand, Options{})
	if r.Moved != 100 || r.Sites[2].After != 130 || !r.Sites[2].Over {
		t.Errorf("moved %v, %+v: want 100 moved and us-east over with 130", r.Moved, r.Sites[2])
	}
	same := replay(t, now, now, demand, Options{})
	if same.Moved != 0 || len(same.Moves) != 0 || same.Load != 130 {
		t.Errorf("no change moves %v of %v", same.Moved, same.Load)
	}
}

func TestSetsAreShared(t *testing.T) {
	now := situation(t, fleet)
	then, _ := now.Without("us-east")
	r := replay(t, now, then, []Demand{{netip.MustParsePrefix("192.0.2.0/26"), 10, "both"}}, Options{})
	if r.Sites[2].Before != 5 || r.Sites[1].Before != 5 || r.Sites[1].After != 10 || r.Moved != 10 {
		t.Errorf("%+v: want 5 and 5 before, 10 after", r.Sites)
	}
}

// TestWhatNobodyChecks: a service without checks answers with a site that is down, and the replay says so.
func TestWhatNobodyChecks(t *testing.T) {
	now := situation(t, fleet)
	then, _ := now.Without("eu-west")
	r := replay(t, now, then, []Demand{{netip.MustParsePrefix("192.0.2.0/26"), 10, "blind"}}, Options{})
	if r.Dead != 10 || r.Moved != 0 {
		t.Errorf("dead %v, moved %v: want 10, 0", r.Dead, r.Moved)
	}
}

func TestWhatCannotBeReplayed(t *testing.T) {
	now := situation(t, fleet)
	if _, err := now.Without("mars"); err == nil || err.Error() != `site "mars": want one of ap-south, eu-west, us-east` {
		t.Errorf("%v", err)
	}
	if _, err := Replay(now, now, []Demand{{netip.MustParsePrefix("192.0.2.0/26"), 1, "no"}}, Options{}); err == nil {
		t.Error("a service that is not there is replayed")
	}
	if _, err := Load("testdata/none.yaml"); err == nil {
		t.Error("a file that is not there is loaded")
	}
	gone := Situation{Config: &config.Config{}}
	r, err := Replay(now, gone, demand, Options{})
	if err != nil || r.Dead != 130 {
		t.Errorf("services that are no more: dead %v, %v: want all 130", r, err)
	}
}

func TestReadDemand(t *testing.T) {
	got, err := ReadDemand("f", strings.NewReader("# counts\n192.0.2.0/24 10\n\n2001:db8::1 2.5 api # a host\n"), "shop")
	want := []Demand{{netip.MustParsePrefix("192.0.2.0/24"), 10, "shop"}, {netip.MustParsePrefix("2001:db8::1/128"), 2.5, "api"}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v: want %v", got, err, want)
	}
	for text, fault := range map[string]string{
		"":                  "f: nothing in it: want lines of PREFIX COUNT [SERVICE]",
		"192.0.2.0/24":      "f:1: 1 words: want PREFIX COUNT [SERVICE]",
		"192.0.2.1/24 1 s":  `f:1: "192.0.2.1/24": want an address, or a prefix without host bits`,
		"x 1 s":             `f:1: "x": want an address, or a prefix without host bits`,
		"192.0.2.0/24 0 s":  `f:1: count "0": want a number above 0`,
		"192.0.2.0/24 ∞ s":  `f:1: count "∞": want a number above 0`,
		"192.0.2.0/24 +Inf": `f:1: count "+Inf": want a number above 0`,
		"192.0.2.0/24 1":    "f:1: no service: want its name after the count, or one for all lines",
	} {
		if _, err := ReadDemand("f", strings.NewReader(text), ""); err == nil || err.Error() != fault {
			t.Errorf("%q: %v: want %s", text, err, fault)
		}
	}
}

func FuzzReadDemand(f *testing.F) {
	f.Add("192.0.2.0/24 10 shop\n# x\n2001:db8::/32 1e3")
	f.Add("::ffff:192.0.2.1 1\n192.0.2.1/33 2")
	f.Fuzz(func(t *testing.T, text string) {
		all, err := ReadDemand("f", strings.NewReader(text), "s")
		if (err == nil) == (len(all) == 0) {
			t.Fatalf("%d networks, error %v", len(all), err)
		}
		for _, d := range all {
			if d.Client != d.Client.Masked() || !(d.Count > 0) || d.Service == "" {
				t.Fatalf("%+v is accepted", d)
			}
		}
	})
}

func writeFile(path, text string) error { return os.WriteFile(path, []byte(text), 0o600) }
