package steer

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/meridian-gtm/meridian/health"
	"github.com/meridian-gtm/meridian/replication"
)

// standing is how a site stands for one service and family after precedence, the first match winning:
//
//	freeze     the level and weight that it holds, whatever else is said
//	isolate    never answered
//	force-up   up with full weight
//	drain      answered only when nothing else can be
//	weight     health decides whether, the percentage scales how much
//	verdict    the worst of the service's checks; none are always up
//
// Fail-open is not a standing of one site but what [Compile] does when no site of a client's choice stands.
type standing struct {
	absent   bool // no address of the family
	isolated bool
	drained  bool
	level    health.Level
	weight   uint16   // permille; meaningful for Up and Partial
	avoid    []string // regions whose clients keep away, sorted
	moving   bool     // the weight is a ramp's or a partial site's: it will change soon
	ttl      uint32   // seconds; the longest that health lets an answer live, 0 = health has no say
	age      time.Duration

	override *replication.Override
	worst    int // position in verdicts of the one that decided, -1 = none
	verdicts []TargetVerdict
}

// stands reports whether the site may be answered in the normal course.
func (s *standing) stands() bool {
	return !s.absent && !s.isolated && !s.drained && (s.level == health.Up || s.level == health.Partial)
}

// unproven reports whether nobody knows yet: such a site waits until no proven one can be answered.
func (s *standing) unproven() bool {
	return !s.absent && !s.isolated && !s.drained && s.level == health.Unknown
}

func (s *standing) avoids(region string) bool {
	_, found := slices.BinarySearch(s.avoid, region)
	return found
}

// overrides finds the overrides that bear on a site of a service.
type overrides struct {
	list []replication.Override // sorted by service, site, action; latest first
}

func newOverrides(list []replication.Override) overrides {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b replication.Override) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Site, b.Site), cmp.Compare(a.Action, b.Action),
			cmp.Compare(b.Created, a.Created), cmp.Compare(a.Who, b.Who), cmp.Compare(a.Why, b.Why),
			cmp.Compare(a.Percent, b.Percent), cmp.Compare(a.FrozenLevel, b.FrozenLevel),
			cmp.Compare(a.FrozenWeight, b.FrozenWeight))
	})
	return overrides{list}
}

// specific reports whether any override names the service.
func (o overrides) specific(service string) bool {
	i, _ := slices.BinarySearchFunc(o.list, service, func(x replication.Override, s string) int {
		return cmp.Compare(x.Service, s)
	})
	return service != "" && i < len(o.list) && o.list[i].Service == service
}

// find returns the override of an action: the service's own, else that for every service.
func (o overrides) find(service, site string, action replication.Action) *replication.Override {
	for _, name := range [...]string{service, ""} {
		key := replication.Override{Service: name, Site: site, Action: action}
		i, found := slices.BinarySearchFunc(o.list, key, func(x, y replication.Override) int {
			return cmp.Or(cmp.Compare(x.Service, y.Service), cmp.Compare(x.Site, y.Site), cmp.Compare(x.Action, y.Action))
		})
		if found {
			return &o.list[i]
		}
	}
	return nil
}

// first returns the override that decides about a site, nil when health does.
func (o overrides) first(service, site string) *replication.Override {
	for _, action := range [...]replication.Action{
		replication.Freeze, replication.Isolate, replication.ForceUp, replication.Drain, replication.Weight,
	} {
		if x := o.find(service, site, action); x != nil {
			return x
		}
	}
	return nil
}

