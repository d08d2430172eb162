package steer

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/meridian-gtm/meridian/health"
	"github.com/meridian-gtm/meridian/replication"
)

func TestPrecedence(t *testing.T) {
	const second = time.Second
	site := Site{Name: "eu-west", V4: addr("198.51.100.2")}
	o := func(a replication.Action) replication.Override {
		return replication.Override{Site: "eu-west", Action: a, Who: "ana", Why: "test", Created: 1}
	}
	with := func(x replication.Override, f func(x *replication.Override)) replication.Override { f(&x); return x }
	frozen := func(level string, weight int) replication.Override {
		return with(o(replication.Freeze), func(x *replication.Override) { x.FrozenLevel, x.FrozenWeight = level, weight })
	}
	weight := func(percent int) replication.Override {
		return with(o(replication.Weight), func(x *replication.Override) { x.Percent = percent })
	}
	own := func(x replication.Override) replication.Override {
		x.Service = "shop"
		return x
	}
	type overrides = []replication.Override
	type verdicts = []health.Verdict
	ramp := health.Verdict{Level: health.Up, Weight: 250, TTL: 10}
	tests := []struct {
		name      string
		verdicts  verdicts // of the checks web and sql
		overrides overrides
		want      standing
	}{
		{"no checks", nil, nil, standing{level: health.Up, weight: 1000}},
		{"up", verdicts{up(), up()}, nil, standing{level: health.Up, weight: 1000, ttl: 30}},
		{"nothing heard", verdicts{{}, {}}, nil, standing{level: health.Unknown, weight: 1000, ttl: 1}},
		{
			"worst level, least weight and TTL", verdicts{ramp, partial(600)}, nil,
			standing{level: health.Partial, weight: 250, ttl: 10, moving: true},
		},
		{"one unknown", verdicts{up(), {}}, nil, standing{level: health.Unknown, weight: 1000, ttl: 1}},
		{"one down", verdicts{up(), down(3 * second)}, nil, standing{level: health.Down, weight: 1000, ttl: 10, age: 3 * second}},
		{
			"down since the first check", verdicts{down(9 * second), down(3 * second)}, nil,
			standing{level: health.Down, weight: 1000, ttl: 10, age: 9 * second},
		},
		{
			"regions of all checks", verdicts{avoided("europe", "asia"), avoided("asia")}, nil,
			standing{level: health.Up, weight: 1000, ttl: 30, avoid: []string{"asia", "europe"}},
		},
		{
			"freeze holds level and weight", verdicts{avoided("asia"), down(second)}, overrides{frozen("partial", 400)},
			standing{level: health.Partial, weight: 400, age: second},
		},
		{"freeze down", verdicts{up(), up()}, overrides{frozen("down", 0)}, standing{level: health.Down, age: math.MaxInt64}},
		{
			"freeze beats isolate, force-up and drain", nil,
			overrides{o(replication.Drain), o(replication.ForceUp), o(replication.Isolate), frozen("up", 1000)},
			standing{level: health.Up, weight: 1000, age: math.MaxInt64},
		},
		{"freeze out of range", nil, overrides{frozen("up", 5000)}, standing{level: health.Up, weight: 1000, age: math.MaxInt64}},
		{
			"isolate beats force-up", verdicts{up(), up()}, overrides{o(replication.ForceUp), o(replication.Isolate)},
			standing{level: health.Up, isolated: true},
		},
		{
			"force-up beats drain", verdicts{down(second), ramp}, overrides{o(replication.Drain), o(replication.ForceUp)},
			standing{level: health.Up, weight: 1000, age: second},
		},
		{
			"drain beats weight", verdicts{up(), up()}, overrides{weight(50), o(replication.Drain)},
			standing{level: health.Up, drained: true},
		},
		{"weight scales", verdicts{up(), up()}, overrides{weight(150)}, standing{level: health.Up, weight: 1500, ttl: 30}},
		{
			"weight scales a ramp", verdicts{ramp, up()}, overrides{weight(200)},
			standing{level: health.Up, weight: 500, ttl: 10, moving: true},
		},
		{
			"weight leaves down down", verdicts{down(second), up()}, overrides{weight(200)},
			standing{level: health.Down, weight: 2000, ttl: 10, age: second},
		},
		{"weight out of range", nil, overrides{weight(5000)}, standing{level: health.Up, weight: 10_000}},
		{"weight below range", nil, overrides{weight(-1)}, standing{level: health.Up}},
		{"own beats general", nil, overrides{weight(50), own(weight(20))}, standing{level: health.Up, weight: 200}},
		{
			"action beats owner", nil, overrides{own(weight(50)), o(replication.Drain)},
			standing{level: health.Up, drained: true},
		},
		{
			"the latest of one key", nil,
			overrides{weight(50), with(weight(30), func(x *replication.Override) { x.Created = 2 })},
			standing{level: health.Up, weight: 300},
		},
		{
			"others' and unknown actions", nil, overrides{
				o("explode"), with(o(replication.Isolate), func(x *replication.Override) { x.Site = "us-east" }),
				with(o(replication.Isolate), func(x *replication.Override) { x.Service = "cart" }),
			}, standing{level: health.Up, weight: 1000},
		},
	}
	for _, test := range tests {
		d := &definition{members: []member{{Site: site}}}
		known := map[health.Target]health.Verdict{}
		for i, v := range test.verdicts {
			check := []string{"web", "sql"}[i]
			d.service.Checks = append(d.service.Checks, check)
			known[health.Target{Site: "eu-west", Check: check, Family: health.V4}] = v
		}
		for range 2 { // in either order of overrides
			s := d.judge(&d.members[0], health.V4, "shop", newOverrides(test.overrides), known)
			got := standing{
				absent: s.absent, isolated: s.isolated, drained: s.drained, level: s.level, weight: s.weight, avoid: s.avoid,
				moving: s.moving, ttl: s.ttl, age: s.age,
			}
			if !slices.Equal(got.avoid, test.want.avoid) {
				t.Errorf("%s: avoided in %v, want %v", test.name, got.avoid, test.want.avoid)
			}
			got.avoid, test.want.avoid = nil, nil
			if !same(got, test.want) {
				t.Errorf("%s:\n got %+v\nwant %+v", test.name, got, test.want)
			}
			test.want.avoid = s.avoid
			slices.Reverse(test.overrides)
		}
		if s := d.judge(&d.members[0], health.V6, "shop", newOverrides(test.overrides), known); !s.absent || s.override != nil {
			t.Errorf("%s: stands for a family it has no address of", test.name)
		}
	}
}

func same(a, b standing) bool {
	return a.absent == b.absent && a.isolated == b.isolated && a.drained == b.drained && a.level == b.level &&
		a.weight == b.weight && a.moving == b.moving && a.ttl == b.ttl && a.age == b.age
}
