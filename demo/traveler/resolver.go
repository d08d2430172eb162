package traveler

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/meridian-gtm/meridian/control"
)

// Server is a DNS server that a city may ask.
type Server struct {
	Addr netip.AddrPort
	API  *control.Client // of the same node, which can explain its answers; nil = unknown
}

// Answer is what a city's resolver knows, and from whom.
type Answer struct {
	Reply
	Server netip.AddrPort // that answered
	Asked  time.Time
	Silent []netip.AddrPort // were asked before it and gave no usable answer
	// Why is the node's own account of the answer; nil = the node could not be asked, or its account is of another
	// answer, because something changed in between.
	Why *control.Explanation
}

// Expires is when the answer has to be forgotten.
func (a Answer) Expires() time.Time { return a.Asked.Add(time.Duration(a.TTL) * time.Second) }

// Site names the datacenter that the answer leads to, as far as its node said; "" = unknown.
func (a Answer) Site() string {
	if a.Why == nil || a.Why.Trace == nil || len(a.Why.Trace.Sites) == 0 {
		return ""
	}
	return a.Why.Trace.Sites[0]
}

const (
	// failureFor is how long it is remembered that nobody answered: RFC 9520, section 3.2, wants at least a second.
	failureFor = time.Second
	// avoidFor is how long a server that was silent is asked last.
	avoidFor = 10 * time.Second
	// rounds is how often every server is asked before a resolver gives up.
	rounds = 2
	// whyWithin bounds the question why, for which a page waits that is about something else, and explainWithin the
	// one for a page that is about nothing else.
	whyWithin     = 500 * time.Millisecond
	explainWithin = 5 * time.Second
)

// resolver is one city's: it keeps an answer for its TTL, asks the next server when one is silent, and asks once for
// everybody who wants to know at the same time. It is safe for concurrent use.
type resolver struct {
	name    string // without a final dot
	from    netip.Prefix
	servers []Server // the first is asked first
	ask     func(ctx context.Context, server netip.AddrPort, name string, qtype uint16, from netip.Prefix) (Reply, error)

	turn     chan struct{} // holds one token, which whoever uses the fields below takes out, also while asking
	held     Answer
	known    bool
	err      error // of the last attempt to ask
	failed   time.Time
	silentAt map[netip.AddrPort]time.Time
}

func newResolver(name string, c City) *resolver {
	r := &resolver{
		name: name, from: c.Prefix, servers: c.Servers, ask: askOnce, turn: make(chan struct{}, 1), silentAt: map[netip.AddrPort]time.Time{},
	}
	r.turn <- struct{}{}
	return r
}

// resolve returns the city's answer, and whether it was asked for just now. The answer may have no addresses.
func (r *resolver) resolve(ctx context.Context) (a Answer, fresh bool, err error) {
	select {
	case <-r.turn:
		defer func() { r.turn <- struct{}{} }()
	case <-ctx.Done():
		return Answer{}, false, ctx.Err()
	}
	now := time.Now()
	if r.known && now.Before(r.held.Expires()) {
		return r.held, false, nil
	}
	if r.err != nil && now.Sub(r.failed) < failureFor {
		return Answer{}, false, r.err
	}
	// The answer is for everybody: it does not end with one who asked.
	ctx = context.WithoutCancel(ctx)
	r.held, r.err = r.askAround(ctx)
	r.known = r.err == nil
	if r.err != nil {
		r.failed = time.Now()
		return Answer{}, false, r.err
	}
	return r.held, true, nil
}

// askAround asks one server after the other.
func (r *resolver) askAround(ctx context.Context) (Answer, error) {
	var silent []netip.AddrPort
	var faults []string
	for range rounds {
		for _, s := range r.order(time.Now()) {
			reply, err := r.ask(ctx, s.Addr, r.name, dns.TypeA, r.from)
			if err == nil && reply.Rcode != "NOERROR" && reply.Rcode != "NXDOMAIN" {
				err = errors.New(reply.Rcode) // somebody else may know better
			}
			if err == nil {
				delete(r.silentAt, s.Addr)
				return Answer{Reply: reply, Server: s.Addr, Asked: time.Now(), Silent: silent, Why: r.why(ctx, s, reply)}, nil
			}
			r.silentAt[s.Addr] = time.Now()
			if !slices.Contains(silent, s.Addr) {
				silent = append(silent, s.Addr)
				faults = append(faults, fmt.Sprintf("%s: %v", s.Addr, err))
			}
		}
	}
	return Answer{}, fmt.Errorf("no DNS server knows %s for %s: %s", r.name, r.from, strings.Join(faults, "; "))
}

// order returns the servers, those that were silent lately last.
func (r *resolver) order(now time.Time) []Server {
	late := func(s Server) bool {
		at, was := r.silentAt[s.Addr]
		return was && now.Sub(at) < avoidFor
	}
	order := slices.Clone(r.servers)
	slices.SortStableFunc(order, func(a, b Server) int {
		switch {
		case late(a) == late(b):
			return 0
		case late(b):
			return -1
		default:
			return 1
		}
	})
	return order
}

// why asks the node that answered for its reasons. They are of the same answer or they are none.
func (r *resolver) why(ctx context.Context, s Server, reply Reply) *control.Explanation {
	ctx, cancel := context.WithTimeout(ctx, whyWithin)
	defer cancel()
	e := r.explain(ctx, s)
	if e == nil || !slices.Equal(e.Trace.Answer, reply.Addrs) {
		return nil
	}
	return e
}

// explain asks a node what it would answer the city now, and why; nil = it cannot be asked, or steers nothing here.
func (r *resolver) explain(ctx context.Context, s Server) *control.Explanation {
	if s.API == nil {
		return nil
	}
	e, err := s.API.Explain(ctx, control.ExplainQuery{Name: r.name, Type: "A", Client: r.from})
	if err != nil || e.Trace == nil {
		return nil
	}
	return e
}
