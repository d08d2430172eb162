package gossip

import (
	"context"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"
)

// rejoin tries to reach who is absent, at once and for ever: memberlist alone never finds a member again that it has
// given up. Each round tries one address of every datacenter that misses some, and of every seed whose datacenter
// is not known, in turn.
func (g *Gossip) rejoin(ctx context.Context) {
	for round := 0; ; round++ {
		g.table.forget()
		var wg sync.WaitGroup
		for _, addrs := range g.absent(ctx) {
			addr := addrs[round%len(addrs)]
			wg.Go(func() { g.join(ctx, addr) })
		}
		wg.Wait()
		if len(g.opts.Seeds) > 0 && g.table.alive() < 2 && round%12 == 1 {
			g.opts.Logger.Warn("gossip: alone, no seed answers", "seeds", g.opts.Seeds)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(spread(g.pace.rejoin)):
		}
	}
}

// maxAbsent bounds the groups tried at once.
const maxAbsent = 16

// absent returns the addresses that should have a live member and have none, grouped by datacenter where it is
// known. A seed that is itself alive, under any of its addresses, is not absent.
func (g *Gossip) absent(ctx context.Context) map[string][]netip.AddrPort {
	alive := map[netip.AddrPort]bool{g.addr: true, plain(g.opts.Bind): true}
	datacenter := make(map[netip.AddrPort]string)
	groups := make(map[string][]netip.AddrPort)
	add := func(group string, addr netip.AddrPort) {
		if _, ok := groups[group]; (ok || len(groups) < maxAbsent) && !slices.Contains(groups[group], addr) {
			groups[group] = append(groups[group], addr)
		}
	}
	list := g.table.list()
	for _, m := range list {
		if m.State == Alive {
			alive[m.Addr] = true
		}
		datacenter[m.Addr] = m.Datacenter
	}
	for _, seed := range g.opts.Seeds {
		addrs := resolve(ctx, seed)
		if slices.ContainsFunc(addrs, func(a netip.AddrPort) bool { return alive[a] }) {
			continue
		}
		for _, addr := range addrs {
			group := "seed " + seed
			if dc, ok := datacenter[addr]; ok {
				group = "datacenter " + dc
			}
			add(group, addr)
		}
	}
	for _, m := range list {
		if m.State == Failed && !alive[m.Addr] {
			add("datacenter "+m.Datacenter, m.Addr)
		}
	}
	return groups
}

// resolve returns the addresses of "host:port", none when the name does not resolve now.
func resolve(ctx context.Context, seed string) []netip.AddrPort {
	host, service, err := net.SplitHostPort(seed)
	if err != nil {
		return nil
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil {
		return nil
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return []netip.AddrPort{netip.AddrPortFrom(ip.Unmap(), uint16(port))}
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil
	}
	out := make([]netip.AddrPort, 0, len(ips))
	for _, ip := range ips {
		out = append(out, netip.AddrPortFrom(ip.Unmap(), uint16(port)))
	}
	return out
}

// join contacts an address until its node is a live member. After a partition one contact is not enough: each side
// holds the other dead, and learns in the first that it must contradict, and in the second that the other did.
func (g *Gossip) join(ctx context.Context, addr netip.AddrPort) {
	for range 3 {
		if _, err := g.memberlist.Join([]string{addr.String()}); err != nil {
			g.opts.Logger.Debug("gossip join", "address", addr, "error", err)
			return
		}
		i := slices.IndexFunc(g.table.list(), func(m Member) bool { return m.Addr == addr && m.State == Alive && !m.Self })
		if i >= 0 {
			g.counters.joins.Add(1)
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(g.pace.rejoinAgain):
		}
	}
}

// spread varies an interval by a tenth, so that nodes that started together do not stay in step.
func spread(d time.Duration) time.Duration {
	return d - d/10 + rand.N(d/5+1)
}
