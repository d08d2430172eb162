package steer

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/meridian-gtm/meridian/geo"
	"github.com/meridian-gtm/meridian/health"
)

// lastResortSite stands in [Trace.Sites] for an address that belongs to no site.
const lastResortSite = string(LastResort)

// Explain runs the resolution of Answer with turn 0 and accounts for it.
func (p *Plan) Explain(service int, qtype uint16, c Client) Trace {
	s := &p.services[service]
	family, kind := 0, "A"
	if qtype == typeAAAA {
		family, kind = 1, "AAAA"
	}
	addr := c.Addr.Unmap()
	t := Trace{
		Type: kind, Service: s.name, Source: "resolver", Epoch: p.epoch,
		Answer: []netip.Addr{}, Sites: []string{}, Steps: []string{},
	}
	if addr.IsValid() {
		t.Client = netip.PrefixFrom(addr, addr.BitLen())
		if p.ground.world != nil {
			t.Place, t.PlacePrefix = p.ground.world.Lookup(addr)
			t.Region = p.ground.regions.of(&t.Place)
		}
	}
	if c.ECS {
		t.Source = "ecs"
	}
	a := p.Answer(service, qtype, c, 0, nil)
	t.Answer = append(t.Answer, a.Addrs...)
	t.TTL, t.Scope = a.TTL, a.Scope

	e := explanation{bench: s.benches[family], place: &t.Place, client: addr}
	v := s.variant(qtype)
	if v == nil {
		t.Steps = append(t.Steps, fmt.Sprintf("no site has a %s address: NODATA", families[family]))
	} else {
		e.run(v, s.salt)
		t.Steps = append(t.Steps, e.steps...)
		if a.Cause == CauseAllDown {
			t.AllDown = s.def.service.AllDown
		}
	}
	for _, a := range t.Answer {
		t.Sites = append(t.Sites, e.siteOf(a))
	}
	t.Candidates = e.candidates(t.Answer)
	return t
}

// explanation retells how a variant answered. It resolves the client's class once more with the same resolver, and
// asks the same decision what each choice on the way gave.
type explanation struct {
	bench    *bench
	place    *geo.Place
	client   netip.Addr
	region   string // that the client's audience is heard as
	result   result
	resolver *resolver
	decision decision
	steps    []string
}

func (e *explanation) run(v *variant, salt uint64) {
	x, audience, _ := v.locate(e.client)
	b := e.bench
	class := uint32(0)
	if e.client.IsValid() {
		// The variant need not know the class when no answer depends on it; the account is of this client.
		class, _ = b.def.geo.table.Lookup(e.client)
	}
	r := newResolver(b.def)
	e.result, e.resolver, e.region = *x, r, b.audiences[audience]
	r.class = b.def.geo.classes[class]
	r.take(b.weigh(stageProven, audience))
	if x.stage != stageProven {
		b.fallback(r, r.class, audience)
	}
	e.stage(v)
	key, _ := clientKey(e.client)
	e.decision = decision{program: &r.program, addrs: v.addrs, seed: mix(key ^ salt)}
	switch x.stage {
	case stageLastResort, stageNone, stageIsolated, stageNoFamily:
		return
	}
	e.tell(b.def.root, false, 1)
}

// stage says what came before the policy tree was walked.
func (e *explanation) stage(v *variant) {
	d := e.bench.def
	if e.region != "" && e.result.stage != stageAvoided {
		var avoided []string
		for i := range e.bench.standings {
			if s := &e.bench.standings[i]; s.stands() && s.avoids(e.region) {
				avoided = append(avoided, d.members[i].Name)
			}
		}
		e.say("region %s keeps away from %s", e.bench.regions.of(e.place), list(avoided))
	}
	switch e.result.stage {
	case stageUnknown:
		e.say("no site is known to be up: sites without a verdict take part")
	case stageAvoided:
		e.say("nothing else is available: sites that region %s keeps away from take part",
			e.bench.regions.of(e.place))
	case stageLastGood:
		policy := string(d.service.AllDown)
		if d.service.AllDown == LastResort {
			policy += " without a " + e.bench.family.String() + " address"
		}
		e.say("all down, policy %s: %s went down last", policy, list(e.taking()))
	case stageAll:
		e.say("all down, policy all: %s take part", list(e.taking()))
	case stageLastResort:
		e.say("all down, policy last-resort: %s", addrs(v.resort))
	case stageNone:
		e.say("all down, policy none: NODATA")
	case stageDrained, stageDrainedAt:
		e.say("all down, only drained sites are left: %s", list(e.taking()))
	case stageIsolated:
		to := "NODATA"
		if len(v.resort) > 0 {
			to = "last resort " + addrs(v.resort)
		}
		e.say("every site is isolated: %s", to)
	case stageNoFamily:
		e.say("no site that the policy has for this client has a %s address: NODATA", e.bench.family)
	}
}

