package zone

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/miekg/dns"
)

// builder makes a zone from records. Its steps are to be called in the order in which they stand here.
type builder struct {
	*Zone
	files   []string
	records []record
	partial bool // some entries could not be parsed
	faults  faults
	odd     faults

	apex   *node
	order  []*node          // in order of appearance, to report in order
	cuts   []*node          // delegations
	dnames []*node          // owners of DNAME
	places map[dns.RR]place // made by the first fault

	blanks  []node
	up      *node // parent of the last name
	upDepth int   // its labels
	sum     sum
}

func newBuilder(origin string, m *master) *builder {
	return &builder{
		Zone:    &Zone{origin: origin, nodes: make(map[string]*node, len(m.records)+1)},
		order:   make([]*node, 0, len(m.records)+1),
		files:   m.files,
		records: m.records,
		partial: len(m.faults.list) > 0,
		faults:  m.faults,
	}
}

// plant puts every record at its name.
func (b *builder) plant(records []record) {
	b.apex = b.node(b.origin)
	last, lastName := b.apex, ""
	for _, r := range records {
		h := r.rr.Header()
		if h.Name != lastName {
			name := canonical(h.Name)
			switch {
			case !validName(name):
				b.fault(r.rr, "owner: want at most %d octets, and 63 in a label", maxNameOctets)
				continue
			case !below(name, b.origin):
				b.fault(r.rr, "out of zone: want an owner at or below %s", b.origin)
				continue
			}
			last, lastName = b.node(name), h.Name
		}
		switch {
		case h.Class != dns.ClassINET:
			b.fault(r.rr, "class %s: want IN", dns.Class(h.Class))
		case h.Ttl > maxTTL:
			b.fault(r.rr, "ttl %d: want 0..%d (RFC 2181 section 8)", h.Ttl, maxTTL)
		case !isData(h.Rrtype):
			b.fault(r.rr, "want a type for data, this one is for messages")
		default:
			h.Name = last.name // so that it compresses to the question's name, and once in memory
			last.add(r.rr)
		}
	}
}

// isData tells types that zones hold from those that only messages do (RFC 6895 section 3.1).
func isData(rtype uint16) bool {
	return rtype != 0 && rtype != dns.TypeOPT && rtype != dns.TypeNXNAME && (rtype < 128 || rtype > 255)
}

func (n *node) add(rr dns.RR) {
	rtype := rr.Header().Rrtype
	for i := range n.sets {
		if n.sets[i].rtype == rtype {
			n.sets[i].rrs = append(n.sets[i].rrs, rr)
			return
		}
	}
	n.sets = append(n.sets, rrset{rtype, []dns.RR{rr}})
}

// node returns the node of a canonical name in the zone, and makes it and the empty non-terminals above it if need
// be.
func (b *builder) node(name string) *node {
	if n := b.nodes[name]; n != nil {
		return n
	}
	n := b.blank()
	n.name = name
	b.nodes[name] = n
	b.order = append(b.order, n)
	if name == b.origin {
		b.depth = depth(name)
		return n
	}
	up := parent(name)
	if b.up == nil || b.up.name != up { // names come in families
		node := b.node(up)
		b.up, b.upDepth = node, depth(up)
	}
	b.depth = max(b.depth, b.upDepth+1)
	if isWildcard(name) {
		b.up.grow().wild = n
	}
	return n
}

// blank returns a node to be filled in. They are made many at a time.
func (b *builder) blank() *node {
	if len(b.blanks) == 0 {
		b.blanks = make([]node, min(max(8, len(b.order)), 1024))
	}
	n := &b.blanks[0]
	b.blanks = b.blanks[1:]
	return n
}

// steer adds the steered names.
func (b *builder) steer(services map[string]string) {
	for _, owner := range slices.Sorted(maps.Keys(services)) {
		service := services[owner]
		full := absolute(owner, b.origin)
		name := canonical(full)
		_, ok := dns.IsDomainName(full)
		switch {
		case !ok || !validName(name):
			b.blame(owner, 0, "steered owner: want a domain name")
		case !below(name, b.origin):
			b.blame(full, 0, "steered owner out of zone: want a name at or below %s", b.origin)
		case service == "":
			b.blame(full, 0, "steered owner without a service: want its name")
		case b.nodes[name] != nil && b.nodes[name].service() != "":
			b.blame(full, 0, "steered twice, to %q and %q: want one service", b.nodes[name].service(), service)
		default:
			b.node(name).grow().service = service
		}
	}
}

