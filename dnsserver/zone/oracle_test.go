package zone

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// oracle looks names up by reading RFC 1034 section 4.3.2 aloud: it goes down label by label, and asks the list of
// records at every step. It knows nothing of trees, shades or canonical forms.
type oracle struct {
	origin  string
	records []dns.RR
	steer   map[string]string
}

func (o *oracle) at(name string, rtype uint16) (rrs []dns.RR) {
	for _, rr := range o.records {
		if rr.Header().Name == name && (rtype == dns.TypeANY || rr.Header().Rrtype == rtype) {
			rrs = append(rrs, rr)
		}
	}
	return rrs
}

// exists is true for owners and for names with an owner below (RFC 4592 section 2.2.2).
func (o *oracle) exists(name string) bool {
	for _, rr := range o.records {
		if dns.IsSubDomain(name, rr.Header().Name) {
			return true
		}
	}
	for owner := range o.steer {
		if dns.IsSubDomain(name, owner) {
			return true
		}
	}
	return false
}

func (o *oracle) lookup(qname string, qtype uint16) Result {
	var r Result
	soa := dns.Copy(o.at(o.origin, dns.TypeSOA)[0]).(*dns.SOA)
	soa.Hdr.Ttl = min(soa.Hdr.Ttl, soa.Minttl)
	var passed []string
	for sname := qname; ; {
		if slices.Contains(passed, sname) || len(passed) == maxChain || !dns.IsSubDomain(o.origin, sname) {
			r.Kind = ChainEnd
			return r
		}
		passed = append(passed, sname)
		next := o.step(&r, sname, qtype, soa)
		if next == "" {
			return r
		}
		sname = next
	}
}

func (o *oracle) step(r *Result, sname string, qtype uint16, soa dns.RR) string {
	labels := dns.SplitDomainName(sname)
	encloser := o.origin
	for i := len(labels) - dns.CountLabel(o.origin); i >= 0; i-- {
		name := dns.Fqdn(strings.Join(labels[i:], "."))
		if !o.exists(name) { // 3c
			return o.synthesize(r, encloser, sname, qtype, soa)
		}
		encloser = name
		whole := name == sname
		if ns := o.at(name, dns.TypeNS); ns != nil && name != o.origin && !(whole && qtype == dns.TypeDS) { // 3b
			r.Kind, r.Authority = Delegation, ns
			r.Additional = o.glue(name, ns)
			return ""
		}
		if dname := o.at(name, dns.TypeDNAME); dname != nil && !whole { // RFC 6672 section 3.2
			if !slices.Contains(r.Answer, dname[0]) {
				r.Answer = append(r.Answer, dname[0])
			}
			target := strings.TrimSuffix(sname, name) + dname[0].(*dns.DNAME).Target
			cname, _ := dns.NewRR(fmt.Sprintf("%s %d IN CNAME %s", sname, dname[0].Header().Ttl, target))
			r.Answer = append(r.Answer, cname)
			if qtype == dns.TypeCNAME {
				r.Kind = Success
				return ""
			}
			return target
		}
	}
	return o.match(r, sname, sname, qtype, soa) // 3a
}

func (o *oracle) synthesize(r *Result, encloser, sname string, qtype uint16, soa dns.RR) string {
	if wild := "*." + encloser; o.exists(wild) {
		return o.match(r, wild, sname, qtype, soa)
	}
	r.Kind, r.Authority = NXDomain, []dns.RR{soa}
	return ""
}

func (o *oracle) match(r *Result, source, owner string, qtype uint16, soa dns.RR) string {
	if service, ok := o.steer[source]; ok && (qtype == dns.TypeA || qtype == dns.TypeAAAA) {
		r.Kind, r.Service, r.Owner, r.NegativeSOA = Steered, service, owner, soa
		return ""
	}
	rrs := o.at(source, qtype)
	if cname := o.at(source, dns.TypeCNAME); rrs == nil && cname != nil {
		rrs = cname
	}
	for _, rr := range rrs {
		rr = dns.Copy(rr)
		rr.Header().Name = owner
		r.Answer = append(r.Answer, rr)
	}
	switch {
	case rrs == nil:
		r.Kind, r.Authority = NoData, []dns.RR{soa}
	case rrs[0].Header().Rrtype == qtype:
		r.Kind = Success
	default:
		return rrs[0].(*dns.CNAME).Target
	}
	return ""
}

// glue lists the addresses in the zone of name servers, those below the cut first.
func (o *oracle) glue(cut string, ns []dns.RR) (first []dns.RR) {
	var later []dns.RR
	for _, rr := range ns {
		host := rr.(*dns.NS).Ns
		if addresses := o.at(host, dns.TypeA); dns.IsSubDomain(cut, host) {
			first = append(first, addresses...)
		} else {
			later = append(later, addresses...)
		}
	}
	return append(first, later...)
}

