package replication

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestValidate(t *testing.T) {
	evidence := mustEvidence(t, "node-1", 1, 1, "x")
	applied, err := NewApplied(Applied{Node: "node-1", Datacenter: "fra"}, Version{1, 1})
	if err != nil {
		t.Fatal(err)
	}
	v := Version{uint64(epoch0.UnixMilli()), 0}
	drain := mustOverride(t, Override{Site: "fra", Action: Drain, Expires: after(time.Hour).UnixMilli()}, "node-1", v)
	with := func(r Record, change func(*Record)) Record { change(&r); return r }

	for name, tt := range map[string]struct {
		r    Record
		now  time.Time
		want string // in the error; "" = valid
		is   error
	}{
		"evidence":                {r: evidence},
		"applied":                 {r: applied},
		"override":                {r: drain},
		"override kept for later": {r: with(drain, func(r *Record) { r.Expires = 0 })},
		"evidence by another":     {r: with(evidence, func(r *Record) { r.Writer = "node-2" }), want: `want key "evidence/node-2"`},
		"applied by another": {
			r:    with(applied, func(r *Record) { r.Writer, r.Key = "node-2", "applied/node-2" }),
			want: `body names node "node-1": want "node-2"`,
		},
		"kind and key differ": {r: with(evidence, func(r *Record) { r.Kind = KindApplied }), want: "applied"},
		"no such kind":        {r: with(evidence, func(r *Record) { r.Kind = 9 }), want: "kind 9: want 1..3"},
		"override under another key": {
			r: with(drain, func(r *Record) { r.Key = OverrideKey("", "ams", Drain) }), want: `body is of "override/*/fra/drain"`,
		},
		"override outlives its record": {
			r: with(drain, func(r *Record) { r.Expires-- }), want: "before its override",
		},
		"no writer":       {r: with(drain, func(r *Record) { r.Writer = "" }), want: `writer "": want a node name`},
		"writer has path": {r: with(drain, func(r *Record) { r.Writer = "a/b" }), want: `writer "a/b"`},
		"no version":      {r: with(evidence, func(r *Record) { r.Version.Major = 0 }), want: "version major 0"},
		"no body":         {r: with(evidence, func(r *Record) { r.Body = nil }), want: "body of 0 bytes"},
		"body too long": {
			r: with(evidence, func(r *Record) { r.Body = make([]byte, MaxBodyBytes+1) }), want: "body of 65537 bytes",
		},
		"key too long": {
			r: with(evidence, func(r *Record) { r.Key = strings.Repeat("k", 201) }), want: "key of 201 bytes: want at most 200",
		},
		"negative expiry":      {r: with(drain, func(r *Record) { r.Expires = -1 }), want: "expires -1"},
		"evidence expires":     {r: with(evidence, func(r *Record) { r.Expires = 1 }), want: "evidence ends with its node"},
		"at the horizon":       {r: drain, now: after(time.Hour + Horizon)},
		"past the horizon":     {r: drain, now: after(time.Hour + Horizon + time.Millisecond), is: ErrPastHorizon},
		"a minute ahead":       {r: drain, now: after(-MaxFuture)},
		"more than a minute":   {r: drain, now: after(-MaxFuture - time.Millisecond), is: ErrFuture},
		"evidence is no clock": {r: with(evidence, func(r *Record) { r.Version.Major = 1 << 63 })},
	} {
		t.Run(name, func(t *testing.T) {
			now := tt.now
			if now.IsZero() {
				now = epoch0
			}
			err := Validate(tt.r, now)
			switch {
			case tt.is != nil:
				if !errors.Is(err, tt.is) {
					t.Errorf("got %v, want %v", err, tt.is)
				}
			case tt.want == "" && err != nil:
				t.Errorf("got %v, want none", err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("got %v, want one with %q", err, tt.want)
			}
		})
	}
}

func TestValidateReportsAllFaults(t *testing.T) {
	err := Validate(Record{Kind: KindEvidence, Key: "evidence/a", Writer: "b", Expires: 7}, epoch0)
	for _, want := range []string{"version major", "body of 0", "want key", "expires 7"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in: %v", want, err)
		}
	}
}

func TestValidName(t *testing.T) {
	for name, want := range map[string]bool{
		"fra": true, "eu-west-1": true, "a.b_c": true, "9": true, strings.Repeat("a", 63): true,
		"": false, "*": false, "a/b": false, "-a": false, ".": false, "a b": false, "ä": false, strings.Repeat("a", 64): false,
	} {
		if got := ValidName(name); got != want {
			t.Errorf("%q: got %v", name, got)
		}
	}
}
