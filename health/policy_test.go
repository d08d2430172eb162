package health

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestPresetsAreValid(t *testing.T) {
	for _, p := range []Policy{DefaultPolicy, FastPolicy} {
		if faults := p.Validate(); len(faults) > 0 {
			t.Errorf("%+v: %v", p, faults)
		}
	}
	if got := len((Policy{}).Validate()); got < 5 {
		t.Errorf("the zero policy has %d faults: want the fields that need a value", got)
	}
}

func TestValidateNamesEveryFieldOutOfRange(t *testing.T) {
	typ := reflect.TypeFor[Policy]()
	for i := range typ.NumField() {
		name := typ.Field(i).Name
		t.Run(name, func(t *testing.T) {
			p := DefaultPolicy
			if f := reflect.ValueOf(&p).Elem().Field(i); f.CanInt() {
				f.SetInt(int64(25 * time.Hour))
			} else {
				f.SetUint(1 << 31)
			}
			faults := p.Validate()
			if len(faults) == 0 {
				t.Fatal("too large a value passes")
			}
			want := strings.ToLower(strings.ReplaceAll(name, "TTL", "ttl"))
			found := false
			for _, f := range faults {
				found = found || strings.ReplaceAll(f.Field, "_", "") == want
			}
			if !found {
				t.Errorf("faults %v: want one that names %s", faults, name)
			}
		})
	}
}

