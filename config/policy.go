package config

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/meridian-gtm/meridian/dnsserver/steer"
)

// maxDepth bounds how deep policies nest, the site at the bottom included.
const maxDepth = 16

// maxWeight is the largest weight of a child.
const maxWeight = 1_000_000

const policyWant = "a site or one of failover, geo, nearest, round-robin, sticky or weighted"

// policy reads a node of a policy tree: the name of a site, or a mapping from one kind of node to what it holds.
func (r *reader) policy(c cursor, into *steer.Policy, depth int) {
	c.key = "policy" // the reference describes nested policies once
	switch {
	case !c.isMapping() || len(c.node.Content) == 0:
		r.leaf(c, into, policyWant)
		return
	case depth == maxDepth:
		c.report("nested too deep", "at most "+strconv.Itoa(maxDepth)+" levels, the site included")
		return
	}
	children := func(kind steer.Kind) func(cursor) {
		return func(v cursor) {
			into.Kind = kind
			items := v.items()
			into.Children = r.children(items, depth)
			r.distinct(items, into.Children)
		}
	}
	have := c.mapping(fields{
		string(steer.KindRoundRobin): children(steer.KindRoundRobin),
		string(steer.KindFailover):   children(steer.KindFailover),
		string(steer.KindSticky):     children(steer.KindSticky),
		string(steer.KindNearest):    func(v cursor) { r.nearest(v, into) },
		string(steer.KindWeighted):   func(v cursor) { r.weighted(v, into, depth) },
		string(steer.KindGeo):        func(v cursor) { r.geoPolicy(v, into, depth) },
	})
	if len(have) > 1 {
		c.report(oneOf(have), "one kind of policy in a mapping")
	}
}

func (r *reader) leaf(c cursor, into *steer.Policy, want string) {
	if _, ok := c.scalar(want); !ok {
		return
	}
	into.Kind = steer.KindSite
	r.reference(c, "site", &into.Site)
}

func (r *reader) children(items []cursor, depth int) []steer.Policy {
	out := make([]steer.Policy, len(items))
	for i, item := range items {
		r.policy(item, &out[i], depth+1)
	}
	return out
}

// distinct reports sites that stand twice among the children of one node.
func (r *reader) distinct(items []cursor, children []steer.Policy) {
	var at []cursor
	var sites []string
	for i, child := range children {
		if child.Kind == steer.KindSite {
			at, sites = append(at, items[i]), append(sites, child.Site)
		}
	}
	once(at, sites)
}

// nearest reads a list of sites, or {sites, count}. Its children are sites only: groups have no one place.
func (r *reader) nearest(c cursor, into *steer.Policy) {
	into.Kind, into.Count = steer.KindNearest, 1
	sites := func(v cursor) {
		items := v.items()
		into.Children = make([]steer.Policy, len(items))
		for i, item := range items {
			r.leaf(item, &into.Children[i], "the name of a site")
		}
		r.distinct(items, into.Children)
	}
	if !c.isMapping() {
		sites(c)
		return
	}
	have := c.mapping(fields{
		"sites": sites,
		"count": func(v cursor) { integer(v, &into.Count, 1, 64) },
	})
	c.need(have, "sites", "a list of sites")
	if n := len(into.Children); n > 0 && into.Count > n {
		c.report("count "+strconv.Itoa(into.Count), "at most the number of sites, "+strconv.Itoa(n))
	}
}

