package steer

import (
	"cmp"
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/meridian-gtm/meridian/geo"
	"github.com/meridian-gtm/meridian/health"
	"github.com/meridian-gtm/meridian/replication"
)

// oracle answers by walking the policy for every client anew, in the words of the specification: nothing is
// compiled, cut, shared or cached. It has the hash functions in common with the plan and nothing else.
type oracle struct {
	in      Inputs
	service Service
	family  health.Family
	client  netip.Addr
	place   geo.Place
	region  string
	seed    uint64

	weights map[string]int // permille of the sites that take part in the stage at hand
}

func newOracle(in Inputs, service Service, f health.Family, client netip.Addr) *oracle {
	o := &oracle{in: in, service: service, family: f, client: client}
	if in.World != nil {
		o.place, _ = in.World.Lookup(client)
	}
	if o.place.Located {
		nearest := math.Inf(1)
		for _, d := range slices.SortedFunc(slices.Values(in.Datacenters), byDatacenterName) {
			if km := geo.Distance(o.place.Coord, d.Coord); km < nearest {
				nearest, o.region = km, d.Region
			}
		}
	}
	key, _ := clientKey(client)
	o.seed = mix(key ^ nameKey(service.Name))
	return o
}

func byDatacenterName(a, b Datacenter) int { return cmp.Compare(a.Name, b.Name) }

// judged is a site after precedence.
type judged struct {
	isolated, drained bool
	level             health.Level
	weight            int
	avoided           bool
	age               time.Duration
}

func (o *oracle) site(name string) *Site {
	i := slices.IndexFunc(o.in.Sites, func(s Site) bool { return s.Name == name })
	return &o.in.Sites[i]
}

func (o *oracle) addr(name string) netip.Addr {
	if o.family == health.V4 {
		return o.site(name).V4
	}
	return o.site(name).V6
}

func (o *oracle) override(site string, a replication.Action) *replication.Override {
	var best *replication.Override
	for i := range o.in.Overrides {
		x := &o.in.Overrides[i]
		fits := x.Site == site && x.Action == a && (x.Service == "" || x.Service == o.service.Name)
		if fits && (best == nil || x.Service != "" && best.Service == "" ||
			x.Service == best.Service && x.Created > best.Created) {
			best = x
		}
	}
	return best
}

func (o *oracle) judge(site string) judged {
	j := judged{level: health.Up, weight: 1000}
	for _, c := range o.service.Checks {
		v := o.in.Verdicts[health.Target{Site: site, Check: c, Family: o.family}]
		order := []health.Level{health.Up, health.Partial, health.Unknown, health.Down}
		if slices.Index(order, v.Level) > slices.Index(order, j.level) {
			j.level = v.Level
		}
		if v.Level == health.Up || v.Level == health.Partial {
			j.weight = min(j.weight, int(v.Weight))
		}
		if v.Level == health.Down {
			j.age = max(j.age, v.Age)
		}
		j.avoided = j.avoided || o.region != "" && slices.Contains(v.AvoidRegions, o.region)
	}
	if x := o.override(site, replication.Freeze); x != nil {
		if j.level != health.Down {
			j.age = math.MaxInt64
		}
		_ = j.level.UnmarshalText([]byte(x.FrozenLevel))
		j.weight, j.avoided = x.FrozenWeight, false
		return j
	}
	if o.override(site, replication.Isolate) != nil {
		j.isolated = true
		return j
	}
	if o.override(site, replication.ForceUp) != nil {
		return judged{level: health.Up, weight: 1000}
	}
	if o.override(site, replication.Drain) != nil {
		j.drained = true
		return j
	}
	if x := o.override(site, replication.Weight); x != nil {
		j.weight = j.weight * x.Percent / 100
	}
	return j
}

// reach lists the sites that the policy has for the client's place.
func (o *oracle) reach(p Policy) []string {
	var names []string
	switch p.Kind {
	case KindSite:
		return []string{p.Site}
	case KindGeo:
		if r := o.rule(p); r != nil {
			names = o.reach(r.Child)
		}
		return append(names, o.reach(*p.Default)...)
	}
	for _, c := range p.Children {
		names = append(names, o.reach(c)...)
	}
	return names
}

