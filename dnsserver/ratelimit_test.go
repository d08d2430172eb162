package dnsserver

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"github.com/meridian-gtm/meridian/dnsserver/rrl"
	"github.com/meridian-gtm/meridian/dnsserver/wire"
)

// Over UDP a client that asks too much gets its burst, then truncated answers now and then and else silence; over TCP,
// where it shows its address, it gets its answers.
func TestRateLimit(t *testing.T) { bothWays(t, testRateLimit) }

func testRateLimit(t *testing.T, singly bool) {
	s := newServer(t, Options{Listen: loopback, Workers: 1, RateLimit: rrl.Options{Answers: 1, Empty: 3, Burst: time.Minute}})
	s.singly = singly
	s.Store(newSnapshot(t, "192.0.2.1"))
	addr, _ := start(t, s)
	conn, err := net.Dial("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for range 160 {
		m := new(dns.Msg).SetQuestion("static.shop.example.", dns.TypeA)
		m.SetEdns0(1232, true)
		b, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	// Not limited, so it tells that all before it was read.
	refused, err := new(dns.Msg).SetQuestion("elsewhere.example.", dns.TypeA).Pack()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write(refused); err != nil {
		t.Fatal(err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	full, cut := 0, 0
	for buf := make([]byte, 1500); ; {
		n, err := conn.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		var m dns.Msg
		if err := m.Unpack(buf[:n]); err != nil {
			t.Fatal(err)
		}
		if m.Rcode == dns.RcodeRefused {
			break
		}
		switch {
		case len(m.Answer) == 1 && !m.Truncated:
			full++
		case len(m.Answer) == 0 && m.Truncated && m.IsEdns0() != nil && m.IsEdns0().Do() && len(m.Question) == 1:
			cut++
		default:
			t.Errorf("got %v", &m)
		}
	}
	if full < 60 || full > 66 || cut < 30 || cut > 70 { // more than 60 if it took seconds
		t.Errorf("%d full and %d truncated answers of 160", full, cut)
	}
	if st := s.Stats().UDP; st.RateTruncated != uint64(cut) || st.RateDropped != uint64(160-full-cut) {
		t.Errorf("%d full, %d truncated: %+v", full, cut, st)
	}
	for range 10 {
		if m := ask(t, "tcp", addr, "static.shop.example. A"); len(m.Answer) != 1 {
			t.Errorf("tcp: got %v", m)
		}
	}
	if m := ask(t, "udp", addr, "gone.shop.example. A"); m.Rcode != dns.RcodeNameError { // another class
		t.Errorf("got %v", m)
	}
}

// The clock of a limiter goes on while the server runs.
func TestRateClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, err := newRateLimit(rrl.Options{Answers: 1})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() { _ = r.run(ctx) }()
		answer := []byte{11: 0, 7: 1}
		c := newCounters(false)
		var got int
		for range 50 {
			if r.limit(c, answer, netip.MustParseAddr("192.0.2.1"), wire.CookieNone, 1) != nil {
				got++
			}
			time.Sleep(100 * time.Millisecond)
		}
		if got != 5 || c.rateDropped.Load() != 45 {
			t.Errorf("%d answers in 5 s, %d dropped", got, c.rateDropped.Load())
		}
	})
	if r, err := newRateLimit(rrl.Options{}); r != nil || err != nil {
		t.Errorf("without limits: %v, %v", r, err)
	}
}

// Whatever the server answers, its short forms are messages with the same question and OPT record, and nothing else.
func TestTruncate(t *testing.T) {
	s := newServer(t, Options{Answers: wire.Options{NSID: "fra"}})
	s.Store(newSnapshot(t, "192.0.2.1"))
	cookie := &dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: clientCookie}
	w := s.newWorker(newCounters(false), wire.UDP)
	for _, name := range []string{"static.shop.example.", "GONE.shop.example.", "big.shop.example.", "www.shop.example."} {
		for _, options := range [][]dns.EDNS0{nil, {}, {&dns.EDNS0_NSID{Code: dns.EDNS0NSID}, cookie}} {
			q := new(dns.Msg).SetQuestion(name, dns.TypeA)
			if options != nil {
				q.SetEdns0(1232, true)
				q.IsEdns0().Option = options
			}
			req, err := q.Pack()
			if err != nil {
				t.Fatal(err)
			}
			answer := w.answer(s.Snapshot(), s.cookies.now.Load(), req, loopback[0], make([]byte, maxUDPAnswer))
			var whole, cut dns.Msg
			if err := whole.Unpack(answer); err != nil {
				t.Fatal(err)
			}
			short := truncate(bytes.Clone(answer))
			if err := cut.Unpack(short); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if !cut.Truncated || cut.Rcode != 0 || cut.Id != whole.Id || cut.Question[0] != whole.Question[0] ||
				len(cut.Answer)+len(cut.Ns) != 0 || len(cut.Extra) != len(whole.Extra) {
				t.Errorf("%s: got %v", name, &cut)
			}
			opt := whole.IsEdns0()
			if opt == nil {
				continue
			}
			if cut.IsEdns0().String() != opt.String() {
				t.Errorf("%s: OPT %v, want %v", name, cut.IsEdns0(), opt)
			}
			var refused dns.Msg
			if err := refused.Unpack(badCookie(bytes.Clone(answer))); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if refused.Rcode != dns.RcodeBadCookie || refused.Truncated || refused.Authoritative ||
				refused.Question[0] != whole.Question[0] || len(refused.Answer)+len(refused.Ns) != 0 ||
				fmt.Sprint(refused.IsEdns0().Option) != fmt.Sprint(opt.Option) {
				t.Errorf("%s: got %v", name, &refused)
			}
		}
	}
}

// No bytes make it panic or grow.
func FuzzTruncate(f *testing.F) {
	f.Add(make([]byte, 12))
	f.Add([]byte("\x00\x00\x80\x00\x00\x01\x00\x00\x00\x00\x00\x01\x00\x00\x01\x00\x01\x00\x00\x29\x04\xd0\x00\x00\x80\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, answer []byte) {
		if len(answer) < 12 {
			return
		}
		before := len(answer)
		if got := truncate(bytes.Clone(answer)); len(got) > before {
			t.Errorf("%d octets of %d", len(got), before)
		}
		if got := badCookie(bytes.Clone(answer)); len(got) > before {
			t.Errorf("%d octets of %d", len(got), before)
		}
	})
}