func (e *explanation) say(format string, args ...any) {
	e.steps = append(e.steps, fmt.Sprintf(format, args...))
}

// taking lists the members that take part.
func (e *explanation) taking() []string {
	var names []string
	for i, w := range e.resolver.weights {
		if w != out {
			names = append(names, e.bench.def.members[i].Name)
		}
	}
	return names
}

// live reports whether anything below a node takes part.
func (e *explanation) live(n *node) bool {
	_, ok := e.resolver.resolve(n)
	return ok
}

// share is the permille of clients that a live node takes.
func (e *explanation) share(n *node) uint16 {
	choice, _ := e.resolver.resolve(n)
	return e.resolver.program.choices[choice].share
}

// gives runs a live node for the client and returns the sites it gives and whether the client's prefix mattered.
func (e *explanation) gives(n *node, strict bool, want int) (sites []string, hashed bool) {
	choice, _ := e.resolver.resolve(n)
	d := e.decision
	d.hashed = false
	d.take(choice, strict, want)
	names := make([]string, len(d.out))
	for i, a := range d.out {
		names[i] = e.siteOf(a)
	}
	return names, d.hashed
}

// prefix is what draws know the client by.
func (e *explanation) prefix() netip.Prefix {
	_, bits := clientKey(e.client)
	prefix, _ := e.client.WithZone("").Prefix(int(bits)) // fails for the zero Addr only
	return prefix
}

// tell says what a node gave, then tells the children that it came to.
func (e *explanation) tell(n *node, strict bool, want int) {
	if !e.live(n) {
		return
	}
	given, drawn := e.gives(n, strict, want)
	to := list(given)
	var head string
	var on []*node // children that gave something
	var remarks []string
	switch n.kind {
	case KindSite:
		return
	case KindGeo:
		head, on, remarks = e.geo(n, strict)
		if len(on) == 1 {
			to = e.label(on[0])
		}
	case KindNearest:
		head, remarks = e.nearest(n, given)
		if drawn {
			remarks = append(remarks, fmt.Sprintf("drawn for %s", e.prefix()))
		}
	case KindWeighted, KindSticky:
		head, on, remarks = e.drawn(n)
	default:
		on, remarks = e.ordered(n, n.children, strict)
		head = e.labels(n.children)
	}
	line := string(n.kind) + ": " + head
	if len(remarks) > 0 {
		line += "; " + strings.Join(remarks, ", ")
	}
	e.say("%s -> %s", line, to)
	for _, c := range on {
		e.tell(c, false, 1)
	}
}

// ordered goes through children as tiers, or all of them for round-robin, and returns those that gave something
// and why others did not. Of tiers behind the one that answers it says nothing.
func (e *explanation) ordered(n *node, children []*node, strict bool) (on []*node, remarks []string) {
	every := n.kind == KindRoundRobin
	live := slices.DeleteFunc(slices.Clone(children), func(c *node) bool { return !e.live(c) })
	for _, c := range children {
		if !e.live(c) {
			remarks = append(remarks, e.absence(c))
			continue
		}
		if given, _ := e.gives(c, len(live) > 1, 1); len(given) == 0 {
			remarks = append(remarks, e.takes(c)+", not this one")
			continue
		}
		if on = append(on, c); !every {
			return on, remarks
		}
	}
	if len(on) > 0 || strict {
		return on, remarks
	}
	largest := slices.MaxFunc(live, func(a, b *node) int { return int(e.share(a)) - int(e.share(b)) })
	for _, c := range live {
		if e.share(c) == e.share(largest) && (every || len(on) == 0) {
			on = append(on, c)
		}
	}
	return on, append(remarks, "nobody else takes it")
}

func (e *explanation) geo(n *node, strict bool) (head string, on []*node, remarks []string) {
	fallback := len(n.children) - 1
	c := int(e.resolver.class[n.slot][0])
	if c == fallback {
		return "no rule matches, default", n.children[fallback:], nil
	}
	m := n.matches[slices.IndexFunc(n.matches, func(m match) bool { return m.child == c })]
	on, remarks = e.ordered(n, []*node{n.children[c], n.children[fallback]}, strict)
	head = m.String()
	if len(on) == 1 && on[0] == n.children[fallback] {
		remarks = append(remarks, "default")
	}
	return head, on, remarks
}

