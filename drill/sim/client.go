package sim

import (
	"net/netip"
	"slices"
	"time"

	"github.com/meridian-gtm/meridian/dnsserver/steer"
)

// client is a resolver with people behind it: it asks a node, keeps the answer, and asks again when it thinks that
// it must.
type client struct {
	dc     int
	floor  time.Duration // it keeps answers at least so long; pinned clients keep the first for ever
	pinned bool

	addr    netip.Addr // of its latest answer
	until   time.Duration
	asked   time.Duration // when the answer was given
	from    *node
	service int
}

// populate places clients in every datacenter: of ten, seven keep to the TTL, two hold for a minute at least, one
// holds for five; one in all keeps its first answer for ever. The mix is an assumption.
func (w *world) populate() {
	count := min(10*w.sc.Datacenters, 40)
	for i := range count {
		c := &client{dc: i % w.sc.Datacenters, service: i % 2}
		switch (i / w.sc.Datacenters) % 10 {
		case 7, 8:
			c.floor = time.Minute
		case 9:
			c.floor = 5 * time.Minute
		}
		c.pinned = i == count-1 && i > 0
		w.clients = append(w.clients, c)
		w.push(event{at: 3*time.Second + time.Duration(w.chance.Int64N(int64(5*time.Second))), kind: evQuery, node: -1, a: int32(i)})
	}
}

// query has a client ask one of the nodes for the address of its service.
func (w *world) query(c *client) {
	again := func(d time.Duration) {
		w.push(event{at: w.now + d, kind: evQuery, node: -1, a: int32(slices.Index(w.clients, c))})
	}
	n := w.nodes[w.chance.IntN(len(w.nodes))]
	if !n.up || n.paused {
		again(2 * time.Second) // tries another after its time-out
		return
	}
	a, ok := w.answer(n.replica, c.service, c.dc)
	w.stats.Queries++
	w.checker.answered(w, n, c, a, ok)
	if !ok || len(a.Addrs) == 0 {
		again(time.Second)
		return
	}
	c.addr, c.from, c.asked = a.Addrs[0], n, w.now
	keep := max(time.Duration(a.TTL)*time.Second, c.floor)
	c.until = w.now + keep
	if !c.pinned {
		again(keep)
	}
}

// answer is what a replica answers to clients of a datacenter.
func (w *world) answer(r *replica, service, dc int) (steer.Answer, bool) {
	if r.plan == nil {
		return steer.Answer{}, false
	}
	i, ok := r.plan.Service(w.inputs.Services[service].Name)
	if !ok {
		return steer.Answer{}, false
	}
	return r.plan.Answer(i, typeA, steer.Client{Addr: clientAddr(dc), ECS: true}, uint32(w.stats.Queries), nil), true
}

const typeA = 1
