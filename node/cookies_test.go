package node

import (
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// askWithCookie asks a node over UDP with a COOKIE option, given in hexadecimal, and returns the answer and its cookie.
func (m *member) askWithCookie(cookie string) (answer *dns.Msg, back string) {
	m.f.t.Helper()
	q := new(dns.Msg).SetQuestion("txt.shop.example.", dns.TypeTXT)
	q.SetEdns0(1232, false)
	q.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: cookie}}
	c := dns.Client{Timeout: patience}
	answer, _, err := c.Exchange(q, m.node.DNSAddrs()[0].String())
	if err != nil {
		m.f.t.Fatal(err)
	}
	if opt := answer.IsEdns0(); opt != nil {
		for _, o := range opt.Option {
			if c, ok := o.(*dns.EDNS0_COOKIE); ok {
				back = c.Cookie
			}
		}
	}
	return answer, back
}

// newCookie gets a server cookie from a node that requires one.
func (m *member) newCookie() string {
	m.f.t.Helper()
	answer, cookie := m.askWithCookie(clientCookie)
	if answer.Rcode != dns.RcodeBadCookie || len(cookie) != 48 {
		m.f.t.Fatalf("%s: cookie %q in %v", m.site.Name, cookie, answer)
	}
	return cookie
}

// accepts compares what a node that requires cookies says to one.
func (m *member) accepts(cookie string, want bool) {
	m.f.t.Helper()
	if answer, _ := m.askWithCookie(cookie); (answer.Rcode == dns.RcodeSuccess && len(answer.Answer) == 1) != want {
		m.f.t.Errorf("%s: want %v for cookie %s: got %v", m.site.Name, want, cookie, answer)
	}
}

const clientCookie = "0102030405060708"

// Nodes with the same keyring accept each other's cookies, and go on to do so while the keyring changes.
func TestFleetSharesCookies(t *testing.T) {
	f := running(t, 2, func(v *fleetVars) { v.DNS = ", cookies: {require: true}" })
	a, b := f.nodes[0], f.nodes[1]
	first := a.newCookie()
	a.accepts(first, true)
	b.accepts(first, true)
	if got := b.metrics()[`meridian_dns_cookie_queries_total{cookie="valid",transport="udp"}`]; got != 1 {
		t.Errorf("%v valid cookies counted: want 1", got)
	}
	if got := a.metrics()[`meridian_dns_answers_total{rcode="BADCOOKIE",transport="udp"}`]; got != 1 {
		t.Errorf("%v BADCOOKIE counted: want 1", got)
	}
	const older, newer = "bWVyaWRpYW4tdGVzdC1rZXktb2YtMzItYnl0ZXMhISE=\n", "bmV4dC1rZXktb2YtdGhpcy1mbGVldC1vZi0zMi1iLiE=\n"
	for _, keyring := range []string{older + newer, newer + older, newer} {
		f.write("gossip.keys", keyring) // all nodes read the same file, but only when they are told
		for _, m := range f.nodes {
			before := a.newCookie()
			if _, err := m.api.Reload(t.Context()); err != nil {
				t.Fatal(err)
			}
			a.accepts(before, true)
			b.accepts(before, true)
			a.accepts(b.newCookie(), true)
			b.accepts(a.newCookie(), true)
		}
	}
	a.accepts(first, false)
	b.accepts(first, false)
}

// Secrets of a file are taken instead of the keyring, as they are, and again on reload; a broken file changes nothing.
func TestCookieSecretsFile(t *testing.T) {
	f := newFleet(t, 2, func(v *fleetVars) { v.DNS = ", cookies: {require: true, secrets_file: cookies.keys}" })
	one, two := hex.EncodeToString([]byte("the first secret")), hex.EncodeToString([]byte("the other secret"))
	f.write("cookies.keys", one+"\n")
	for _, m := range f.nodes {
		m.start()
	}
	a, b := f.nodes[0], f.nodes[1]
	first := a.newCookie()
	b.accepts(first, true)
	reload := func(m *member, text string) error {
		f.write("cookies.keys", text)
		_, err := m.api.Reload(t.Context())
		return err
	}
	if err := reload(a, one+"\n"+two[:30]+"\n"); err == nil || !strings.Contains(err.Error(), "cookies.keys: line 2: not 32 hexadecimal digits") ||
		strings.Contains(fmt.Sprint(err), two[:30]) {
		t.Errorf("broken: got %v", err)
	}
	a.accepts(first, true)
	if err := reload(a, two+"\n"+one+"\n"); err != nil {
		t.Fatal(err)
	}
	a.accepts(first, true)
	second := a.newCookie()
	a.accepts(second, true)
	b.accepts(second, false) // it has not read the file again
	if err := reload(b, two+"\n"); err != nil {
		t.Fatal(err)
	}
	b.accepts(second, true)
	b.accepts(first, false)
}

// Without cookies a node is one that does not know them.
func TestCookiesOff(t *testing.T) {
	f := newFleet(t, 1, func(v *fleetVars) { v.DNS = ", cookies: {enabled: false}" })
	m := f.nodes[0]
	m.start()
	if answer, cookie := m.askWithCookie(clientCookie); cookie != "" || len(answer.Answer) != 1 {
		t.Errorf("cookie %q in %v", cookie, answer)
	}
}
