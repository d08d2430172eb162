package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// TestTraveler walks from a city through DNS to a shop.
func TestTraveler(t *testing.T) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		m.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 5}, A: net.IPv4(127, 0, 0, 1)}}
		w.WriteMsg(m)
	})}
	started := make(chan struct{})
	server.NotifyStartedFunc = func() { close(started) }
	served := make(chan error, 1)
	go func() { served <- server.ActivateAndServe() }()
	<-started
	t.Cleanup(func() {
		server.Shutdown()
		<-served
	})
	shop := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "welcome to "+r.Host) }))
	t.Cleanup(shop.Close)
	at, err := url.Parse(shop.URL)
	if err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	var stdout lines
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, []string{
			"shop", "traveler", "--listen", "127.0.0.1:0", "--dns", conn.LocalAddr().String(), "--name", "www.shop.example", "--port", at.Port(),
			"--city", "New York=192.0.2.0/26", "--city", "frankfurt=198.51.100.0/26",
		}, &stdout, io.Discard)
	}()
	target := stdout.await(t, `traveler at (\S+)`)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "frankfurt.localhost"
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || string(body) != "welcome to www.shop.example" || resp.Header.Get("Traveler-City") != "frankfurt" {
		t.Errorf("%s %q from city %q, %v", resp.Status, body, resp.Header.Get("Traveler-City"), err)
	}
	list, err := http.Get(target)
	if err != nil {
		t.Fatal(err)
	}
	defer list.Body.Close()
	page, err := io.ReadAll(list.Body)
	if err != nil || !strings.Contains(string(page), `//newyork.localhost`) || !strings.Contains(string(page), ">Frankfurt<") {
		t.Errorf("cities: %v, %s", err, page)
	}
	command(t, 0, "probe", target+"/healthz")
	cancel()
	if c := <-code; c != 0 {
		t.Errorf("traveler: exit code %d: want 0", c)
	}
}

func TestWrongTravelers(t *testing.T) {
	city := []string{"--city", "frankfurt=198.51.100.0/26"}
	for want, args := range map[string][]string{
		"no DNS server":           city,
		"no cities":               {"--dns", "127.0.0.1"},
		`dns "nowhere"`:           append([]string{"--dns", "nowhere"}, city...),
		"1 APIs for 2 DNS":        append([]string{"--dns", "127.0.0.1,127.0.0.2", "--api", "127.0.0.1:8053"}, city...),
		"port 0":                  append([]string{"--dns", "127.0.0.1", "--port", "0"}, city...),
		`"frankfurt": want NAME=`: {"--dns", "127.0.0.1", "--city", "frankfurt"},
		"want a network":          {"--dns", "127.0.0.1", "--city", "frankfurt=198.51.100.7/26"},
	} {
		if out := command(t, 2, append([]string{"traveler"}, args...)...); !strings.Contains(out, want) {
			t.Errorf("%v: no %q in %s", args, want, out)
		}
	}
}