func (o *oracle) rule(p Policy) *Rule {
	place := o.place
	value := map[MatchKind]string{
		MatchLabel: place.Label, MatchCity: place.Country + "/" + place.City,
		MatchSubdivision: place.Country + "-" + place.Subdivision, MatchCountry: place.Country,
		MatchContinent: place.Continent,
	}
	var best *Rule
	for i := range p.Rules {
		r := &p.Rules[i]
		holds := value[r.Kind] == r.Value
		if r.Kind == MatchASN {
			holds = newMatch(*r, 0).asn == place.ASN
		}
		if holds && (best == nil || r.Kind < best.Kind) {
			best = r
		}
	}
	return best
}

// answer returns the sites, or addresses of the last resort, and the cause.
func (o *oracle) answer() (sites []string, resort bool, cause Cause) {
	sitesOfFamily := 0
	all := map[string]judged{}
	down := map[string]time.Duration{}
	for _, name := range o.everySite(o.service.Policy) {
		if o.addr(name).IsValid() {
			sitesOfFamily++
		}
	}
	if sitesOfFamily == 0 {
		return nil, false, CauseNoFamily
	}
	for _, name := range o.reach(o.service.Policy) {
		if o.addr(name).IsValid() {
			all[name] = o.judge(name)
		}
	}
	if len(all) == 0 {
		return nil, false, CauseNoFamily
	}
	try := func(weight func(j judged) int) bool {
		o.weights = map[string]int{}
		for name, j := range all {
			if w := weight(j); w >= 0 {
				o.weights[name] = w
			}
		}
		sites = o.walk(o.service.Policy, nameKey("policy"), false)
		return len(sites) > 0
	}
	usable := func(j judged) bool { return !j.isolated && !j.drained }
	stands := func(j judged) bool { return usable(j) && (j.level == health.Up || j.level == health.Partial) }
	unknown := func(j judged) bool { return usable(j) && j.level == health.Unknown }
	full := func(in func(judged) bool) func(judged) int {
		return func(j judged) int {
			if in(j) {
				return 1000
			}
			return -1
		}
	}
	weighed := func(in func(judged) bool) func(judged) int {
		return func(j judged) int {
			if in(j) {
				return j.weight
			}
			return -1
		}
	}
	if try(weighed(func(j judged) bool { return stands(j) && !j.avoided })) ||
		try(weighed(func(j judged) bool { return stands(j) && !j.avoided || unknown(j) })) ||
		try(weighed(func(j judged) bool { return stands(j) || unknown(j) })) {
		return sites, false, CausePolicy
	}
	lastResort := false
	for _, a := range o.service.LastResort {
		lastResort = lastResort || a.Is4() == (o.family == health.V4)
	}
	drained := func(j judged) bool { return !j.isolated && j.drained }
	if o.service.AllDown != None && try(full(func(j judged) bool { return drained(j) && j.level != health.Down })) {
		return sites, false, CauseAllDown
	}
	switch o.service.AllDown {
	case None:
		return nil, false, CauseAllDown
	case All:
		if try(full(usable)) {
			return sites, false, CauseAllDown
		}
	case LastResort:
		if lastResort {
			return nil, true, CauseAllDown
		}
		fallthrough
	default:
		latest := time.Duration(math.MaxInt64)
		for name, j := range all {
			if usable(j) {
				down[name] = j.age
				latest = min(latest, j.age)
			}
		}
		if try(full(func(j judged) bool { return usable(j) && j.age-latest <= time.Minute })) {
			return sites, false, CauseAllDown
		}
	}
	if try(full(drained)) {
		return sites, false, CauseAllDown
	}
	return nil, lastResort, CauseAllDown
}

func (o *oracle) everySite(p Policy) []string {
	if p.Kind == KindSite {
		return []string{p.Site}
	}
	var names []string
	for _, c := range p.Children {
		names = append(names, o.everySite(c)...)
	}
	for _, r := range p.Rules {
		names = append(names, o.everySite(r.Child)...)
	}
	if p.Default != nil {
		names = append(names, o.everySite(*p.Default)...)
	}
	return names
}

// kid is a child with something to give.
type kid struct {
	policy Policy
	salt   uint64
	share  int
	weight uint64
	key    uint64
}

