package dnsserver

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"
)

// closer counts.
type closer struct{ closed int }

func (c *closer) Close() error { c.closed++; return nil }

func TestConnTable(t *testing.T) {
	table := newConnTable(4, 2)
	conns, slots := map[string]*closer{}, map[string]*connSlot{}
	admit := func(addr string, want bool) {
		t.Helper()
		conns[addr] = &closer{}
		slots[addr] = table.admit(netip.MustParseAddr(addr), conns[addr])
		if got := slots[addr] != nil; got != want {
			t.Errorf("%s: got %v", addr, got)
		}
	}
	admit("192.0.2.1", true)
	admit("::ffff:192.0.2.1", true)
	admit("192.0.2.1", false) // and forgets the first in this table
	admit("2001:db8::1", true)
	admit("2001:db8::2", true)
	admit("2001:db8::3", false) // two in this /64
	if want := (ConnStats{Open: 4, Accepted: 4, RejectedClient: 2}); table.stats != want {
		t.Errorf("got %+v, want %+v", table.stats, want)
	}
	// The first is the oldest; the second has just got an answer, so the next to go is the third.
	table.touch(slots["::ffff:192.0.2.1"])
	admit("192.0.2.2", true)
	admit("192.0.2.3", true)
	if got := conns["2001:db8::1"].closed + conns["::ffff:192.0.2.1"].closed + conns["2001:db8::2"].closed; got != 1 {
		t.Errorf("%d of the younger were closed", got)
	}
	if conns["2001:db8::1"].closed != 1 {
		t.Error("the connection longest without an answer is open")
	}
	if want := (ConnStats{Open: 4, Accepted: 6, RejectedClient: 2, Displaced: 2}); table.stats != want {
		t.Errorf("got %+v, want %+v", table.stats, want)
	}
	// What was displaced is counted out already, and gets no place back.
	table.touch(slots["2001:db8::1"])
	table.release(slots["2001:db8::1"])
	admit("2001:db8::4", true)
	for _, addr := range []string{"192.0.2.2", "192.0.2.3", "2001:db8::2", "2001:db8::4", "::ffff:192.0.2.1"} {
		table.release(slots[addr])
		table.release(slots[addr])
	}
	if table.stats.Open != 0 || len(table.byClient) != 0 || table.quiet.Len() != 0 {
		t.Errorf("left over: %+v, %v", table.stats, table.byClient)
	}
}

// At the limit a newcomer gets the place of the connection that has gone longest without an answer.
func TestConnLimit(t *testing.T) {
	s := newServer(t, Options{Listen: loopback, MaxConns: 2})
	s.Store(newSnapshot(t, "192.0.2.1"))
	addr, _ := start(t, s)
	open := func(client byte) net.Conn { // each with all its connections to itself
		dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, client)}}
		conn, err := dialer.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
		return conn
	}
	talk := func(conn net.Conn) {
		t.Helper()
		if _, err := conn.Write(framed(t, "static.shop.example.", 7)); err != nil {
			t.Fatal(err)
		}
		if m := receive(t, conn); m.Id != 7 {
			t.Errorf("got %v", m)
		}
	}
	first, second := open(2), open(3)
	talk(second)
	talk(first)
	talk(second)
	third := open(4)
	talk(third)
	if n, err := first.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("first connection: %d octets, %v", n, err)
	}
	talk(second)
	talk(third)
	if st := s.Stats().Conns; st.Open != 2 || st.Accepted != 3 || st.Displaced != 1 {
		t.Errorf("got %+v", st)
	}
}

// A client with too many connections is refused another, and nobody suffers.
func TestConnLimitPerClient(t *testing.T) {
	s := newServer(t, Options{Listen: loopback, MaxConnsPerClient: 1})
	s.Store(newSnapshot(t, "192.0.2.1"))
	addr, _ := start(t, s)
	first, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	second, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	_ = second.SetReadDeadline(time.Now().Add(5 * time.Second))
	if n, err := second.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("second connection: %d octets, %v", n, err)
	}
	if _, err := first.Write(framed(t, "static.shop.example.", 7)); err != nil {
		t.Fatal(err)
	}
	receive(t, first)
	if st := s.Stats().Conns; st.Open != 1 || st.RejectedClient != 1 {
		t.Errorf("got %+v", st)
	}
}
