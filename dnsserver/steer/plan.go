package steer

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"maps"
	"net/netip"
	"slices"

	"github.com/meridian-gtm/meridian/geo"
	"github.com/meridian-gtm/meridian/health"
)

// Plan is everything needed to answer for every service, immutable.
type Plan struct {
	epoch    string
	services []service // sorted by name
	ground   *ground

	// Caches for the next compilation.
	definitions map[[sha256.Size]byte]*definition
	variants    map[string]*variant // by fingerprint with ages
}

// service is one service of a plan.
type service struct {
	name string
	salt uint64 // keeps the draws of different services independent
	def  *definition
	*readiness
}

// readiness is how a definition stands by family. Its services share one, but for those with overrides of their own.
type readiness struct {
	benches  [2]*bench
	variants [2]*variant // nil when no site has the family
}

// families are the positions in a service's arrays.
var families = [2]health.Family{health.V4, health.V6}

// The DNS types that have addresses (RFC 1035 section 3.2.2, RFC 3596 section 2.1).
const (
	typeA    = 1
	typeAAAA = 28
)

// ground is what lasts while world, datacenters and sites do.
type ground struct {
	world       *geo.World
	worldDigest string
	fleet       fleet
	digest      [sha256.Size]byte // of world and datacenters
	siteDigest  [sha256.Size]byte // of all sites
	regions     *regions
	geographies map[string]*geography
}

// Compile lays in out for answering. prev, which may be nil, is only a cache: what has not changed is taken from it.
// It reports every fault it finds, joined.
//
// Overrides of sites, services or actions that in does not have are ignored: they are replicated apart from the
// configuration and may come before it.
func Compile(in Inputs, prev *Plan) (*Plan, error) {
	if err := in.validate(prev); err != nil {
		return nil, err
	}
	c := compiler{
		in: in, prev: prev, overrides: newOverrides(in.Overrides), verdicts: cloneVerdicts(in.Verdicts),
		ready: map[*definition]*readiness{},
	}
	if c.prev == nil {
		c.prev = &Plan{}
	}
	return c.compile(), nil
}

// compiler is one run of Compile.
type compiler struct {
	in        Inputs
	prev      *Plan
	plan      *Plan
	overrides overrides
	verdicts  map[health.Target]health.Verdict
	ready     map[*definition]*readiness
}

func (c *compiler) compile() *Plan {
	c.plan = &Plan{
		ground: c.newGround(), definitions: map[[sha256.Size]byte]*definition{}, variants: map[string]*variant{},
		services: make([]service, len(c.in.Services)),
	}
	sorted := make([]*Service, len(c.in.Services))
	for i := range sorted {
		sorted[i] = &c.in.Services[i]
	}
	slices.SortFunc(sorted, func(a, b *Service) int { return cmp.Compare(a.Name, b.Name) })
	for i, s := range sorted {
		c.plan.services[i] = c.service(s)
	}
	c.plan.ground.prune(c.plan.services)
	c.plan.epoch = c.plan.digestEpoch()
	return c.plan
}

// newGround returns prev's ground when nothing of it has changed.
func (c *compiler) newGround() *ground {
	dcs := slices.SortedFunc(slices.Values(c.in.Datacenters), func(a, b Datacenter) int {
		return cmp.Compare(a.Name, b.Name)
	})
	sites := slices.SortedFunc(slices.Values(c.in.Sites), func(a, b Site) int { return cmp.Compare(a.Name, b.Name) })
	g := &ground{world: c.in.World, geographies: map[string]*geography{}}
	if g.world != nil {
		g.worldDigest = g.world.Digest()
	}
	b := appendText(nil, g.worldDigest)
	for i := range dcs {
		b = appendDatacenter(b, &dcs[i])
	}
	g.digest = sha256.Sum256(b)
	b = b[:0]
	for i := range sites {
		b = appendSite(b, &sites[i])
	}
	g.siteDigest = sha256.Sum256(b)

	g.fleet = fleet{sites: map[string]Site{}, datacenters: map[string]Datacenter{}}
	for _, d := range dcs {
		g.fleet.datacenters[d.Name] = d
	}
	for _, s := range sites {
		g.fleet.sites[s.Name] = s
	}
	old := c.prev.ground
	if old != nil && old.worldDigest == g.worldDigest {
		maps.Copy(g.geographies, old.geographies)
	}
	if old != nil && old.digest == g.digest {
		g.regions = old.regions
	} else {
		g.regions = newRegions(g.world, dcs)
	}
	return g
}

// prune drops the geographies that no service has.
func (g *ground) prune(services []service) {
	used := map[*geography]bool{}
	for i := range services {
		used[services[i].def.geo] = true
	}
	maps.DeleteFunc(g.geographies, func(_ string, x *geography) bool { return !used[x] })
}