func (o *oracle) kids(p Policy, salt uint64) []kid {
	var kids []kid
	add := func(c Policy, i int, weight uint64) {
		k := kid{policy: c, salt: mix(salt ^ uint64(i+1)), weight: weight}
		k.key = k.salt
		if c.Kind == KindSite {
			k.key = nameKey(c.Site)
		}
		var live bool
		if k.share, live = o.share(c, k.salt); live {
			k.weight *= uint64(k.share)
			kids = append(kids, k)
		}
	}
	switch p.Kind {
	case KindGeo:
		if r := o.rule(p); r != nil {
			i := slices.IndexFunc(p.Rules, func(x Rule) bool { return x.Kind == r.Kind && x.Value == r.Value })
			add(r.Child, i, 0)
		}
		add(*p.Default, len(p.Rules), 0)
	case KindWeighted:
		for i, c := range p.Children {
			add(c, i, uint64(p.Weights[i]))
		}
	default:
		for i, c := range p.Children {
			weight := uint64(100)
			if c.Kind == KindSite {
				weight = uint64(o.site(c.Site).Weight)
			}
			add(c, i, weight)
		}
	}
	return alive(p.Kind, kids)
}

// alive drops children that count for nothing beside the others.
func alive(kind Kind, kids []kid) []kid {
	var some []kid
	for _, k := range kids {
		if (kind == KindWeighted || kind == KindSticky) && k.weight > 0 ||
			kind != KindWeighted && kind != KindSticky && k.share > 0 {
			some = append(some, k)
		}
	}
	if len(some) > 0 {
		return some
	}
	for i := range kids {
		kids[i].weight = 1
	}
	if len(kids) > 1 && (kind == KindFailover || kind == KindGeo) {
		return kids[:1]
	}
	return kids
}

// share returns the permille of clients that a subtree takes from what comes after it.
func (o *oracle) share(p Policy, salt uint64) (share int, live bool) {
	if p.Kind == KindSite {
		w, in := o.weights[p.Site]
		return w, in
	}
	if p.Kind == KindNearest {
		for _, g := range o.groups(p, salt) {
			for _, k := range g.kids {
				share, live = max(share, k.share), true
			}
		}
		return share, live
	}
	for _, k := range o.kids(p, salt) {
		share, live = max(share, k.share), true
	}
	return share, live
}

func (o *oracle) admits(share int, salt uint64) bool {
	return below(mix(o.seed^^salt), 1000) < uint64(share)
}

func (o *oracle) walk(p Policy, salt uint64, strict bool) []string {
	if p.Kind == KindSite {
		if w, in := o.weights[p.Site]; !in || strict && !o.admits(w, nameKey(p.Site)) {
			return nil
		}
		return []string{p.Site}
	}
	if p.Kind == KindNearest {
		return o.nearest(p, salt, strict)
	}
	kids := o.kids(p, salt)
	switch len(kids) {
	case 0:
		return nil
	case 1:
		return o.walk(kids[0].policy, kids[0].salt, strict)
	}
	most := slices.MaxFunc(kids, func(a, b kid) int { return a.share - b.share })
	switch p.Kind {
	case KindWeighted, KindSticky:
		if strict && !o.admits(most.share, salt) {
			// Children that all come to the same are not told apart.
			return nil
		}
		k := kids[0]
		if p.Kind == KindSticky {
			k = slices.MinFunc(kids, o.rendezvous(salt))
		} else {
			total := uint64(0)
			for _, k := range kids {
				total += k.weight
			}
			point := below(mix(o.seed^salt), total)
			for _, k = range kids {
				if point < k.weight {
					break
				}
				point -= k.weight
			}
		}
		return o.walk(k.policy, k.salt, false)
	case KindRoundRobin:
		var sites []string
		for _, k := range kids {
			sites = append(sites, o.walk(k.policy, k.salt, true)...)
		}
		if len(sites) == 0 && !strict {
			for _, k := range kids {
				if k.share == most.share {
					sites = append(sites, o.walk(k.policy, k.salt, false)...)
				}
			}
		}
		return sites
	default: // failover, geo
		for _, k := range kids {
			if sites := o.walk(k.policy, k.salt, true); len(sites) > 0 {
				return sites
			}
		}
		if strict {
			return nil
		}
		return o.walk(most.policy, most.salt, false)
	}
}

