package steer

import (
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/meridian-gtm/meridian/health"
)

// bench is the members of one service and family with what decides about them.
type bench struct {
	def       *definition
	family    health.Family
	standings []standing
	regions   *regions
	audiences []string // one region for each distinct set of avoided members; 0 is "", which avoids none
	hearing   []uint32 // region -> audience; nil when there is one
	order     []int    // members that are down, the last first
	within    []int    // how many after each of order went down within the window before it
}

func newBench(d *definition, f health.Family, standings []standing, r *regions) *bench {
	b := &bench{def: d, family: f, standings: standings, regions: r, audiences: []string{""}}
	b.divide()
	b.rank()
	return b
}

// divide sorts regions into audiences.
func (b *bench) divide() {
	var any bool
	for i := range b.standings {
		any = any || b.standings[i].stands() && len(b.standings[i].avoid) > 0
	}
	if !any {
		return
	}
	known := map[string]uint32{}
	b.hearing = make([]uint32, len(b.regions.names))
	for n, region := range b.regions.names {
		avoided := make([]byte, len(b.standings))
		for i := range b.standings {
			if b.standings[i].stands() && region != "" && b.standings[i].avoids(region) {
				avoided[i] = 1
			}
		}
		audience, ok := known[string(avoided)]
		if !ok {
			// The first region is "", so that audience 0 avoids nothing.
			audience = uint32(len(known))
			known[string(avoided)] = audience
			if audience > 0 {
				b.audiences = append(b.audiences, region)
			}
		}
		b.hearing[n] = audience
	}
	if len(b.audiences) == 1 {
		b.hearing = nil // only regions without a datacenter are named
	}
}

// rank orders the sites that the last-good policy may have to choose from. Positions stand for ages from here on:
// ages grow all the time, their order seldom changes.
func (b *bench) rank() {
	for i := range b.standings {
		if s := &b.standings[i]; !s.absent && !s.isolated && !s.drained && s.level == health.Down {
			b.order = append(b.order, i)
		}
	}
	age := func(i int) time.Duration { return b.standings[i].age }
	slices.SortStableFunc(b.order, func(i, j int) int {
		if age(i) != age(j) {
			return int(min(max(age(i)-age(j), -1), 1))
		}
		return strings.Compare(b.def.members[i].Name, b.def.members[j].Name)
	})
	for at, i := range b.order {
		n := 0
		for _, j := range b.order[at+1:] {
			if age(j)-age(i) > lastGoodWindow {
				break
			}
			n++
		}
		b.within = append(b.within, n)
	}
}

// fingerprint holds all that a variant is a function of, with or without the order in which sites went down.
func (b *bench) fingerprint(ages bool) []byte {
	k := append([]byte(nil), b.def.digest[:]...)
	k = append(k, byte(b.family))
	for i := range b.standings {
		s := &b.standings[i]
		if s.absent {
			k = append(k, 0xff)
			continue
		}
		flags := byte(s.level)
		for n, set := range [...]bool{s.isolated, s.drained, s.moving} {
			if set {
				flags |= 8 << n
			}
		}
		k = append(k, flags)
		k = binary.BigEndian.AppendUint16(k, s.weight)
		k = binary.BigEndian.AppendUint32(k, s.ttl)
		k = binary.AppendUvarint(k, uint64(len(s.avoid)))
		for _, region := range s.avoid {
			k = appendText(k, region)
		}
	}
	if ages {
		for at, i := range b.order {
			k = binary.AppendUvarint(k, uint64(i))
			k = binary.AppendUvarint(k, uint64(b.within[at]))
		}
	}
	return k
}

// ttl is how long an answer over proven sites may live: no longer than health says of any site of the service,
// since a change of any may change the answer, and TTLMin while one is unknown or its weight is moving.
func (b *bench) ttl() uint32 {
	ttl := b.def.service.TTLMax
	for i := range b.standings {
		s := &b.standings[i]
		switch {
		case s.absent || s.ttl == 0:
		case s.moving || s.level == health.Unknown:
			return b.def.service.TTLMin
		default:
			ttl = min(ttl, s.ttl)
		}
	}
	return max(ttl, b.def.service.TTLMin)
}