// judge applies precedence to one member for one family. Service is the name for overrides of its own, "" when it
// has none.
func (d *definition) judge(
	m *member, f health.Family, service string, o overrides, verdicts map[health.Target]health.Verdict,
) standing {
	s := d.probed(m, f, verdicts)
	if s.absent {
		return s
	}
	s.override = o.first(service, m.Name)
	if s.override == nil {
		return s
	}
	// What an operator holds does not change by itself: health neither shortens the answer nor moves regions.
	held := func(level health.Level, weight uint16) {
		s.level, s.weight, s.avoid, s.moving, s.ttl = level, weight, nil, false, 0
	}
	switch x := s.override; x.Action {
	case replication.Freeze:
		var level health.Level
		_ = level.UnmarshalText([]byte(x.FrozenLevel)) // reads anything; what it does not know is Unknown
		if s.level != health.Down {
			s.age = math.MaxInt64 // held down since nobody knows when
		}
		held(level, uint16(min(max(x.FrozenWeight, 0), health.FullWeight)))
	case replication.Isolate:
		s.isolated = true
		held(s.level, 0)
	case replication.ForceUp:
		held(health.Up, health.FullWeight)
	case replication.Drain:
		s.drained = true
		held(s.level, 0)
	case replication.Weight:
		s.weight = uint16(uint32(s.weight) * uint32(min(max(x.Percent, 0), 1000)) / 100)
	}
	return s
}

// probed is what health alone makes of a member: the worst of the checks by level, the least by weight and TTL.
func (d *definition) probed(m *member, f health.Family, verdicts map[health.Target]health.Verdict) standing {
	s := standing{level: health.Up, weight: health.FullWeight, worst: -1}
	if s.absent = !m.addr(f).IsValid(); s.absent {
		return s
	}
	for i, check := range d.service.Checks {
		t := health.Target{Site: m.Name, Check: check, Family: f}
		v := verdicts[t]
		if s.worst < 0 || badness(v.Level) > badness(s.level) {
			s.worst, s.level = i, v.Level
		}
		switch v.Level {
		case health.Up, health.Partial:
			s.weight = min(s.weight, v.Weight)
			s.moving = s.moving || v.Weight < health.FullWeight || v.Level == health.Partial
		case health.Down:
			s.age = max(s.age, v.Age) // down since the first of its checks
		}
		if s.ttl == 0 || v.TTL < s.ttl {
			s.ttl = max(1, v.TTL)
		}
		s.avoid = append(s.avoid, v.AvoidRegions...)
		s.verdicts = append(s.verdicts, TargetVerdict{Target: t, Verdict: v})
	}
	slices.Sort(s.avoid)
	s.avoid = slices.Compact(s.avoid)
	return s
}

// badness orders levels for taking the worst: what nobody has seen work is worse than what partly works.
func badness(l health.Level) int {
	switch l {
	case health.Up:
		return 0
	case health.Partial:
		return 1
	case health.Down:
		return 3
	default:
		return 2
	}
}

// why says in a few words what decided about the site.
func (s *standing) why(f health.Family) string {
	if s.absent {
		return "no " + f.String() + " address"
	}
	var b strings.Builder
	if x := s.override; x != nil {
		switch x.Action {
		case replication.Freeze:
			fmt.Fprintf(&b, "frozen %s", s.level)
		case replication.Isolate:
			b.WriteString("isolated")
		case replication.ForceUp:
			b.WriteString("forced up")
		case replication.Drain:
			b.WriteString("drained")
		case replication.Weight:
			fmt.Fprintf(&b, "weight %d %%", x.Percent)
		}
		fmt.Fprintf(&b, " by %s: %s", x.Who, x.Why)
		if x.Action == replication.Freeze {
			return b.String()
		}
		b.WriteString("; ")
	}
	if s.worst < 0 {
		b.WriteString("no checks")
		return b.String()
	}
	v := s.verdicts[s.worst]
	level := v.Verdict.Level.String()
	fmt.Fprintf(&b, "verdict %s", level)
	if len(s.verdicts) > 1 && v.Verdict.Level != health.Up {
		fmt.Fprintf(&b, " (%s)", v.Target.Check)
	}
	reason := strings.TrimSpace(strings.TrimPrefix(strings.TrimPrefix(v.Verdict.Reason, level), ":"))
	if reason != "" {
		fmt.Fprintf(&b, ": %s", reason)
	}
	if len(s.avoid) > 0 {
		fmt.Fprintf(&b, "; avoided in %s", strings.Join(s.avoid, ", "))
	}
	return b.String()
}
