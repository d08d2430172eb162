package replication

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestOverrideValidate(t *testing.T) {
	good := Override{Site: "fra", Action: Drain, Who: "ada", Why: "disk swap", Created: 1}
	for name, tt := range map[string]struct {
		change func(*Override)
		want   string
	}{
		"good":                  {func(o *Override) {}, ""},
		"service":               {func(o *Override) { o.Service = "shop" }, ""},
		"service with slash":    {func(o *Override) { o.Service = "a/b" }, `service "a/b"`},
		"service star":          {func(o *Override) { o.Service = "*" }, `service "*"`},
		"no site":               {func(o *Override) { o.Site = "" }, `site "": want a name`},
		"action":                {func(o *Override) { o.Action = "explode" }, `action "explode": want freeze`},
		"percent":               {func(o *Override) { o.Action, o.Percent = Weight, 1000 }, ""},
		"percent zero":          {func(o *Override) { o.Action = Weight }, ""},
		"percent high":          {func(o *Override) { o.Action, o.Percent = Weight, 1001 }, "percent 1001: want 0..1000"},
		"percent low":           {func(o *Override) { o.Action, o.Percent = Weight, -1 }, "percent -1"},
		"percent of drain":      {func(o *Override) { o.Percent = 5 }, "percent 5: want none"},
		"freeze":                {func(o *Override) { o.Action, o.FrozenLevel, o.FrozenWeight = Freeze, "partial", 500 }, ""},
		"freeze without level":  {func(o *Override) { o.Action = Freeze }, `frozen_level "": want up`},
		"freeze weight":         {func(o *Override) { o.Action, o.FrozenLevel, o.FrozenWeight = Freeze, "up", 1001 }, "frozen_weight 1001"},
		"frozen drain":          {func(o *Override) { o.FrozenLevel = "up" }, "frozen verdict: want none"},
		"no who":                {func(o *Override) { o.Who = " " }, "who is empty"},
		"no why":                {func(o *Override) { o.Why = "" }, "why is empty"},
		"long why":              {func(o *Override) { o.Why = strings.Repeat("y", MaxWhyBytes+1) }, "why of 513 bytes"},
		"control characters":    {func(o *Override) { o.Why = "a\x1b[2Jb" }, "control characters"},
		"bad utf-8":             {func(o *Override) { o.Who = "\xff" }, "want UTF-8"},
		"not created":           {func(o *Override) { o.Created = 0 }, "created 0"},
		"expired when created":  {func(o *Override) { o.Expires = 1 }, "expires 1"},
		"expires after created": {func(o *Override) { o.Expires = 2 }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			o := good
			tt.change(&o)
			err := o.Validate()
			if (tt.want == "") != (err == nil) || (err != nil && !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if err != nil {
				return
			}
			r, err := NewOverride(o, "node-1", Version{1, 0})
			if err != nil {
				t.Fatal(err)
			}
			back, err := DecodeOverride(r.Body)
			if diff := cmp.Diff(o, back); diff != "" || err != nil {
				t.Errorf("%v (-want +got)\n%s", err, diff)
			}
		})
	}
}

// The longest override that validates must fit its own body limit, however JSON escapes it.
func TestLongestOverrideFits(t *testing.T) {
	name := strings.Repeat("n", MaxNameBytes)
	r, err := NewOverride(Override{
		Service: name, Site: name, Action: Freeze, FrozenLevel: "partial", FrozenWeight: 1000,
		Who: strings.Repeat("<", MaxWhoBytes), Why: strings.Repeat("<", MaxWhyBytes), // each becomes \u003c
		Created: 1 << 61, Expires: 1 << 62, Cleared: true,
	}, name, Version{1 << 62, 0})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Body) > MaxOverrideBytes || len(r.Key) > MaxKeyBytes {
		t.Errorf("body %d, key %d bytes", len(r.Body), len(r.Key))
	}
}

func TestDecodeOverride(t *testing.T) {
	const good = `{"site":"fra","action":"drain","who":"ada","why":"x","created":1,"expires":0`
	for in, want := range map[string]string{
		good + `}`:                              "",
		good + `,"colour":"red"}`:               "",
		good + `} {}`:                           "after top-level value",
		`[]`:                                    "cannot unmarshal",
		`null`:                                  "site",
		``:                                      "unexpected end",
		strings.Repeat(" ", MaxOverrideBytes+1): "want at most 8192",
	} {
		_, err := DecodeOverride([]byte(in))
		if (want == "") != (err == nil) || (err != nil && !strings.Contains(err.Error(), want)) {
			t.Errorf("%.90s: got %v, want %q", in, err, want)
		}
	}
}

func TestDeciding(t *testing.T) {
	everywhere := func(a Action) Override { return Override{Site: "fra", Action: a} }
	shop := func(a Action) Override { return Override{Service: "shop", Site: "fra", Action: a} }
	for name, tt := range map[string]struct {
		in   []Override
		want *Override
	}{
		"none":                            {},
		"another site":                    {in: []Override{{Site: "ams", Action: Drain}}},
		"another service":                 {in: []Override{{Service: "api", Site: "fra", Action: Drain}}},
		"every service":                   {in: []Override{everywhere(Drain)}, want: new(everywhere(Drain))},
		"this service first":              {in: []Override{everywhere(Drain), shop(Drain)}, want: new(shop(Drain))},
		"this service first, other order": {in: []Override{shop(Drain), everywhere(Drain)}, want: new(shop(Drain))},
		"precedence before service":       {in: []Override{shop(ForceUp), everywhere(Isolate)}, want: new(everywhere(Isolate))},
		"all five": {
			in:   []Override{shop(Weight), shop(Drain), shop(ForceUp), shop(Isolate), everywhere(Freeze)},
			want: new(everywhere(Freeze)),
		},
		"force-up before drain": {in: []Override{shop(Drain), shop(ForceUp), shop(Weight)}, want: new(shop(ForceUp))},
		"drain before weight":   {in: []Override{shop(Weight), shop(Drain)}, want: new(shop(Drain))},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok := Deciding(tt.in, "shop", "fra")
			if ok != (tt.want != nil) || (ok && got != *tt.want) {
				t.Errorf("got %+v, %v, want %+v", got, ok, tt.want)
			}
		})
	}
}

func TestInForce(t *testing.T) {
	o := Override{Expires: after(time.Hour).UnixMilli()}
	for name, tt := range map[string]struct {
		o    Override
		now  time.Time
		want bool
	}{
		"before":          {o, after(time.Hour - time.Millisecond), true},
		"at":              {o, after(time.Hour), false},
		"no end":          {Override{}, after(1000 * time.Hour), true},
		"cleared":         {Override{Cleared: true}, epoch0, false},
		"no end, cleared": {Override{Cleared: true, Expires: o.Expires}, epoch0, false},
	} {
		if got := tt.o.InForce(tt.now); got != tt.want {
			t.Errorf("%s: got %v", name, got)
		}
	}
}
