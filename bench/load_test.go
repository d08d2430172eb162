//go:build linux

package main

import (
	"encoding/binary"
	"net"
	"net/netip"
	"testing"
	"time"
)

// answerer answers all queries but those that the function does not want to, with one record if it says so.
func answerer(t *testing.T, want func(n int) bool) netip.AddrPort {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 512)
		for n := 0; ; n++ {
			size, from, err := conn.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			if !want(n) {
				continue
			}
			buf[2] |= 0x80
			buf[3] = byte(n % 2 * 3)
			binary.BigEndian.PutUint16(buf[6:], uint16(1-n%2))
			_, _ = conn.WriteToUDPAddrPort(buf[:size], from)
		}
	}()
	t.Cleanup(func() { conn.Close(); <-done })
	return conn.LocalAddr().(*net.UDPAddr).AddrPort()
}

func TestLoad(t *testing.T) {
	l := load{
		server: answerer(t, func(int) bool { return true }), sockets: 3, window: 8, duration: 100 * time.Millisecond,
		queries: [][]byte{query("www.example.com", 1, netip.Addr{}), query("h.wild.example.com", 1, netip.Addr{})},
	}
	r, err := l.run()
	if err != nil {
		t.Fatal(err)
	}
	open := r.sent - r.answered
	if r.answered == 0 || open > 24 || r.lost != 0 || r.elapsed < l.duration {
		t.Errorf("sent %d, answered %d, lost %d in %v", r.sent, r.answered, r.lost, r.elapsed)
	}
	if r.rcodes[0]+r.rcodes[3] != r.answered || r.filled != r.rcodes[0] || r.latency.total != r.answered {
		t.Errorf("%v, %d filled, %d timed, of %d", r.rcodes, r.filled, r.latency.total, r.answered)
	}
}

func TestLoadRate(t *testing.T) {
	l := load{
		server: answerer(t, func(int) bool { return true }), sockets: 2, window: 100, duration: 200 * time.Millisecond,
		rate: 1000, queries: [][]byte{query("www.example.com", 1, netip.Addr{})},
	}
	r, err := l.run()
	if err != nil {
		t.Fatal(err)
	}
	if most := uint64(r.elapsed.Seconds()*1000) + 1; r.sent > most || r.sent < 100 {
		t.Errorf("sent %d in %v, want up to %d", r.sent, r.elapsed, most)
	}
}

// A query that gets no answer is counted, and the others go on.
func TestLoadLoss(t *testing.T) {
	l := load{
		server: answerer(t, func(n int) bool { return n%10 != 0 }), sockets: 1, window: 4, duration: 500 * time.Millisecond,
		queries: [][]byte{query("www.example.com", 1, netip.Addr{})},
	}
	r, err := l.run()
	if err != nil {
		t.Fatal(err)
	}
	if r.lost < 4 || r.answered < r.lost || r.sent < r.answered+r.lost {
		t.Errorf("sent %d, answered %d, lost %d", r.sent, r.answered, r.lost)
	}
}

func TestHistogram(t *testing.T) {
	var h histogram
	if got := h.quantile(0.5); got != 0 {
		t.Errorf("of nothing: %v", got)
	}
	for i := range 100 {
		h.add(time.Duration(i+1) * time.Millisecond)
	}
	for part, want := range map[float64]time.Duration{0.01: time.Millisecond, 0.5: 50 * time.Millisecond, 0.99: 65535 * time.Microsecond} {
		if got := h.quantile(part); got != want {
			t.Errorf("%v: got %v, want %v", part, got, want)
		}
	}
}