// tidy makes proper RRsets: no record twice and one TTL, the least (RFC 2181 sections 5 and 5.2). It also sums up
// the contents.
func (b *builder) tidy() {
	for _, n := range b.order {
		slices.SortFunc(n.sets, func(x, y rrset) int { return cmp.Compare(x.rtype, y.rtype) })
		for i := range n.sets {
			s := &n.sets[i]
			if len(s.rrs) > 1 {
				s.rrs = b.unique(s.rrs)
				b.levelTTL(s.rrs)
			}
			s.rrs = slices.Clip(s.rrs)
			octets := headerOctets + maxNameOctets
			for _, rr := range s.rrs {
				if err := b.sum.add(rr); err != nil {
					b.fault(rr, "%v: want rdata that a message can carry", err)
				}
				octets += recordOctets + int(rr.Header().Rdlength)
			}
			if octets > math.MaxUint16 {
				b.fault(s.rrs[0], "rrset of %d records: want one that fits a message of %d octets", len(s.rrs), math.MaxUint16)
			}
		}
	}
}

// unique drops repeated records. Names in rdata compare without case, so equal records fall into one bucket of the
// octets that follow their owner, in lower case.
func (b *builder) unique(rrs []dns.RR) []dns.RR {
	seen := make(map[string][]dns.RR, len(rrs))
	return slices.DeleteFunc(rrs, func(rr dns.RR) bool {
		key := b.sum.key(rr)
		for _, other := range seen[key] {
			if dns.IsDuplicate(rr, other) {
				b.warn(rr, "duplicate: dropped")
				return true
			}
		}
		seen[key] = append(seen[key], rr)
		return false
	})
}

func (b *builder) levelTTL(rrs []dns.RR) {
	if rrs[0].Header().Rrtype == dns.TypeRRSIG { // each has the TTL of the RRset it covers (RFC 4034 section 3)
		return
	}
	least := rrs[0].Header().Ttl
	differ := false
	for _, rr := range rrs {
		differ = differ || rr.Header().Ttl != least
		least = min(least, rr.Header().Ttl)
	}
	if differ {
		b.warn(rrs[0], "ttls differ within the rrset: want one, %d is used (RFC 2181 section 5.2)", least)
		for _, rr := range rrs {
			rr.Header().Ttl = least
		}
	}
}

// link tells names in the shade of a delegation or DNAME from those that answer for themselves.
func (b *builder) link() {
	for _, n := range b.order {
		if n != b.apex && n.set(dns.TypeNS) != nil {
			n.grow().cut = true
			b.cuts = append(b.cuts, n)
		}
		if n.set(dns.TypeDNAME) != nil {
			n.grow()
			b.dnames = append(b.dnames, n)
		}
	}
	if len(b.cuts)+len(b.dnames) == 0 {
		return
	}
	for _, n := range b.order {
		var shade *node
		if n.opt().cut {
			shade = n
		}
		for up := n; up != b.apex; {
			up = b.nodes[parent(up.name)]
			if up.opt().cut || up.set(dns.TypeDNAME) != nil {
				shade = up
			}
		}
		if shade != nil {
			n.grow().shade = shade
		}
	}
}

// finish packs the zone; there must be no fault.
func (b *builder) finish() (*Zone, error) {
	b.packed = b.pack()
	if octets := max(len(b.packed.data), len(b.packed.names)); octets > math.MaxUint32 {
		return nil, fmt.Errorf("%s: %d octets of packed records: want at most %d", b.files[0], octets, math.MaxUint32)
	}
	b.nodes = nil
	b.digest = b.sum.digest(b.Zone)
	b.warnings = b.odd.texts()
	return b.Zone, nil
}

// fault reports what is wrong with a record.
func (b *builder) fault(rr dns.RR, format string, args ...any) {
	b.faults.add(b.about(rr, fmt.Sprintf(format, args...)))
}

// warn reports what is odd about a record.
func (b *builder) warn(rr dns.RR, format string, args ...any) {
	b.odd.add(b.about(rr, fmt.Sprintf(format, args...)))
}

// blame reports what is wrong without being in a line of the files.
func (b *builder) blame(owner string, rtype uint16, format string, args ...any) {
	b.faults.add(&fault{file: b.files[0], owner: owner, rtype: rtype, what: fmt.Sprintf(format, args...)})
}

func (b *builder) about(rr dns.RR, what string) *fault {
	if b.places == nil {
		b.places = make(map[dns.RR]place, len(b.records))
		for _, r := range b.records {
			b.places[r.rr] = r.at
		}
	}
	at, h := b.places[rr], rr.Header()
	return &fault{at: at, file: b.files[at.file], owner: h.Name, rtype: h.Rrtype, what: what}
}