func (c *compiler) service(in *Service) service {
	s := service{name: in.Name, salt: nameKey(in.Name), def: c.definition(in)}
	if c.overrides.specific(in.Name) {
		s.readiness = c.readiness(s.def, in.Name)
		return s
	}
	if s.readiness = c.ready[s.def]; s.readiness == nil {
		s.readiness = c.readiness(s.def, "")
		c.ready[s.def] = s.readiness
	}
	return s
}

// definition resolves a service's configuration, or finds one that says the same.
func (c *compiler) definition(in *Service) *definition {
	g, old := c.plan.ground, c.prev.ground
	if old != nil && old.digest == g.digest && old.siteDigest == g.siteDigest {
		if i, ok := c.prev.Service(in.Name); ok && sameService(&c.prev.services[i].def.service, in) {
			d := c.prev.services[i].def
			c.plan.definitions[d.digest] = d
			return d
		}
	}
	d := g.fleet.define(*in)
	d.seal(g.digest)
	for _, p := range [...]*Plan{c.plan, c.prev} {
		if same := p.definitions[d.digest]; same != nil {
			c.plan.definitions[d.digest] = same
			return same
		}
	}
	key := d.geographyKey()
	if d.geo = g.geographies[key]; d.geo == nil {
		d.geo = survey(g.world, d)
		g.geographies[key] = d.geo
	}
	c.plan.definitions[d.digest] = d
	return d
}

// readiness applies precedence and resolves what prev has not resolved alike. Name is the service's when it has
// overrides of its own.
func (c *compiler) readiness(d *definition, name string) *readiness {
	r := &readiness{}
	for i, f := range families {
		standings := make([]standing, len(d.members))
		for m := range d.members {
			standings[m] = d.judge(&d.members[m], f, name, c.overrides, c.verdicts)
		}
		b := newBench(d, f, standings, c.plan.ground.regions)
		r.benches[i] = b
		if b.served() {
			r.variants[i] = c.variant(b)
		}
	}
	return r
}

func (c *compiler) variant(b *bench) *variant {
	key := string(b.fingerprint(true))
	v := c.plan.variants[key]
	if v == nil {
		v = c.prev.variants[key]
	}
	if v == nil {
		v = b.variant()
	}
	c.plan.variants[key] = v
	return v
}

func cloneVerdicts(in map[health.Target]health.Verdict) map[health.Target]health.Verdict {
	m := make(map[health.Target]health.Verdict, len(in))
	for t, v := range in {
		v.AvoidRegions = slices.Clone(v.AvoidRegions)
		v.Votes = slices.Clone(v.Votes)
		m[t] = v
	}
	return m
}

// Epoch is the digest of everything that decides answers, 24 hex digits: equal epochs mean equal answers to every
// query.
func (p *Plan) Epoch() string { return p.epoch }

// Service returns the index of a service by name.
func (p *Plan) Service(name string) (index int, ok bool) {
	return slices.BinarySearchFunc(p.services, name, func(s service, name string) int { return cmp.Compare(s.name, name) })
}

// IgnoresECS reports whether the service decides by the resolver's address: the caller then passes that as the
// client, whatever ECS option there is.
func (p *Plan) IgnoresECS(service int) bool { return p.services[service].def.service.IgnoreECS }

// Sites returns the names of a service's sites. The pointer is the same as long as they are.
func (p *Plan) Sites(service int) *SiteNames { return &p.services[service].def.names }

// Answer decides for one client and appends the addresses of the family that qtype asks for (dns type A = 1,
// AAAA = 28) to dst; [Answer.Addrs] is the part that it appended. turn rotates round-robin sets: the caller passes
// any number that changes from query to query. It does not allocate when dst has room.
func (p *Plan) Answer(service int, qtype uint16, c Client, turn uint32, dst []netip.Addr) Answer {
	s := &p.services[service]
	v := s.variant(qtype)
	if v == nil {
		return Answer{TTL: s.def.service.TTLMin, Addrs: dst[len(dst):], Cause: CauseNoFamily}
	}
	a := v.answer(c.Addr.Unmap(), s.salt, turn, dst)
	if s.def.service.IgnoreECS {
		a.Scope = 0
	}
	return a
}

// variant returns nil when no site of the service has the family, or the type has no addresses.
func (s *service) variant(qtype uint16) *variant {
	switch qtype {
	case typeA:
		return s.variants[0]
	case typeAAAA:
		return s.variants[1]
	default:
		return nil
	}
}

// validate reports every fault. Services that prev has alike are not looked at again.
func (in *Inputs) validate(prev *Plan) error {
	var faults []error
	for _, f := range in.faults(prev) {
		faults = append(faults, f)
	}
	return errors.Join(faults...)
}
