package steer

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Fault is one thing that is wrong with a configuration.
type Fault struct {
	// Path leads from the validated value to the fault in the words of its fields: "policy.rules[2].child.weights[0]".
	Path  string
	Value string // what is there
	Want  string // what may be
}

// Error returns "PATH: VALUE: want WANT".
func (f Fault) Error() string { return fmt.Sprintf("%s: %s: want %s", f.Path, f.Value, f.Want) }

// Limits of a configuration.
const (
	maxDepth    = 16        // policy nodes above each other
	maxChildren = 4096      // of one policy node
	maxWeight   = 1_000_000 // of a site or a child
	maxTTL      = 86400     // seconds
)

// Validate returns the faults of a policy tree. Known reports whether a site is configured.
func (p Policy) Validate(known func(site string) bool) []Fault {
	v := validator{known: known}
	v.policy("", &p, 1)
	return v.faults
}

// Validate returns the faults of a service on its own: its name's uniqueness and its checks' existence are the
// caller's to know. Known reports whether a site is configured.
func (s Service) Validate(known func(site string) bool) []Fault {
	v := validator{known: known}
	if s.Name == "" {
		v.report("name", "empty", "a name")
	}
	v.policy("policy", &s.Policy, 1)
	v.within("ttl_min", s.TTLMin, 1, maxTTL)
	v.within("ttl_max", s.TTLMax, max(1, s.TTLMin), maxTTL)
	switch s.AllDown {
	case "", LastGood, All, None:
	case LastResort:
		if len(s.LastResort) == 0 {
			v.report("last_resort", "empty", "at least one address")
		}
	default:
		v.report("all_down", quote(string(s.AllDown)), "last-good, all, last-resort or none")
	}
	for i, a := range s.LastResort {
		at := fmt.Sprintf("last_resort[%d]", i)
		switch {
		case !a.IsValid() || a.Is4In6() || a.Zone() != "":
			v.report(at, quote(a.String()), "an IPv4 or IPv6 address without zone")
		case slices.Contains(s.LastResort[:i], a):
			v.report(at, a.String(), "each address once")
		}
	}
	for i, c := range s.Checks {
		at := fmt.Sprintf("checks[%d]", i)
		switch {
		case c == "":
			v.report(at, "empty", "a name")
		case slices.Contains(s.Checks[:i], c):
			v.report(at, quote(c), "each check once")
		}
	}
	return v.faults
}

// faults returns everything that is wrong with the inputs. A service that prev compiled alike, over sites of the
// same names, is sound.
func (in *Inputs) faults(prev *Plan) []Fault {
	v := validator{}
	datacenters := map[string]bool{}
	for i := range in.Datacenters {
		d := &in.Datacenters[i]
		at := "datacenter " + quote(d.Name)
		v.named(at, d.Name, datacenters)
		// Written so that NaN is out of range.
		if !(d.Coord.Lat >= -90 && d.Coord.Lat <= 90) {
			v.report(at+".lat", strconv.FormatFloat(d.Coord.Lat, 'g', -1, 64), "-90..90 degrees")
		}
		if !(d.Coord.Lon >= -180 && d.Coord.Lon <= 180) {
			v.report(at+".lon", strconv.FormatFloat(d.Coord.Lon, 'g', -1, 64), "-180..180 degrees")
		}
	}
	sites := map[string]bool{}
	for i := range in.Sites {
		s := &in.Sites[i]
		at := "site " + quote(s.Name)
		v.named(at, s.Name, sites)
		if !datacenters[s.Datacenter] {
			v.report(at+".datacenter", quote(s.Datacenter), "the name of a datacenter")
		}
		v.address(at+".v4", s.V4, s.V4.Is4(), "an IPv4 address")
		v.address(at+".v6", s.V6, s.V6.Is6() && !s.V6.Is4In6() && s.V6.Zone() == "", "an IPv6 address without zone")
		if !s.V4.IsValid() && !s.V6.IsValid() {
			v.report(at, "no address", "v4, v6 or both")
		}
		v.within(at+".weight", s.Weight, 0, maxWeight)
	}
	if prev != nil && !sameNames(sites, prev.ground.fleet.sites) {
		prev = nil
	}
	services := make(map[string]bool, len(in.Services))
	for i := range in.Services {
		s := &in.Services[i]
		if s.Name == "" || services[s.Name] {
			v.named("service "+quote(s.Name), s.Name, services)
		}
		services[s.Name] = true
		if prev != nil {
			if n, ok := prev.Service(s.Name); ok && sameService(&prev.services[n].def.service, s) {
				continue
			}
		}
		for _, f := range s.Validate(func(site string) bool { return sites[site] }) {
			if f.Path != "name" { // reported above
				f.Path = "service " + quote(s.Name) + "." + f.Path
				v.faults = append(v.faults, f)
			}
		}
	}
	return v.faults
}

func sameNames(a map[string]bool, b map[string]Site) bool {
	for name := range b {
		if !a[name] {
			return false
		}
	}
	return true
}

// validator collects faults.
type validator struct {
	known  func(site string) bool
	faults []Fault
}

func (v *validator) report(path, value, want string) {
	v.faults = append(v.faults, Fault{Path: path, Value: value, Want: want})
}

func (v *validator) within(path string, n, low, high uint32) {
	if n < low || n > high {
		v.report(path, strconv.FormatUint(uint64(n), 10), fmt.Sprintf("%d..%d", low, high))
	}
}

func (v *validator) named(at, name string, seen map[string]bool) {
	switch {
	case name == "":
		v.report(at, "no name", "a name")
	case seen[name]:
		v.report(at, "a second one", "each name once")
	}
	seen[name] = true
}

