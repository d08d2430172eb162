package traveler

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var (
	first  = netip.MustParseAddrPort("192.0.2.53:53")
	second = netip.MustParseAddrPort("198.51.100.53:53")
	vipA   = netip.MustParseAddr("192.0.2.100")
	vipB   = netip.MustParseAddr("198.51.100.100")
)

// desk is DNS servers that say what the test wants and remember who was asked.
type desk struct {
	mu     sync.Mutex
	says   map[netip.AddrPort]Reply // without an entry a server is silent
	asked  []netip.AddrPort
	silent time.Duration // that a silent server lets one wait
}

func (d *desk) ask(_ context.Context, server netip.AddrPort, _ string, _ uint16, _ netip.Prefix) (Reply, error) {
	d.mu.Lock()
	d.asked = append(d.asked, server)
	reply, ok := d.says[server]
	d.mu.Unlock()
	if !ok {
		time.Sleep(d.silent)
		return Reply{}, errors.New("timeout")
	}
	return reply, nil
}

func (d *desk) say(server netip.AddrPort, r *Reply) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if r == nil {
		delete(d.says, server)
	} else {
		d.says[server] = *r
	}
}

// since returns who was asked since the last call.
func (d *desk) since() []netip.AddrPort {
	d.mu.Lock()
	defer d.mu.Unlock()
	asked := d.asked
	d.asked = nil
	return asked
}

func at(addr netip.Addr, ttl uint32) *Reply {
	return &Reply{Rcode: "NOERROR", Addrs: []netip.Addr{addr}, TTL: ttl}
}

func newDesk() (*desk, *resolver) {
	d := &desk{says: map[netip.AddrPort]Reply{first: *at(vipA, 5), second: *at(vipA, 5)}, silent: time.Second}
	r := newResolver("www.shop.example", City{
		Prefix: netip.MustParsePrefix("198.51.100.0/26"), Servers: []Server{{Addr: first}, {Addr: second}},
	})
	r.ask = d.ask
	return d, r
}

// want resolves and compares the address, whether it was asked for, and who was asked.
func want(t *testing.T, d *desk, r *resolver, addr netip.Addr, asked ...netip.AddrPort) Answer {
	t.Helper()
	a, fresh, err := r.resolve(t.Context())
	if err != nil || len(a.Addrs) != 1 || a.Addrs[0] != addr || fresh != (len(asked) > 0) {
		t.Errorf("resolved %v, fresh %v, %v: want %v, fresh %v", a.Addrs, fresh, err, addr, len(asked) > 0)
	}
	if got := d.since(); !slices.Equal(got, asked) {
		t.Errorf("asked %v: want %v", got, asked)
	}
	return a
}

func TestResolverKeepsAnAnswerForItsTTLAndNotLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, r := newDesk()
		want(t, d, r, vipA, first)
		d.say(first, at(vipB, 5))
		time.Sleep(5*time.Second - time.Millisecond)
		if a := want(t, d, r, vipA); a.secondsLeft(time.Now()) != 1 {
			t.Errorf("%d s left: want 1", a.secondsLeft(time.Now()))
		}
		time.Sleep(time.Millisecond)
		want(t, d, r, vipB, first)
		// An answer for no time is asked for every time.
		time.Sleep(5 * time.Second)
		d.say(first, at(vipA, 0))
		want(t, d, r, vipA, first)
		want(t, d, r, vipA, first)
	})
}

func TestResolverAsksTheNextServerWhenOneIsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, r := newDesk()
		d.say(first, nil)
		a := want(t, d, r, vipA, first, second)
		if !slices.Equal(a.Silent, []netip.AddrPort{first}) || a.Server != second {
			t.Errorf("answered by %v after silence of %v: want %v after %v", a.Server, a.Silent, second, first)
		}
		// The silent one is asked last for a while, though it is well again.
		d.say(first, at(vipA, 5))
		time.Sleep(5 * time.Second)
		want(t, d, r, vipA, second)
		time.Sleep(avoidFor)
		want(t, d, r, vipA, first)
		// One that does not know is not believed when another one does.
		time.Sleep(5 * time.Second)
		d.say(first, &Reply{Rcode: "SERVFAIL"})
		want(t, d, r, vipA, first, second)
	})
}

func TestResolverKeepsThatThereIsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, r := newDesk()
		d.say(first, &Reply{Rcode: "NXDOMAIN", TTL: 2})
		for range 2 {
			if a, _, err := r.resolve(t.Context()); err != nil || a.Rcode != "NXDOMAIN" || len(a.Addrs) > 0 {
				t.Errorf("%+v, %v: want NXDOMAIN", a, err)
			}
		}
		if got := d.since(); len(got) != 1 {
			t.Errorf("asked %v: want once", got)
		}
		d.say(first, at(vipA, 5))
		time.Sleep(2 * time.Second)
		want(t, d, r, vipA, first)
	})
}

// TestResolverAsksOnceForAll: a crowd that finds nobody there costs one round of questions, and does not wait in line.
func TestResolverAsksOnceForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, r := newDesk()
		d.say(first, nil)
		d.say(second, nil)
		crowd := func() time.Duration {
			start := time.Now()
			var all sync.WaitGroup
			for range 50 {
				all.Go(func() {
					if _, _, err := r.resolve(t.Context()); err == nil {
						t.Error("resolved without a server")
					}
				})
			}
			all.Wait()
			return time.Since(start)
		}
		if took := crowd(); took != 4*time.Second {
			t.Errorf("a crowd waited %v: want 4s", took)
		}
		if got := d.since(); len(got) != rounds*2 {
			t.Errorf("asked %d times: want %d", len(got), rounds*2)
		}
		d.say(second, at(vipB, 5))
		time.Sleep(failureFor)
		want(t, d, r, vipB, first, second)
	})
}