// weighted reads {site: weight, ...}, or a list of {weight, to}.
func (r *reader) weighted(c cursor, into *steer.Policy, depth int) {
	into.Kind = steer.KindWeighted
	before := len(r.doc.faults)
	type share struct {
		at     cursor
		weight uint32
		child  steer.Policy
	}
	var shares []share
	if c.isMapping() {
		c.entries(func(site string, v cursor) {
			s := share{at: v, child: steer.Policy{Kind: steer.KindSite, Site: site}}
			integer(v, &s.weight, 0, maxWeight)
			r.later(func() {
				if !slices.Contains(r.names["site"], site) {
					v.report("not a site", "the name of a site"+didYouMean(site, r.names["site"]))
				}
			})
			shares = append(shares, s)
		})
		// The draw walks the children in order, which a mapping does not have.
		byName(shares, func(s share) string { return s.child.Site })
	} else {
		for _, item := range c.items() {
			s := share{at: item}
			have := item.mapping(fields{
				"weight": func(v cursor) { integer(v, &s.weight, 0, maxWeight) },
				"to":     func(v cursor) { r.policy(v, &s.child, depth+1) },
			})
			item.need(have, "weight", span(0, maxWeight, strconv.Itoa))
			item.need(have, "to", policyWant)
			shares = append(shares, s)
		}
	}
	if len(shares) > maxItems {
		c.report(strconv.Itoa(len(shares))+" sites", "at most "+strconv.Itoa(maxItems))
	}
	var at []cursor
	var total uint64
	for _, s := range shares {
		into.Children = append(into.Children, s.child)
		into.Weights = append(into.Weights, s.weight)
		at, total = append(at, s.at), total+uint64(s.weight)
	}
	r.distinct(at, into.Children)
	if total == 0 && len(r.doc.faults) == before {
		c.report("no weight above 0", "at least one")
	}
}

// geoPolicy reads {rules: [{match, to}, ...], default}.
func (r *reader) geoPolicy(c cursor, into *steer.Policy, depth int) {
	into.Kind = steer.KindGeo
	have := c.mapping(fields{
		"rules": func(v cursor) {
			items := v.items()
			matches := make([]string, len(items))
			into.Rules = make([]steer.Rule, len(items))
			for i, item := range items {
				rule := &into.Rules[i]
				have := item.mapping(fields{
					"match": func(v cursor) { matches[i] = v.match(rule) },
					"to":    func(v cursor) { r.policy(v, &rule.Child, depth+1) },
				})
				item.need(have, "match", matchWant)
				item.need(have, "to", policyWant)
				if earlier := slices.Index(matches[:i], matches[i]); earlier >= 0 && matches[i] != "" {
					item.report(matches[i], "a match of its own; also "+items[earlier].path)
				}
			}
		},
		"default": func(v cursor) {
			into.Default = new(steer.Policy)
			r.policy(v, into.Default, depth+1)
		},
	})
	c.need(have, "rules", "a list of {match, to}")
	c.need(have, "default", "a policy for places that no rule matches")
}

const matchWant = "label/NAME, asn/64500, city/DE/Berlin, subdivision/US-NY, country/DE or continent/EU"

var matchers = map[string]struct {
	kind  steer.MatchKind
	value *regexp.Regexp
}{
	"label":       {steer.MatchLabel, namePattern},
	"asn":         {steer.MatchASN, regexp.MustCompile(`^[1-9][0-9]{0,9}$`)},
	"city":        {steer.MatchCity, regexp.MustCompile(`^[A-Z]{2}/[^/[:cntrl:]]{1,64}$`)},
	"subdivision": {steer.MatchSubdivision, regexp.MustCompile(`^[A-Z]{2}-[A-Z0-9]{1,3}$`)},
	"country":     {steer.MatchCountry, regexp.MustCompile(`^[A-Z]{2}$`)},
	"continent":   {steer.MatchContinent, regexp.MustCompile(`^(AF|AN|AS|EU|NA|OC|SA)$`)},
}

// match reads what a rule compares, and returns it as written when it is good.
func (c cursor) match(into *steer.Rule) string {
	s, ok := c.scalar(matchWant)
	if !ok {
		return ""
	}
	kind, value, _ := strings.Cut(s, "/")
	m, known := matchers[kind]
	if !known {
		c.refuse("%s", matchWant)
		return ""
	}
	if _, err := strconv.ParseUint(value, 10, 32); kind == "asn" && err != nil || !m.value.MatchString(value) {
		c.refuse("%s", matchWant)
		return ""
	}
	into.Kind, into.Value = m.kind, value
	return s
}

// Sites returns the sites of a policy tree, each once, in the order they first appear.
func Sites(p steer.Policy) []string {
	var out []string
	var walk func(steer.Policy)
	walk = func(p steer.Policy) {
		if p.Kind == steer.KindSite && !slices.Contains(out, p.Site) {
			out = append(out, p.Site)
		}
		for _, child := range p.Children {
			walk(child)
		}
		for _, rule := range p.Rules {
			walk(rule.Child)
		}
		if p.Default != nil {
			walk(*p.Default)
		}
	}
	walk(p)
	return out
}