// nearest tells the order of the sites, and why those before the last given one were passed over.
func (e *explanation) nearest(n *node, given []string) (head string, remarks []string) {
	var order []string
	left := len(given)
	for group := range groups(e.resolver.class[n.slot]) {
		var sites []string
		past := left == 0
		for _, i := range group {
			c := n.children[i&^tied]
			m := &e.bench.def.members[c.member]
			name := m.Name
			if e.place.Located {
				name += fmt.Sprintf(" %.0f km", geo.Distance(e.place.Coord, m.coord))
			}
			sites = append(sites, name)
			if slices.Contains(given, m.Name) {
				left--
			}
			switch {
			case past:
			case !e.live(c):
				remarks = append(remarks, e.absence(c))
			case e.share(c) < fullShare:
				remarks = append(remarks, e.takes(c))
			}
		}
		order = append(order, strings.Join(sites, " = "))
	}
	head = strings.Join(order, ", ")
	if !e.place.Located && e.place.Sites == "" {
		head += " (place unknown)"
	}
	if e.place.Sites != "" {
		head += " (order of the network map: " + e.place.Sites + ")"
	}
	return head, remarks
}

// drawn describes a weighted or sticky node and finds the child that the client's hash chose.
func (e *explanation) drawn(n *node) (head string, on []*node, remarks []string) {
	var live []*node
	var parts []string
	for i, c := range n.children {
		part := e.label(c)
		if n.kind == KindWeighted {
			part += fmt.Sprintf(" %d", n.weights[i])
		}
		if e.live(c) {
			live = append(live, c)
			if e.share(c) != fullShare {
				part += " x " + percent(e.share(c))
			}
		} else {
			remarks = append(remarks, e.absence(c))
		}
		parts = append(parts, part)
	}
	if choice, _ := e.resolver.resolve(n); len(live) > 1 {
		want := choice
		c := &e.resolver.program.choices[choice]
		switch c.op {
		case opDraw:
			want = e.decision.drawn(c)
		case opSticky:
			want = e.decision.branches(c)[e.decision.next(c, contender{}).place].choice
		}
		for _, c := range live {
			if choice, _ := e.resolver.resolve(c); choice == want {
				on = append(on, c)
				break
			}
		}
		remarks = append(remarks, fmt.Sprintf("drawn for %s", e.prefix()))
	} else {
		on = live
	}
	return strings.Join(parts, ", "), on, remarks
}

// label names a node in few words.
func (e *explanation) label(n *node) string {
	if n.kind == KindSite {
		return e.bench.def.members[n.member].Name
	}
	return string(n.kind) + "(" + e.labels(n.children) + ")"
}

func (e *explanation) labels(nodes []*node) string {
	names := make([]string, len(nodes))
	for i, n := range nodes {
		names[i] = e.label(n)
	}
	return strings.Join(names, ", ")
}

// absence says why nothing below a node takes part.
func (e *explanation) absence(n *node) string {
	if n.kind != KindSite {
		return e.label(n) + " has nothing available"
	}
	s := &e.bench.standings[n.member]
	name := e.bench.def.members[n.member].Name
	switch {
	case s.absent:
		return name + " has no " + e.bench.family.String() + " address"
	case s.isolated:
		return name + " is isolated"
	case s.drained:
		return name + " is drained"
	case s.stands() && e.region != "" && s.avoids(e.region):
		return name + " is avoided"
	case e.result.stage == stageLastGood && s.level == health.Down:
		return name + " went down earlier"
	default:
		return name + " is " + s.level.String()
	}
}

func (e *explanation) takes(n *node) string {
	return e.label(n) + " takes " + percent(e.share(n)) + " of clients"
}

func percent(permille uint16) string {
	return strings.TrimSuffix(fmt.Sprintf("%d.%d", permille/10, permille%10), ".0") + " %"
}

func list(names []string) string {
	if len(names) == 0 {
		return "nothing"
	}
	return strings.Join(names, ", ")
}

func addrs(list []netip.Addr) string {
	names := make([]string, len(list))
	for i, a := range list {
		names[i] = a.String()
	}
	return strings.Join(names, ", ")
}
