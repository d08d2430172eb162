package world

import (
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"
)

// reach is how a VIP looks from outside of its site.
type reach uint8

const (
	reachOpen   reach = iota
	reachRefuse       // connections are refused
	reachSilent       // nobody answers
)

// forwarder takes the connections of a VIP.
type forwarder interface {
	id() string
	forward(net.Conn)
}

// vip is one virtual address: whichever director took it last has it, as with gratuitous ARP. It is bound while
// somebody has it.
//
// A director that dies without a word leaves the address with a dead host: to everybody outside it is silent until
// the other director takes it. On loopback silence is a listener on which nobody accepts: the kernel completes
// handshakes, then nothing comes. Who waited long enough is served when somebody accepts again, as by the next SYN.
// The listener stays when the holder changes: a move refuses nobody.
type vip struct {
	site   string
	addr   netip.AddrPort // as DNS names it
	real   netip.AddrPort // where it is bound
	log    *slog.Logger
	notify func() // something changed

	mu     sync.Mutex
	holder forwarder // nil = nobody
	dead   bool      // the holder died holding it
	reach  reach
	ln     *net.TCPListener
	serves forwarder // who ln accepts for; nil = silent
	loop   bool      // an accept loop of ln runs
	err    error     // of the last attempt to bind

	wg sync.WaitGroup // accept loops
}

// take gives the address to f, whoever had it, and reports whether it was not f's already.
func (v *vip) take(f forwarder) (moved bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	moved = v.holder != f
	v.holder, v.dead = f, false
	v.settle()
	return moved
}

// drop takes the address from f, if f has it.
func (v *vip) drop(f forwarder) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.holder == f {
		v.holder, v.dead = nil, false
		v.settle()
	}
}

// abandon is the death of f's host.
func (v *vip) abandon(f forwarder) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.holder == f {
		v.dead = true
		v.settle()
	}
}

// forget removes what a director of this name left behind when it died: a stale address on a host that starts again
// would answer beside the new holder's.
func (v *vip) forget(name string) (stale bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	stale = v.holder != nil && v.dead && v.holder.id() == name
	if stale {
		v.holder, v.dead = nil, false
		v.settle()
	}
	return stale
}

// setReach changes how the address looks from outside.
func (v *vip) setReach(r reach) (changed bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	changed = v.reach != r
	v.reach = r
	v.settle()
	return changed
}

// retry binds the address if that was not possible before.
func (v *vip) retry() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.err != nil {
		v.settle()
	}
}

// held returns who holds the address alive, or "".
func (v *vip) held() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.holder == nil || v.dead {
		return ""
	}
	return v.holder.id()
}

// dark reports whether nobody answers at the address, not even with a refusal.
func (v *vip) dark() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	listen, f := v.wants()
	return listen && f == nil
}

// answers reports whether a connection from outside reaches a director.
func (v *vip) answers() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.ln != nil && v.serves != nil
}

// wants returns what the listener should be: none, silent (nil forwarder), or one for the holder.
func (v *vip) wants() (listen bool, f forwarder) {
	switch {
	case v.reach == reachRefuse:
		return false, nil
	case v.reach == reachSilent || v.dead:
		return true, nil
	case v.holder == nil:
		return false, nil
	}
	return true, v.holder
}

// settle makes the listener what it should be. mu is held.
func (v *vip) settle() {
	listen, f := v.wants()
	if listen == (v.ln != nil) && f == v.serves {
		return
	}
	defer v.notify()
	v.serves = f
	if !listen {
		v.err = nil
		if v.ln != nil {
			v.ln.Close()
			v.ln, v.loop = nil, false
		}
		return
	}
	if v.ln == nil {
		before := v.err
		if v.ln, v.err = net.ListenTCP("tcp", net.TCPAddrFromAddrPort(v.real)); v.err != nil {
			if before == nil {
				v.log.Warn("bind VIP", "site", v.site, "err", v.err) // once, though it is tried again and again
			}
			return
		}
	}
	if f == nil {
		v.ln.SetDeadline(time.Unix(1, 0)) // ends the accept loop and leaves the listener
		return
	}
	v.ln.SetDeadline(time.Time{})
	if !v.loop {
		v.loop = true
		ln := v.ln
		v.wg.Go(func() { v.accept(ln) })
	}
}

// accept hands connections to whoever holds the address when they come, until the address is silent or gone.
func (v *vip) accept(ln *net.TCPListener) {
	for {
		c, err := ln.Accept()
		v.mu.Lock()
		current, f := v.ln == ln, v.serves
		over := !current || f == nil
		if over && current {
			v.loop = false
		}
		v.mu.Unlock()
		switch {
		case err == nil && over:
			reset(c)
		case err == nil:
			f.forward(c)
		case !over && !errors.Is(err, os.ErrDeadlineExceeded):
			v.log.Warn("accept", "site", v.site, "err", err)
			time.Sleep(10 * time.Millisecond) // out of descriptors: let some come back
		}
		if over {
			return
		}
	}
}

// close ends the address for good.
func (v *vip) close() {
	v.mu.Lock()
	v.holder, v.dead, v.reach = nil, false, reachRefuse
	v.settle()
	v.mu.Unlock()
	v.wg.Wait()
}
