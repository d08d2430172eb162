package world

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// directorOptions is what both lives of a director have in common.
type directorOptions struct {
	name     string
	site     string
	machine  vrrp // in its initial state
	vip      *vip
	segment  *segment
	replicas []backend
	network  *Network
	check    time.Duration // between checks of a replica
	drain    time.Duration // for connections when it stops in order
	log      *slog.Logger
	event    func(site, format string, args ...any)
}

// director is one life of one of a site's two layer-4 directors.
type director struct {
	directorOptions
	dial func(ctx context.Context, network, address string) (net.Conn, error)
	ctx  context.Context // of this life; its cause says how it ends

	// carrying outlives ctx by the drain: connections under way hang on it.
	carrying    context.Context
	endCarrying context.CancelFunc

	mu     sync.Mutex
	pool   pool
	conns  map[net.Conn]struct{} // client sides of what is being forwarded
	closed bool
	wg     sync.WaitGroup // forwarded connections
}

func newDirector(ctx context.Context, opt directorOptions) *director {
	d := &director{
		directorOptions: opt, dial: opt.network.Dialer(opt.site), ctx: ctx,
		pool:  pool{backends: slices.Clone(opt.replicas)},
		conns: map[net.Conn]struct{}{},
	}
	d.carrying, d.endCarrying = context.WithCancel(context.WithoutCancel(ctx))
	return d
}

func (d *director) id() string { return d.name }

// run is the life of the director. A cause of errKilled ends it as the loss of its host does.
func (d *director) run() {
	hear, leave := d.segment.join(d.name)
	defer leave()
	if d.vip.forget(d.name) {
		d.event(d.site, "%s removed the stale VIP that it died with", d.name)
	}

	checks, endChecks := context.WithCancel(d.ctx)
	var checkers sync.WaitGroup
	for i := range d.pool.backends {
		checkers.Go(func() { d.watch(checks, i) })
	}

	d.share(hear)

	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	if !killed(d.ctx) {
		d.drained()
	}
	d.endCarrying()
	d.cut()
	d.wg.Wait()
	endChecks()
	checkers.Wait()
}

// share takes part in VRRP until the director's end.
func (d *director) share(hear <-chan advert) {
	machine := d.machine
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	do := func(e vrrpEffect) {
		if e.drop {
			d.vip.drop(d)
		}
		if e.take && d.vip.take(d) {
			d.event(d.site, "director %s took the VIP %s", d.name, d.vip.real)
		}
		if e.send {
			a := advert{from: d.name, priority: machine.priority}
			if e.zero {
				a.priority = 0
			}
			d.segment.send(a)
			d.vip.retry()
		}
		if e.arm > 0 {
			timer.Reset(e.arm)
		}
	}
	do(machine.start())
	for {
		select {
		case <-d.ctx.Done():
			if killed(d.ctx) {
				d.vip.abandon(d)
			} else {
				do(machine.stop())
			}
			return
		case a := <-hear:
			do(machine.hear(a))
		case <-timer.C:
			// What was said before the timer fired comes first, or a stall of this process would look like the
			// master's silence.
			select {
			case a := <-hear:
				if e := machine.hear(a); e.arm > 0 {
					do(e)
					continue
				}
			default:
			}
			do(machine.timer())
		}
	}
}

// watch checks one replica until ctx ends.
func (d *director) watch(ctx context.Context, i int) {
	b := d.replicas[i]
	for first := true; ; first = false {
		err := checkReplica(ctx, d.dial, b.addr, d.name, d.check)
		if ctx.Err() != nil {
			return
		}
		d.mu.Lock()
		changed := d.pool.observe(i, err == nil)
		d.mu.Unlock()
		if changed {
			d.network.poke()
			if !first {
				d.tell(b.name, err)
			}
		}
		if pause(ctx, d.check) != nil {
			return
		}
	}
}

// tell says that a replica came (err is nil) or went. Both directors see it; the one that it matters to tells.
func (d *director) tell(replica string, err error) {
	d.log.Debug("replica", "director", d.name, "replica", replica, "up", err == nil, "err", err)
	if d.vip.held() != d.name {
		return
	}
	if err != nil {
		d.event(d.site, "%s sends nothing to %s any more: %v", d.name, replica, err)
	} else {
		d.event(d.site, "%s sends connections to %s", d.name, replica)
	}
}

// drained waits until every connection has ended, or for as long as the director drains.
func (d *director) drained() {
	done := make(chan struct{})
	go func() { d.wg.Wait(); close(done) }()
	t := time.NewTimer(d.drain)
	defer t.Stop()
	select {
	case <-done:
	case <-t.C:
	}
}

// cut ends every forwarded connection at once, with a reset: nothing may look like an orderly end.
func (d *director) cut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for c := range d.conns {
		reset(c)
	}
}

// live counts the replicas that get connections, and the connections.
func (d *director) live() (replicas, conns int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.pool.live(), len(d.conns)
}

// backendsUp lists the names of the replicas that get connections.
func (d *director) backendsUp() (names []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, b := range d.pool.backends {
		if b.up {
			names = append(names, b.name)
		}
	}
	return names
}

// checkReplica asks a replica for its readiness, over a connection marked as the director's own.
func checkReplica(ctx context.Context, dial func(context.Context, string, string) (net.Conn, error), addr, director string, every time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, max(every, 500*time.Millisecond))
	defer cancel()
	c, err := dial(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })()
	b := checkHeader(director).Append(nil)
	b = append(b, "GET /readyz HTTP/1.0\r\n\r\n"...)
	if _, err := c.Write(b); err != nil {
		return err
	}
	return readStatus(c)
}

// readStatus reads the status line of an HTTP answer and wants 200.
func readStatus(c net.Conn) error {
	const line = "HTTP/1.0 200"
	var got [len(line)]byte
	n := 0
	for n < len(got) {
		m, err := c.Read(got[n:])
		n += m
		if err != nil {
			return fmt.Errorf("status line %q: %w", got[:n], err)
		}
	}
	if string(got[9:]) != "200" {
		return fmt.Errorf("status %s: want 200", got[9:])
	}
	return nil
}

func addrPort(a net.Addr) netip.AddrPort {
	if t, ok := a.(*net.TCPAddr); ok {
		return t.AddrPort()
	}
	return netip.AddrPort{}
}
