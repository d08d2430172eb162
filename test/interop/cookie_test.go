package interop

import (
	"encoding/hex"
	"testing"

	"github.com/miekg/dns"

	"github.com/meridian-gtm/meridian/dnsserver"
	"github.com/meridian-gtm/meridian/dnsserver/wire"
)

// Servers that share a secret accept each other's cookies, whoever wrote them (RFC 9018 section 5).
func TestNamedSharesCookies(t *testing.T) {
	secret := wire.CookieSecret([]byte("a shared secret!"))
	w := newWorld(t)
	named := startNamedWith(t, w, `cookie-secret "`+hex.EncodeToString(secret[:])+`"; require-server-cookie yes;`)
	if err := w.shop.SetCookieKeys(dnsserver.CookieKeys{Secrets: []wire.CookieSecret{secret}}); err != nil {
		t.Fatal(err)
	}
	ours := w.shop.Addrs()[0].String()
	ask := func(addr, cookie string) (rcode, back string) {
		t.Helper()
		q := question("ns1.shop.example.", dns.TypeA)
		q.SetEdns0(1232, false)
		q.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: cookie}}
		c := dns.Client{Timeout: patience}
		m, _, err := c.Exchange(q, addr)
		if err != nil {
			t.Fatal(err)
		}
		if opt := m.IsEdns0(); opt != nil {
			for _, o := range opt.Option {
				if c, ok := o.(*dns.EDNS0_COOKIE); ok {
					back = c.Cookie
				}
			}
		}
		return dns.RcodeToString[m.Rcode], back
	}
	for from, to := range map[string]string{named: ours, ours: named} {
		rcode, cookie := ask(from, "0102030405060708")
		if rcode != "BADCOOKIE" || len(cookie) != 48 {
			t.Errorf("%s: %s, cookie %q: want BADCOOKIE and a server cookie", from, rcode, cookie)
		}
		if rcode, _ := ask(to, cookie); rcode != "NOERROR" {
			t.Errorf("%s: %s for %q, which %s made", to, rcode, cookie, from)
		}
		if rcode, _ := ask(to, "ff"+cookie[2:]); rcode != "BADCOOKIE" {
			t.Errorf("%s: %s for the server cookie of another client cookie", to, rcode)
		}
	}
}