// variant resolves every class and audience.
func (b *bench) variant() *variant {
	g := b.def.geo
	v := &variant{
		ttl: b.ttl(), ttlMin: b.def.service.TTLMin, classes: len(g.classes), hearing: b.hearing, resort: b.resort(),
		addrs: make([]netip.Addr, len(b.def.members)), results: make([]result, 0, len(b.audiences)*len(g.classes)),
	}
	for i := range b.def.members {
		v.addrs[i] = b.def.members[i].addr(b.family)
	}
	if b.hearing != nil {
		v.regions = b.regions.table
	}
	var last []byte // who takes part as having gone down last, for each class in turn
	r := newResolver(b.def)
	for audience := range b.audiences {
		r.take(b.weigh(stageProven, audience))
		for _, class := range g.classes {
			x := result{}
			var ok bool
			r.class = class
			if x.choice, ok = r.resolve(b.def.root); !ok {
				x = b.fallback(r, class, audience)
				if x.stage == stageLastGood {
					last = r.appendTaking(last)
				}
				r.take(b.weigh(stageProven, audience))
			}
			v.results = append(v.results, x)
		}
	}
	for i := range v.results {
		x, first := &v.results[i], &v.results[i/v.classes*v.classes]
		if x.choice != first.choice || x.stage != first.stage {
			v.table = g.table
		}
	}
	for class := range v.classes {
		first, local := v.results[class], false
		for i := class; i < len(v.results); i += v.classes {
			local = local || v.results[i].choice != first.choice || v.results[i].stage != first.stage
		}
		for i := class; i < len(v.results); i += v.classes {
			v.results[i].local = local
		}
	}
	v.program = r.program
	// Ages differ a little from node to node, and so may the order of sites that went down together. What counts is
	// who takes part.
	v.digest = sha256.Sum256(append(b.fingerprint(false), last...))
	return v
}

// fallback finds the first stage after the proven one that has anything for a class, and leaves its weights in r.
func (b *bench) fallback(r *resolver, class outcome, audience int) result {
	r.class = class
	for _, s := range b.stages() {
		if s == stageLastGood {
			b.lastGood(r, class)
		} else {
			r.take(b.weigh(s, audience))
		}
		switch s {
		case stageLastResort:
			if len(b.resort()) == 0 {
				continue
			}
			return result{stage: s}
		case stageNone, stageIsolated:
			return result{stage: s}
		case stageNoFamily:
			if _, ok := r.resolve(b.def.root); !ok {
				return result{stage: s}
			}
			continue
		}
		if c, ok := r.resolve(b.def.root); ok {
			return result{choice: c, stage: s}
		}
	}
	return result{stage: stageIsolated}
}

// stages lists what comes after the proven stage. A drained site that is not down comes before any that is: who
// drained it wanted it spared, not its clients sent to where nobody answers. Isolating is the word for never.
func (b *bench) stages() []stage {
	rest := []stage{stageUnknown, stageAvoided, stageNoFamily}
	switch b.def.service.AllDown {
	case None:
		return append(rest, stageNone)
	case All:
		rest = append(rest, stageDrained, stageAll)
	case LastResort:
		rest = append(rest, stageDrained, stageLastResort, stageLastGood) // an empty answer is nobody's last resort
	default:
		rest = append(rest, stageDrained, stageLastGood)
	}
	return append(rest, stageDrainedAt, stageIsolated)
}

// weigh returns the weights of a stage. Past the policy stages a site takes its full share: ramps and partial
// weights compare it with better ones, and there are none.
func (b *bench) weigh(s stage, audience int) func(member int) int32 {
	return func(i int) int32 {
		x := &b.standings[i]
		var in bool
		switch s {
		case stageProven, stageUnknown:
			// Whether an unproven site is avoided says nothing: audiences are told apart by sites that stand.
			avoided := audience > 0 && x.stands() && x.avoids(b.audiences[audience])
			in = (x.stands() || s == stageUnknown && x.unproven()) && !avoided
		case stageAvoided:
			in = x.stands() || x.unproven()
		case stageAll:
			in = !x.absent && !x.isolated && !x.drained
		case stageDrained:
			in = !x.absent && !x.isolated && x.drained && x.level != health.Down
		case stageDrainedAt:
			in = !x.absent && !x.isolated && x.drained
		case stageNoFamily:
			in = !x.absent
		}
		switch {
		case !in:
			return out
		case x.stands() || x.unproven():
			return int32(x.weight)
		default:
			return fullShare
		}
	}
}

// lastGood lets those take part that went down last among the sites that the class can come to.
func (b *bench) lastGood(r *resolver, class outcome) {
	reach := make([]bool, len(b.standings))
	b.def.reach(b.def.root, class, reach)
	in := make([]bool, len(b.standings))
	for at, i := range b.order {
		if !reach[i] {
			continue
		}
		for _, j := range b.order[at : at+1+b.within[at]] {
			in[j] = true
		}
		break
	}
	r.take(func(i int) int32 {
		if in[i] {
			return fullShare
		}
		return out
	})
}

// reach marks the members that a class can come to.
func (d *definition) reach(n *node, class outcome, reach []bool) {
	switch n.kind {
	case KindSite:
		reach[n.member] = true
	case KindGeo:
		fallback := len(n.children) - 1
		if c := int(class[n.slot][0]); c != fallback {
			d.reach(n.children[c], class, reach)
		}
		d.reach(n.children[fallback], class, reach)
	default:
		for _, c := range n.children {
			d.reach(c, class, reach)
		}
	}
}

// resort returns the last-resort addresses of the family.
func (b *bench) resort() []netip.Addr {
	var of []netip.Addr
	for _, a := range b.def.service.LastResort {
		if a.Is4() == (b.family == health.V4) {
			of = append(of, a)
		}
	}
	return of
}

// served reports whether any member has the family.
func (b *bench) served() bool {
	return slices.ContainsFunc(b.standings, func(s standing) bool { return !s.absent })
}