// randomZone makes a zone that loads, out of few labels so that names meet.
func randomZone(rng *rand.Rand) *oracle {
	o := &oracle{origin: "z.example.", steer: map[string]string{}}
	add := func(format string, args ...any) {
		rr, err := dns.NewRR(fmt.Sprintf(format, args...))
		if err != nil {
			panic(err)
		}
		o.records = append(o.records, rr)
	}
	add("z.example. 300 IN SOA ns.example.net. host.example.net. 1 2 3 4 %d", 1+rng.IntN(600))
	add("z.example. 300 IN NS ns.example.net.")
	shaded := func(name string) bool { // by something that must have no steered name, or nothing at all, below it
		for up := name; up != o.origin; up = parent(up) {
			if o.at(up, dns.TypeNS) != nil || o.at(up, dns.TypeDNAME) != nil {
				return true
			}
		}
		return false
	}
	for range 2 + rng.IntN(10) {
		owner := randomName(rng, o.origin, 3)
		if o.at(owner, dns.TypeANY) != nil || o.steer[owner] != "" {
			continue
		}
		target := randomName(rng, o.origin, 3)
		if rng.IntN(6) == 0 {
			target = "host.example.net."
		}
		occupied := o.exists(owner) // by something below
		switch kind := rng.IntN(8); {
		case kind == 0 && owner != o.origin:
			add("%s 60 IN CNAME %s", owner, target)
		case kind == 1 && owner != o.origin && !isWildcard(owner) && !occupied && !shaded(owner):
			add("%s 60 IN NS ns.example.net.", owner)
			if rng.IntN(2) == 0 {
				add("%s 60 IN NS ns.%s", owner, owner)
				add("ns.%s 60 IN A 192.0.2.53", owner)
			}
			if rng.IntN(2) == 0 {
				add("%s 60 IN DS 1 13 2 00", owner)
			}
		case kind == 2 && !isWildcard(owner) && !occupied && !shaded(owner):
			add("%s 60 IN DNAME %s", owner, target)
		case (kind == 3 || kind == 4) && !shaded(owner):
			o.steer[owner] = fmt.Sprintf("service-%d", rng.IntN(3))
			if rng.IntN(2) == 0 {
				add("%s 60 IN TXT \"beside\"", owner)
			}
		default:
			add("%s 60 IN TXT \"%d\"", owner, rng.IntN(9))
			if rng.IntN(2) == 0 {
				add("%s 60 IN A 192.0.2.%d", owner, rng.IntN(9))
			}
		}
	}
	// What ended up below a DNAME goes: the zone would not load.
	below := func(name string) bool {
		for up := name; up != o.origin; {
			if up = parent(up); o.at(up, dns.TypeDNAME) != nil {
				return true
			}
		}
		return false
	}
	o.records = slices.DeleteFunc(o.records, func(rr dns.RR) bool { return below(rr.Header().Name) })
	return o
}

func randomName(rng *rand.Rand, origin string, most int) string {
	name := origin
	for range rng.IntN(most + 1) {
		name = []string{"a", "b", "c", "*"}[rng.IntN(4)] + "." + name
	}
	return name
}

func (o *oracle) text() string {
	var b strings.Builder
	for _, rr := range o.records {
		b.WriteString(rr.String() + "\n")
	}
	return b.String()
}

// loadRandomZone makes random zones until there is one without a steered name that is hidden, and loads it.
func loadRandomZone(t *testing.T, rng *rand.Rand) (*oracle, *Zone) {
	t.Helper()
	for {
		o := randomZone(rng)
		if slices.ContainsFunc(slices.Collect(maps.Keys(o.steer)), func(name string) bool { return hidden(o, name) }) {
			continue
		}
		z, err := new(Loader).load(Source{Origin: o.origin, File: "random", Steer: o.steer}, strings.NewReader(o.text()), nil)
		if err != nil {
			t.Fatalf("%v\n%s%v", err, o.text(), o.steer)
		}
		return o, z
	}
}

// TestLookupLikeOracle compares every answer about random zones with the oracle's.
func TestLookupLikeOracle(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	kinds := map[Kind]int{}
	for range 700 {
		o, z := loadRandomZone(t, rng)
		for range 120 {
			qname := randomName(rng, o.origin, 4)
			qtype := []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeTXT, dns.TypeCNAME, dns.TypeNS, dns.TypeDS, dns.TypeDNAME}[rng.IntN(7)]
			got := z.Lookup(qname, qtype)
			want := o.lookup(qname, qtype)
			got.Glue = 0
			if show(got) != show(want) {
				t.Fatalf("seed %d: %s %s\ngot  %s\nwant %s\nzone\n%s%v", seed, qname, dns.Type(qtype), show(got), show(want), o.text(), o.steer)
			}
			kinds[got.Kind]++
		}
	}
	for k := Success; k <= ChainEnd; k++ {
		if kinds[k] < 100 {
			t.Errorf("only %d answers of kind %v: the zones prove little", kinds[k], k)
		}
	}
}

// TestNothingBelowNXDomain: what does not exist has nothing below it, and what has something below it exists (RFC 8020
// section 2), whatever the type.
func TestNothingBelowNXDomain(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	denied := 0
	for range 300 {
		o, z := loadRandomZone(t, rng)
		for range 100 {
			qname := randomName(rng, o.origin, 4)
			if qname == o.origin {
				continue
			}
			up := z.Lookup(parent(qname), dns.TypeTXT)
			if up.Kind != NXDomain || len(up.Answer) > 0 { // behind a chain it is another name that does not exist
				continue
			}
			denied++
			for _, qtype := range []uint16{dns.TypeA, dns.TypeTXT, dns.TypeNS, dns.TypeDS} {
				if r := z.Lookup(qname, qtype); r.Kind != NXDomain || len(r.Answer) > 0 {
					t.Fatalf("seed %d: %s does not exist, %s is\n%s%s%v", seed, parent(qname), qname, show(r), o.text(), o.steer)
				}
			}
		}
	}
	if denied < 500 {
		t.Errorf("only %d names that do not exist: the zones prove little", denied)
	}
}

// hidden tells whether a delegation or DNAME that came later stands at or above a steered name.
func hidden(o *oracle, name string) bool {
	for up := name; up != o.origin; up = parent(up) {
		if o.at(up, dns.TypeNS) != nil || o.at(up, dns.TypeDNAME) != nil {
			return true
		}
	}
	return o.at(o.origin, dns.TypeDNAME) != nil
}