// TestEveryKnobChangesSomething keeps a knob from being documented and without effect.
func TestEveryKnobChangesSomething(t *testing.T) {
	verdict := func(p Policy, prior Prior, lines ...string) string {
		f := three()
		f.Policy = p
		d := decide(f, says(t, lines...), prior)
		return encoded(t, d.Verdicts)
	}
	lost := func(age string) []string {
		return withOthersUp("ap-1: ap=up eu=down/"+age+" us=up", "us-1: ap=up eu=down/"+age+" us=up")
	}
	lostTwo := []string{"ap-1: ap=up eu=down/15s us=down/15s", "eu-1: ap=up us=down/15s", "us-1: ap=up eu=down/15s"}
	good := Prior{Verdicts: lastGood("ap=up eu=up us=up")}
	observe := func(p Policy) string {
		b := newBench(t, FastTiming, func(at time.Duration) (Result, time.Duration) {
			if at/(8*sec)%2 == 0 {
				return answers(ms)(at)
			}
			return refuses()(at)
		})
		b.policy = p.Observer("fra-1", shopV4, Check{Name: "http", Timing: FastTiming})
		b.run(90 * sec)
		return b.state.flap.hold.String()
	}
	softPair := []string{
		"ap-1: ap=soft/50s eu=soft/10s us=up", "eu-1: ap=soft/50s eu=soft/10s us=up", "us-1: ap=soft/50s eu=soft/10s us=up",
	}
	tests := []struct {
		field  string
		change func(*Policy)
		show   func(Policy) string
	}{
		{"Stale", func(p *Policy) { p.Stale = 3 * sec }, func(p Policy) string {
			return verdict(p, Prior{}, withOthersUp("us-1 silent=5s: eu=down")...)
		}},
		{"MaxScore", func(p *Policy) { p.MaxScore = 1 }, func(p Policy) string {
			return verdict(p, Prior{}, withOthersUp("us-1 score=2: eu=down")...)
		}},
		{"CorroborationHold", func(p *Policy) { p.CorroborationHold = 5 * sec }, func(p Policy) string {
			return verdict(p, Prior{}, "us-1: eu=down/6s", "eu-1 silent=7s:")
		}},
		{"MinorityHold", func(p *Policy) { p.MinorityHold = 5 * sec }, func(p Policy) string {
			return verdict(p, Prior{Verdicts: good.Verdicts, QuorumLost: 6 * sec, Witnessed: true}, "us-1: eu=down us=up")
		}},
		{"BrakeWindow", func(p *Policy) { p.BrakeWindow, p.BrakeHold = 12*sec, 0 }, func(p Policy) string {
			p.BrakeHold = p.BrakeWindow
			return verdict(p, good, lostTwo...)
		}},
		{"BrakeHold", func(p *Policy) { p.BrakeHold = 20 * sec }, func(p Policy) string { return verdict(p, good, lostTwo...) }},
		{"SoftPullEvery", func(p *Policy) { p.SoftPullEvery = 20 * sec }, func(p Policy) string { return verdict(p, Prior{}, softPair...) }},
		{"Headroom", func(p *Policy) { p.Headroom = 200 }, func(p Policy) string {
			f := three()
			f.Policy, f.Pools[0].Demand = p, 150
			return encoded(t, decide(f, says(t, withOthersUp("ap-1: eu=soft ap=up us=up", "us-1: eu=soft ap=up us=up")...), Prior{}).Verdicts)
		}},
		{"Ramp", func(p *Policy) { p.Ramp = sec }, func(p Policy) string {
			return verdict(p, Prior{}, withOthersUp("ap-1: ap=up eu=back/2s us=up", "us-1: ap=up eu=back/2s us=up")...)
		}},
		{"SettledTTL", func(p *Policy) { p.SettledTTL = 60 }, func(p Policy) string { return verdict(p, Prior{}, lost("1h")...) }},
		{"UnsettledTTL", func(p *Policy) { p.UnsettledTTL = 5 }, func(p Policy) string { return verdict(p, Prior{}, lost("1s")...) }},
		{"Settle", func(p *Policy) { p.Settle = sec }, func(p Policy) string {
			return verdict(p, Prior{}, withOthersUp("us-1: ap=up eu=up/2s us=up")...)
		}},
		{"Hold", func(p *Policy) { p.Hold = 5 * sec }, observe},
		{"MaxHold", func(p *Policy) { p.MaxHold = p.Hold }, observe},
		{"FlapHalfLife", func(p *Policy) { p.FlapHalfLife = sec }, observe},
	}
	covered := map[string]bool{}
	for _, test := range tests {
		covered[test.field] = true
		t.Run(test.field, func(t *testing.T) {
			p := DefaultPolicy
			p.Hold = sec
			before := test.show(p)
			test.change(&p)
			if after := test.show(p); before == after {
				t.Errorf("no effect: %s", after)
			}
		})
	}
	typ := reflect.TypeFor[Policy]()
	for i := range typ.NumField() {
		if name := typ.Field(i).Name; !covered[name] {
			t.Errorf("no test shows what %s does", name)
		}
	}
}

func TestCheckHashTellsDefinitionsApart(t *testing.T) {
	base := Check{Name: "http", Kind: HTTP, Port: 80}
	seen := map[uint32]string{base.Hash(): "base"}
	typ := reflect.TypeFor[Check]()
	for i := range typ.NumField() {
		c := base
		switch f := reflect.ValueOf(&c).Elem().Field(i); f.Kind() {
		case reflect.String:
			f.SetString("changed")
		case reflect.Uint16:
			f.SetUint(81)
		case reflect.Int64:
			f.SetInt(5)
		case reflect.Bool:
			f.SetBool(true)
		case reflect.Slice:
			c.Status = []StatusRange{{200, 204}}
		case reflect.Struct:
			c.Timing.Fall = 9
		default:
			t.Fatalf("field %s: unexpected kind %v", typ.Field(i).Name, f.Kind())
		}
		if other, ok := seen[c.Hash()]; ok {
			t.Errorf("field %s: hash equals that of %s", typ.Field(i).Name, other)
		}
		seen[c.Hash()] = typ.Field(i).Name
	}
	filled := base
	filled.Timing = DefaultTiming
	if filled.Hash() != base.Hash() {
		t.Error("spelling out the default timing changes the hash")
	}
}