func (v *validator) address(at string, a netip.Addr, ok bool, want string) {
	if a.IsValid() && !ok {
		v.report(at, a.String(), want)
	}
}

func (v *validator) policy(at string, p *Policy, depth int) {
	if depth > maxDepth {
		v.report(at, fmt.Sprintf("a policy in %d others", depth-1), fmt.Sprintf("at most %d", maxDepth-1))
		return
	}
	join := func(field string) string { return strings.TrimPrefix(at+"."+field, ".") }
	only := func(kind Kind, field string, set bool) {
		if set && p.Kind != kind {
			v.report(join(field), fmt.Sprintf("set in a %s policy", quote(string(p.Kind))), "only in "+string(kind))
		}
	}
	switch p.Kind {
	case KindSite:
		if !v.known(p.Site) {
			v.report(join("site"), quote(p.Site), "the name of a site")
		}
		if len(p.Children) > 0 {
			v.report(join("children"), strconv.Itoa(len(p.Children)), "none")
		}
	case KindRoundRobin, KindWeighted, KindNearest, KindFailover, KindSticky:
		if n := len(p.Children); n < 1 || n > maxChildren {
			v.report(join("children"), strconv.Itoa(n), fmt.Sprintf("1..%d", maxChildren))
		}
	case KindGeo:
		if n := len(p.Rules); n < 1 || n > maxChildren {
			v.report(join("rules"), strconv.Itoa(n), fmt.Sprintf("1..%d", maxChildren))
		}
		if p.Default == nil {
			v.report(join("default"), "none", "a policy for places that no rule matches")
		}
		if len(p.Children) > 0 {
			v.report(join("children"), strconv.Itoa(len(p.Children)), "none: a geo policy has rules and a default")
		}
	default:
		v.report(join("kind"), quote(string(p.Kind)),
			"site, round-robin, weighted, geo, nearest, failover or sticky")
		return
	}
	only(KindSite, "site", p.Site != "")
	only(KindWeighted, "weights", len(p.Weights) > 0)
	only(KindNearest, "count", p.Count != 0)
	only(KindGeo, "rules", len(p.Rules) > 0)
	only(KindGeo, "default", p.Default != nil)
	if p.Kind == KindWeighted {
		v.weights(join, p)
	}
	if p.Kind == KindNearest && (p.Count < 0 || p.Count > max(1, len(p.Children))) {
		v.report(join("count"), strconv.Itoa(p.Count), fmt.Sprintf("1..%d, the number of sites", len(p.Children)))
	}
	seen := map[string]bool{}
	for i := range p.Children {
		c := &p.Children[i]
		at := fmt.Sprintf("children[%d]", i)
		switch {
		case c.Kind == KindSite && seen[c.Site]:
			v.report(join(at+".site"), quote(c.Site), "each site once")
		case c.Kind != KindSite && p.Kind == KindNearest:
			v.report(join(at+".kind"), quote(string(c.Kind)), "site: a nearest policy compares distances of sites")
			continue
		case c.Kind == KindSite:
			seen[c.Site] = true
		}
		v.policy(join(at), c, depth+1)
	}
	for i := range p.Rules {
		r := &p.Rules[i]
		at := fmt.Sprintf("rules[%d]", i)
		if want := r.want(); want != "" {
			v.report(join(at+".value"), quote(r.Value), want)
		}
		v.policy(join(at+".child"), &r.Child, depth+1)
	}
	if p.Default != nil {
		v.policy(join("default"), p.Default, depth+1)
	}
}

func (v *validator) weights(join func(string) string, p *Policy) {
	if len(p.Weights) != len(p.Children) {
		v.report(join("weights"), strconv.Itoa(len(p.Weights)), fmt.Sprintf("%d, one per child", len(p.Children)))
	}
	some := len(p.Weights) == 0
	for i, w := range p.Weights {
		v.within(join(fmt.Sprintf("weights[%d]", i)), w, 0, maxWeight)
		some = some || w > 0
	}
	if !some {
		v.report(join("weights"), "all 0", "at least one above 0")
	}
}

var (
	country     = regexp.MustCompile(`^[A-Z]{2}$`)
	continent   = regexp.MustCompile(`^(AF|AN|AS|EU|NA|OC|SA)$`)
	subdivision = regexp.MustCompile(`^[A-Z]{2}-[A-Z0-9]{1,3}$`)
	city        = regexp.MustCompile(`^[A-Z]{2}/[^/]+$`)
)

// want returns what the rule's value should have been, "" when it is good.
func (r *Rule) want() string {
	pattern, want := (*regexp.Regexp)(nil), ""
	switch r.Kind {
	case MatchLabel:
		if r.Value == "" {
			return "a label"
		}
		return ""
	case MatchASN:
		if n, err := strconv.ParseUint(r.Value, 10, 32); err != nil || n == 0 {
			return "an AS number, 1..4294967295"
		}
		return ""
	case MatchCity:
		pattern, want = city, `a country code and a city: "DE/Berlin"`
	case MatchSubdivision:
		pattern, want = subdivision, `an ISO 3166-2 code: "US-NY"`
	case MatchCountry:
		pattern, want = country, `an ISO 3166-1 alpha-2 code: "DE"`
	case MatchContinent:
		pattern, want = continent, "AF, AN, AS, EU, NA, OC or SA"
	default:
		return fmt.Sprintf("a match kind; %d is none", r.Kind)
	}
	if pattern.MatchString(r.Value) {
		return ""
	}
	return want
}

func quote(s string) string { return strconv.Quote(s) }
