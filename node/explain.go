package node

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/meridian-gtm/meridian/control"
	"github.com/meridian-gtm/meridian/dnsserver/steer"
	"github.com/meridian-gtm/meridian/dnsserver/zone"
)

// Explain implements control.Backend. It accounts for what is in force at this moment: the plan that queries are
// answered from, compiled anew so that votes and ages are of now.
func (n *Node) Explain(ctx context.Context, q control.ExplainQuery) (*control.Explanation, error) {
	qtype, ok := dns.StringToType[strings.ToUpper(q.Type)]
	if !ok {
		return nil, fmt.Errorf("%w: type %q: want a record type such as A or AAAA", control.ErrInvalid, q.Type)
	}
	if _, ok := dns.IsDomainName(q.Name); !ok {
		return nil, fmt.Errorf("%w: name %q: want a domain name", control.ErrInvalid, q.Name)
	}
	var c compiled
	var cache *steer.Plan
	err := n.call(ctx, func() error {
		c, cache = n.current(time.Now()), n.plan
		return nil
	})
	if err != nil {
		return nil, err
	}
	name := dns.CanonicalName(q.Name)
	e := &control.Explanation{Node: n.name, Name: name, Type: dns.TypeToString[qtype]}
	z := c.setup.zones.Find(name, qtype)
	if z == nil {
		e.RCode = "REFUSED"
		return e, nil
	}
	e.Zone = z.Origin()
	r := z.Lookup(name, qtype)
	for _, rr := range r.Answer {
		e.Static = append(e.Static, rr.String())
	}
	e.RCode = rcode(r.Kind)
	if r.Kind != zone.Steered {
		return e, nil
	}
	plan, err := steer.Compile(c.inputs(), cache)
	if err != nil {
		return nil, err
	}
	service, ok := plan.Service(r.Service)
	if !ok {
		return nil, fmt.Errorf("service %q of %s is not in the plan", r.Service, r.Owner)
	}
	// A whole address is a resolver that sends no client subnet.
	subnet := !q.Client.IsSingleIP() && c.setup.config.DNS.ECS && !plan.IgnoresECS(service)
	trace := plan.Explain(service, qtype, steer.Client{Addr: q.Client.Addr(), ECS: subnet})
	trace.Name, trace.Client, trace.Epoch = r.Owner, q.Client, epochOf(plan, c.setup.zones)
	e.Trace = &trace
	if len(trace.Answer) == 0 {
		e.RCode = "NOERROR (NODATA)"
	}
	return e, nil
}

func rcode(k zone.Kind) string {
	switch k {
	case zone.NXDomain:
		return "NXDOMAIN"
	case zone.YXDomain:
		return "YXDOMAIN"
	case zone.NoData:
		return "NOERROR (NODATA)"
	case zone.Delegation:
		return "NOERROR (referral)"
	default:
		return "NOERROR"
	}
}
