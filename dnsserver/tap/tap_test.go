package tap

import (
	"context"
	"encoding/binary"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"

	"github.com/meridian-gtm/meridian/dnsserver/wire"
)

// sink calls itself with every exchange.
type sink func(*Exchange)

func (s sink) Take(x *Exchange) { s(x) }

func newTap(tb testing.TB, outputs ...Output) *Tap {
	tb.Helper()
	t, err := New(outputs...)
	if err != nil {
		tb.Fatal(err)
	}
	return t
}

var client = netip.MustParseAddrPort("192.0.2.7:4711")

// offer shows a point one query.
func offer(p *Point, query, answer []byte) {
	if p.Next() {
		p.Take(query, answer, client, netip.Prefix{}, wire.UDP, &wire.Meta{Qtype: 1})
	}
}

// Every exchange that many goroutines offer arrives once, whole, in each goroutine's order, or is counted as lost.
func TestNothingIsLostUnseen(t *testing.T) {
	const writers, each = 4, 5000
	last, got := [writers]int{}, 0
	tp := newTap(t, Output{Sample: 1, Sink: sink(func(x *Exchange) {
		got++
		w, n := int(x.Query[0]), int(binary.BigEndian.Uint32(x.Query[1:]))
		if n <= last[w] || string(x.Answer) != "answer"+string(x.Query) || !x.Sent || x.Client != client || x.Meta.Qtype != 1 {
			t.Errorf("writer %d: %d after %d, answer %q", w, n, last[w], x.Answer)
		}
		last[w] = n
	})})
	ctx, cancel := context.WithCancel(t.Context())
	var running, writing sync.WaitGroup
	running.Go(func() { tp.Run(ctx) })
	shared := tp.NewFeed()
	for w := range writers {
		feed := shared
		if w == 0 {
			feed = tp.NewFeed()
		}
		writing.Go(func() {
			p := feed.NewPoint(netip.AddrPort{})
			for n := range each {
				query := binary.BigEndian.AppendUint32([]byte{byte(w)}, uint32(n+1))
				p.Begin()
				offer(p, query, append([]byte("answer"), query...))
			}
		})
	}
	writing.Wait()
	cancel()
	running.Wait()
	if got+int(tp.Lost()) != writers*each || got < ringSize {
		t.Errorf("%d arrived and %d were lost of %d", got, tp.Lost(), writers*each)
	}
}

// A ring without a reader keeps the oldest and counts the others.
func TestFullRing(t *testing.T) {
	var got []byte
	tp := newTap(t, Output{Sample: 1, Sink: sink(func(x *Exchange) { got = append(got, x.Query[0]) })})
	p := tp.NewFeed().NewPoint(netip.AddrPort{})
	for round := range 3 {
		for i := range ringSize + 5 {
			offer(p, []byte{byte(i)}, nil)
		}
		tp.drain()
		if len(got) != ringSize || got[0] != 0 || got[ringSize-1] != byte((ringSize-1)%256) || int(tp.Lost()) != 5*(round+1) {
			t.Fatalf("round %d: %d arrived, %d lost", round, len(got), tp.Lost())
		}
		got = got[:0]
	}
}

// Each sink gets its own share, also of clients that ask in a rhythm.
func TestSampling(t *testing.T) {
	var all, tenth, odd, thousandth int
	tp := newTap(t,
		Output{Sample: 1, Sink: sink(func(*Exchange) { all++ })},
		Output{Sample: 10, Sink: sink(func(x *Exchange) { tenth++; odd += int(x.Query[0] & 1) })},
		Output{Sample: 1000, Sink: sink(func(*Exchange) { thousandth++ })})
	p := tp.NewFeed().NewPoint(netip.AddrPort{})
	const n = 200_000
	for i := range n {
		offer(p, []byte{byte(i)}, nil)
		if i%ringSize == 0 {
			tp.drain()
		}
	}
	tp.drain()
	// The gaps are uniform: the count's deviation is below that of independent draws, 135 and 14. Six of them are allowed.
	if all != n || tenth < n/10-810 || tenth > n/10+810 || thousandth < n/1000-84 || thousandth > n/1000+84 {
		t.Errorf("%d, %d and %d of %d", all, tenth, thousandth, n)
	}
	if odd < tenth*45/100 || odd > tenth*55/100 {
		t.Errorf("%d of %d samples are of every other query", odd, tenth)
	}
}

// What does not fit is left out, the answer first.
func TestLongMessages(t *testing.T) {
	var x Exchange
	tp := newTap(t, Output{Sample: 1, Sink: sink(func(got *Exchange) { x = *got })})
	p := tp.NewFeed().NewPoint(netip.AddrPort{})
	for _, tt := range []struct{ query, answer, wantQuery, wantAnswer int }{
		{48, 2000, 48, 2000}, {49, 2000, 49, 0}, {2048, 12, 2048, 0}, {2049, 12, 0, 12}, {12, 0, 12, 0},
	} {
		var answer []byte
		if tt.answer > 0 {
			answer = make([]byte, tt.answer)
		}
		offer(p, make([]byte, tt.query), answer)
		tp.drain()
		if len(x.Query) != tt.wantQuery || len(x.Answer) != tt.wantAnswer || x.Sent != (tt.answer > 0) {
			t.Errorf("%+v: query %d, answer %d, sent %t", tt, len(x.Query), len(x.Answer), x.Sent)
		}
	}
}

// Sinks that want the question alone get all of the longest one, and no answer.
func TestQuestions(t *testing.T) {
	var x Exchange
	tp := newTap(t, Output{Sample: 1, Question: true, Sink: sink(func(got *Exchange) { x = *got })})
	p := tp.NewFeed().NewPoint(netip.AddrPort{})
	label := strings.Repeat("a", 63) + "."
	longest := label + label + label + label[2:]
	for _, name := range []string{".", "www.shop.example.", longest} {
		m := new(dns.Msg).SetQuestion(name, dns.TypeA)
		m.SetEdns0(1232, false)
		query, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		offer(p, query, []byte("answer"))
		tp.drain()
		if got, ok := x.Name(); !ok || got != name || x.Answer != nil || !x.Sent {
			t.Errorf("%s: got %s, %t, answer %q, sent %t", name, got, ok, x.Answer, x.Sent)
		}
	}
}

func TestNoTap(t *testing.T) {
	if tp, err := New(); tp != nil || err != nil || tp.NewFeed().NewPoint(netip.AddrPort{}) != nil {
		t.Errorf("got %v, %v", tp, err)
	}
	if _, err := New(Output{}, Output{Sample: 1_000_001}); err == nil ||
		err.Error() != "tap: output 0: sample 0: want 1..1000000\ntap: output 1: sample 1000001: want 1..1000000" {
		t.Errorf("got %v", err)
	}
}