func (o *oracle) rendezvous(salt uint64) func(a, b kid) int {
	return func(a, b kid) int {
		x := contender{hash: mix(o.seed ^ salt ^ a.key), weight: a.weight}
		y := contender{hash: mix(o.seed ^ salt ^ b.key), weight: b.weight}
		if ahead(x, y) {
			return -1
		}
		return 1
	}
}

// group is the sites at one distance.
type group struct {
	kids       []kid
	salt, gate uint64
}

func (o *oracle) groups(p Policy, salt uint64) []group {
	names := map[string]int{}
	for i, c := range p.Children {
		names[c.Site] = i
	}
	var all [][]string
	for s := range strings.SplitSeq(o.place.Sites, ",") {
		if _, ok := names[s]; ok && !slices.ContainsFunc(all, func(g []string) bool { return g[0] == s }) {
			all = append(all, []string{s})
			delete(names, s)
		}
	}
	distance := func(name string) float64 {
		i := slices.IndexFunc(o.in.Datacenters, func(d Datacenter) bool { return d.Name == o.site(name).Datacenter })
		if !o.place.Located {
			return 0
		}
		return geo.Distance(o.place.Coord, o.in.Datacenters[i].Coord)
	}
	for len(names) > 0 {
		nearest := math.Inf(1)
		for name := range names {
			nearest = min(nearest, distance(name))
		}
		var g []string
		for name := range names {
			if distance(name) <= nearest+1 {
				g = append(g, name)
				delete(names, name)
			}
		}
		slices.SortFunc(g, func(a, b string) int {
			return cmp.Or(cmp.Compare(distance(a), distance(b)), cmp.Compare(a, b))
		})
		all = append(all, g)
	}
	var live []group
	positive := false
	for _, names := range all {
		g := group{salt: salt, gate: mix(salt ^ nameKey(names[0]))}
		for _, name := range names {
			if w, in := o.weights[name]; in {
				g.kids = append(g.kids, kid{
					policy: Policy{Kind: KindSite, Site: name}, share: w, key: nameKey(name),
					weight: uint64(o.site(name).Weight) * uint64(w),
				})
			}
		}
		if g.kids = alive(KindSticky, g.kids); len(g.kids) > 0 {
			live = append(live, g)
			positive = positive || g.share() > 0
		}
	}
	if positive {
		return slices.DeleteFunc(live, func(g group) bool { return g.share() == 0 })
	}
	return live[:min(1, len(live))]
}

func (g group) share() int {
	share := 0
	for _, k := range g.kids {
		share = max(share, k.share)
	}
	return share
}

func (o *oracle) nearest(p Policy, salt uint64, strict bool) []string {
	groups := o.groups(p, salt)
	need := max(1, p.Count)
	var sites []string
	for _, g := range groups {
		sites = append(sites, o.fromGroup(g, strict || len(groups) > 1, need-len(sites))...)
		if len(sites) >= need {
			return sites
		}
	}
	if len(sites) > 0 || strict || len(groups) == 0 {
		return sites
	}
	most := slices.MaxFunc(groups, func(a, b group) int { return a.share() - b.share() })
	return o.fromGroup(most, false, need)
}

func (o *oracle) fromGroup(g group, strict bool, want int) []string {
	var sites []string
	if len(g.kids) == 1 || want >= len(g.kids) {
		for _, k := range g.kids {
			sites = append(sites, o.walk(k.policy, 0, strict || len(g.kids) > 1)...)
		}
		for _, k := range g.kids {
			if len(sites) == 0 && !strict && k.share == g.share() {
				for _, k := range g.kids {
					if k.share == g.share() {
						sites = append(sites, k.policy.Site)
					}
				}
			}
		}
		return sites
	}
	if strict && !o.admits(g.share(), g.gate) {
		return nil
	}
	for _, k := range slices.SortedFunc(slices.Values(g.kids), o.rendezvous(g.salt))[:want] {
		sites = append(sites, k.policy.Site)
	}
	return sites
}
