package lab

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/meridian-gtm/meridian/demo/world"
)

// TestTravelersSeeTheirOwnDatacenter asks for a page from every city, and again when a city's own DNS node is dead.
func TestTravelersSeeTheirOwnDatacenter(t *testing.T) {
	l := startLab(t)
	awaitSteady(t, l)
	client := &http.Client{Timeout: 20 * time.Second}
	visit := func(i int) *http.Response {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+l.TravelerAddr().String()+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = l.Travel().Cities[i].Name() + ".localhost"
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp
	}
	want := func(i int, node string) {
		t.Helper()
		c := l.Clients[i]
		resp := visit(i)
		h := resp.Header
		addr, err := netip.ParseAddr(h.Get("Traveler-Address"))
		if resp.StatusCode != http.StatusOK || err != nil || l.SiteOf(addr) != c.Home || h.Get("Shop-Region") != c.Home || h.Get("Traveler-Node") != node {
			t.Errorf("%s: %s from %s at %s, told by %s: want %s, told by %s", c.City, resp.Status, h.Get("Shop-Region"), addr, h.Get("Traveler-Node"), c.Home, node)
		}
	}
	for i, m := range l.Members {
		want(i, m.Name)
	}
	if _, err := l.World.Inject(world.Fault{Kind: world.KillNode, Site: l.Members[1].Site}); err != nil {
		t.Fatal(err)
	}
	// The city keeps the dead node's answer for its time, then asks the next one.
	for deadline := time.Now().Add(30 * time.Second); visit(1).Header.Get("Traveler-Node") == l.Members[1].Name; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("a dead node answers")
		}
	}
	want(1, l.Members[2].Name)
}

func TestTravelerTakesTheNextFreePort(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	taken := ln.Addr().(*net.TCPAddr).AddrPort()
	if taken.Port() > 65000 {
		t.Skip("no room above the port")
	}
	next, note, err := chooseTraveler(taken.Port(), netip.AddrPort{})
	if err != nil || next.Port() <= taken.Port() || !strings.HasPrefix(note, "traveler: "+taken.String()+" is taken: using port ") {
		t.Fatalf("chose %s, note %q, %v: want the next port, and to be told", next, note, err)
	}
	// The port that the fault control is going to bind is not free.
	other, note, err := chooseTraveler(taken.Port(), next)
	if err != nil || other.Port() <= next.Port() || note == "" {
		t.Errorf("chose %s, note %q, %v: want one above %s", other, note, err, next)
	}
	if at, note, err := chooseTraveler(0, next); err != nil || note != "" || at.Port() == 0 {
		t.Errorf("any port: chose %s, note %q, %v", at, note, err)
	}
}

// TestNothingListensAfterwards: a lab that was never run leaves no socket behind.
func TestNothingListensAfterwards(t *testing.T) {
	l, err := New(context.Background(), Options{AnyPort: true})
	if err != nil {
		t.Fatal(err)
	}
	at := l.TravelerAddr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if conn, err := net.Dial("tcp", at); err == nil {
		conn.Close()
		t.Errorf("somebody still listens at %s", at)
	}
}
