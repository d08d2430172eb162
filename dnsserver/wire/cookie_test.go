package wire

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"testing"

	"github.com/miekg/dns"
)

func fromHex(tb testing.TB, s string) []byte {
	tb.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// The example of the paper that defines the function, and its authors' vectors for the lengths around it.
func TestSipHash(t *testing.T) {
	const k0, k1 = 0x0706050403020100, 0x0f0e0d0c0b0a0908
	in := make([]byte, 64)
	for i := range in {
		in[i] = byte(i)
	}
	for n, want := range map[int]uint64{
		0: 0x726fdb47dd0e0e31, 1: 0x74f839c593dc67fd, 7: 0xab0200f58b01d137, 8: 0x93f5f5799a932462,
		15: 0xa129ca6149be45e5, 63: 0x958a324ceb064572,
	} {
		if got := sipHash(k0, k1, in[:n]); got != want {
			t.Errorf("%d octets: got %x, want %x", n, got, want)
		}
	}
}

// The examples of RFC 9018 appendix A: what a server with these secrets at this time answers.
func TestCookieVectors(t *testing.T) {
	const secret, oldSecret, newSecret = "e5e973e5a6b2a43f48e7dc849e37bfcf", "dd3bdf9344b678b185a6f5cb60fca715",
		"445536bcd2513298075a5d379663c962"
	for _, tt := range []struct {
		name    string
		secrets []string
		client  string
		now     uint32
		in, out string
		status  CookieStatus
	}{
		{"learning a new one (A.1)", []string{secret}, "198.51.100.100", 1559731985,
			"2464c4abcf10c957", "2464c4abcf10c957010000005cf79f111f8130c3eee29480", CookieClient},
		{"learning a fresh one (A.2)", []string{secret}, "198.51.100.100", 1559734385,
			"2464c4abcf10c957010000005cf79f111f8130c3eee29480", "2464c4abcf10c957010000005cf7a871d4a564a1442aca77",
			CookieValid},
		{"too old, reserved octets set (A.3)", []string{secret}, "203.0.113.203", 1559734700,
			"fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5", "fc93fc62807ddb86010000005cf7a9acf73a7810aca2381e",
			CookieInvalid},
		{"reserved octets set (A.3, in time)", []string{secret}, "203.0.113.203", 1559727985 + 1800,
			"fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5", "fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5",
			CookieValid},
		{"IPv6, with a secret that has been replaced (A.4)", []string{newSecret, oldSecret},
			"2001:db8:220:1:59de:d0f4:8769:82b8", 1559741961,
			"22681ab97d52c298010000005cf7c57926556bd0934c72f8", "22681ab97d52c298010000005cf7c609a6bb79d16625507a",
			CookieValid},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := Cookies{Now: tt.now}
			for _, s := range tt.secrets {
				c.Secrets = append(c.Secrets, CookieSecret(fromHex(t, s)))
			}
			var out [cookieSize]byte
			status := c.reply(&out, fromHex(t, tt.in), netip.MustParseAddr(tt.client))
			if got := hex.EncodeToString(out[:]); got != tt.out || status != tt.status {
				t.Errorf("got %s, status %d, want %s, status %d", got, status, tt.out, tt.status)
			}
		})
	}
}

// How old or how far ahead a server cookie may be, and from when on it is replaced (RFC 9018 section 4.3), also while
// the clock runs over.
func TestCookieAge(t *testing.T) {
	client := netip.MustParseAddr("192.0.2.1")
	for _, now := range []uint32{1_800_000_000, 100, 0xffffffff} {
		c := &Cookies{Now: now, Secrets: testCookies.Secrets}
		for _, tt := range []struct {
			age    int32
			status CookieStatus
			same   bool
		}{
			{-301, CookieInvalid, false}, {-300, CookieValid, true}, {0, CookieValid, true}, {1800, CookieValid, true},
			{1801, CookieValid, false}, {3600, CookieValid, false}, {3601, CookieInvalid, false},
		} {
			in := cookieFor(c, client, tt.age)
			var out [cookieSize]byte
			status := c.reply(&out, in, client)
			if status != tt.status || bytes.Equal(in, out[:]) != tt.same {
				t.Errorf("now %d, age %d: status %d, %x to %x", now, tt.age, status, in, out)
			}
			if again := c.reply(new([cookieSize]byte), out[:], client); again != CookieValid {
				t.Errorf("now %d, age %d: what was given has status %d", now, tt.age, again)
			}
		}
	}
}

// No octet of a cookie can be changed, the reserved ones included, nor the client's address.
func TestCookieForgery(t *testing.T) {
	client := netip.MustParseAddr("192.0.2.1")
	cookie := cookieFor(testCookies, client, 60)
	for i := range cookie {
		forged := bytes.Clone(cookie)
		forged[i] ^= 0x01
		if status := testCookies.reply(new([cookieSize]byte), forged, client); status != CookieInvalid {
			t.Errorf("octet %d: status %d", i, status)
		}
	}
	for _, other := range []string{"192.0.2.2", "::192.0.2.1", "::ffff:192.0.2.1"} {
		if status := testCookies.reply(new([cookieSize]byte), cookie, netip.MustParseAddr(other)); status != CookieInvalid {
			t.Errorf("%s: status %d", other, status)
		}
	}
}

// withoutQuestion leaves nothing to answer but the OPT record.
func withoutQuestion(m *dns.Msg) { m.Question = nil }

func cookieOf(m *dns.Msg) string {
	opt := m.IsEdns0()
	if opt == nil {
		return ""
	}
	for _, o := range opt.Option {
		if c, ok := o.(*dns.EDNS0_COOKIE); ok {
			return c.Cookie
		}
	}
	return ""
}

// What clients get for which cookie, over which transport, from a server that requires cookies and one that does not.
func TestCookies(t *testing.T) {
	r, snap, out := newResponder(t, Options{NSID: "fra-1"}), newSnapshot(t), make([]byte, 512)
	strict := *testCookies
	strict.Require = true
	const answer = "NOERROR aa rd\nan a.ent.shop.example. 300 A 192.0.2.9\n"
	fresh := hex.EncodeToString(cookieFor(testCookies, resolver.Addr(), 0))
	young := cookieFor(testCookies, resolver.Addr(), 60)
	foreign := append([]byte("clientck"), make([]byte, 32)...)
	for _, tt := range []struct {
		name           string
		option         []byte
		status         CookieStatus
		lenient, tough string // answers over UDP up to the OPT record's cookie
		cookie         string
	}{
		{"none (RFC 7873 section 5.2.1)", nil, CookieNone, answer, answer, ""},
		{"client cookie (RFC 7873 section 5.2.3)", []byte("clientck"), CookieClient, answer, "BADCOOKIE rd\n", fresh},
		{"foreign server cookie (RFC 7873 section 5.2.4)", foreign, CookieInvalid, answer, "BADCOOKIE rd\n", fresh},
		{"shortest server cookie", foreign[:16], CookieInvalid, answer, "BADCOOKIE rd\n", fresh},
		{"expired (RFC 9018 section 4.3)", cookieFor(testCookies, resolver.Addr(), 4000), CookieInvalid, answer,
			"BADCOOKIE rd\n", fresh},
		{"of another client", cookieFor(testCookies, netip.MustParseAddr("192.0.2.1"), 60), CookieInvalid, answer,
			"BADCOOKIE rd\n", fresh},
		{"valid (RFC 7873 section 5.2.5)", young, CookieValid, answer, answer, hex.EncodeToString(young)},
		{"valid and old (RFC 9018 section 4.3)", cookieFor(testCookies, resolver.Addr(), 3000), CookieValid, answer,
			answer, fresh},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := withOPT(1232)
			if tt.option != nil {
				c = withCookie(tt.option)
			}
			req := newQuery(t, "a.ent.shop.example. A", c)
			opt := "ar OPT 1232\n"
			if tt.cookie != "" {
				opt = "ar OPT 1232 cookie " + tt.cookie + "\n"
			}
			for _, v := range []struct {
				cookies *Cookies
				tr      Transport
				want    string
			}{
				{testCookies, UDP, tt.lenient + opt}, {&strict, UDP, tt.tough + opt},
				{&strict, TCP, tt.lenient + opt}, // which showed the address (RFC 7873 section 5.2.3)
				{nil, UDP, tt.lenient + "ar OPT 1232\n"},
			} {
				got, meta := r.Respond(snap, v.cookies, req, resolver, v.tr, 0, out)
				if got := render(unpack(t, got)); got != v.want {
					t.Errorf("%v: got\n%swant\n%s", v.tr, got, v.want)
				}
				if v.cookies != nil && meta.Cookie != tt.status || v.cookies == nil && meta.Cookie != CookieNone {
					t.Errorf("status %d, want %d", meta.Cookie, tt.status)
				}
			}
		})
	}
}

// A malformed option gets FORMERR without a cookie, and the right lengths are right (RFC 7873 section 5.2.2).
func TestMalformedCookie(t *testing.T) {
	r, snap, out := newResponder(t, Options{}), newSnapshot(t), make([]byte, 512)
	for n := range 64 {
		answer, meta := r.Respond(snap, testCookies, newQuery(t, "a.ent.shop.example. A", withCookie(make([]byte, n))),
			resolver, UDP, 0, out)
		m := unpack(t, answer)
		wellFormed := n == 8 || n >= 16 && n <= 40
		if (m.Rcode == dns.RcodeSuccess) != wellFormed || (cookieOf(m) != "") != wellFormed {
			t.Errorf("%d octets: got %v", n, m)
		}
		if !wellFormed && (m.Rcode != dns.RcodeFormatError || meta.Cookie != CookieNone) {
			t.Errorf("%d octets: got %v, %+v", n, m, meta)
		}
	}
}

// The first of several options counts (RFC 7873 section 5.2), whatever the others are.
func TestFirstCookieCounts(t *testing.T) {
	r, snap, out := newResponder(t, Options{}), newSnapshot(t), make([]byte, 512)
	first := &dns.EDNS0_LOCAL{Code: dns.EDNS0COOKIE, Data: []byte("clientck")}
	second := &dns.EDNS0_LOCAL{Code: dns.EDNS0COOKIE, Data: []byte("other")}
	answer, _ := r.Respond(snap, testCookies, newQuery(t, "a.ent.shop.example. A", withOPT(1232, first, second)), resolver,
		UDP, 0, out)
	want(t, unpack(t, answer), "NOERROR aa rd", "an a.ent.shop.example. 300 A 192.0.2.9",
		"ar OPT 1232 cookie "+hex.EncodeToString(cookieFor(testCookies, resolver.Addr(), 0)))
}

// A query without a question asks for a server cookie (RFC 7873 section 5.4).
func TestCookieWithoutQuestion(t *testing.T) {
	r, snap, out := newResponder(t, Options{}), newSnapshot(t), make([]byte, 512)
	strict := *testCookies
	strict.Require = true
	fresh := "ar OPT 1232 cookie " + hex.EncodeToString(cookieFor(testCookies, resolver.Addr(), 0))
	young := cookieFor(testCookies, resolver.Addr(), 60)
	for _, tt := range []struct {
		name  string
		c     change
		lines []string
	}{
		{"client cookie", withCookie([]byte("clientck")), []string{"NOERROR rd", fresh}},
		{"valid", withCookie(young), []string{"NOERROR rd", "ar OPT 1232 cookie " + hex.EncodeToString(young)}},
		{"invalid", withCookie(append([]byte("clientck"), make([]byte, 16)...)), []string{"BADCOOKIE rd", fresh}},
		{"malformed", withCookie(make([]byte, 12)), []string{"FORMERR rd", "ar OPT 1232"}},
		{"no cookie (RFC 9619 section 4)", withOPT(1232), []string{"FORMERR rd", "ar OPT 1232"}},
		{"no OPT (RFC 9619 section 4)", func(*dns.Msg) {}, []string{"FORMERR rd"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			req := newQuery(t, ". A", tt.c, withoutQuestion)
			for _, tr := range []Transport{UDP, TCP} {
				for _, cookies := range []*Cookies{testCookies, &strict} {
					answer, meta := r.Respond(snap, cookies, req, resolver, tr, 0, out)
					m := unpack(t, answer)
					want(t, m, tt.lines...)
					if len(m.Question) != 0 || meta.Qtype != 0 {
						t.Errorf("question is %v, meta is %+v", m.Question, meta)
					}
				}
			}
			answer, _ := r.Respond(snap, nil, req, resolver, UDP, 0, out)
			if m := unpack(t, answer); m.Rcode != dns.RcodeFormatError {
				t.Errorf("without cookies: got %v", m)
			}
		})
	}
}

// Errors carry a cookie, too, so that a client that expects one believes them (RFC 7873 section 5.3).
func TestCookieInErrors(t *testing.T) {
	r, snap, out := newResponder(t, Options{}), newSnapshot(t), make([]byte, 512)
	cookie := &dns.EDNS0_LOCAL{Code: dns.EDNS0COOKIE, Data: []byte("clientck")}
	opt := " cookie " + hex.EncodeToString(cookieFor(testCookies, resolver.Addr(), 0))
	for _, tt := range []struct {
		question string
		c        change
		lines    []string
	}{
		{"elsewhere.example. A", withOPT(1232, cookie), []string{"REFUSED rd", "ar OPT 1232" + opt}},
		{"static.shop.example. A", withOPT(1232, &dns.EDNS0_LOCAL{Code: dns.EDNS0SUBNET}, cookie),
			[]string{"FORMERR rd", "ar OPT 1232" + opt}},
		{"many.big.example. A", withOPT(512, cookie), []string{"NOERROR aa tc rd", "ar OPT 1232" + opt}},
	} {
		answer, _ := r.Respond(snap, testCookies, newQuery(t, tt.question, tt.c), resolver, UDP, 0, out)
		want(t, unpack(t, answer), tt.lines...)
	}
}

// FuzzCookie checks what holds for every option: the answer's begins with the client's cookie and is valid, and only a
// server cookie that was made for the client is.
func FuzzCookie(f *testing.F) {
	client := netip.MustParseAddr("2001:db8::1")
	for _, age := range []int32{-400, 0, 60, 3000, 4000} {
		f.Add(cookieFor(testCookies, client, age))
	}
	f.Add([]byte("clientck"))
	f.Add(make([]byte, 41))
	f.Fuzz(func(t *testing.T, option []byte) {
		if !cookieWellFormed(option) {
			return
		}
		var out, again [cookieSize]byte
		status := testCookies.reply(&out, option, client)
		if !bytes.Equal(out[:8], option[:8]) || testCookies.reply(&again, out[:], client) != CookieValid || again != out {
			t.Fatalf("%x: answered with %x", option, out)
		}
		if (status == CookieClient) != (len(option) == 8) {
			t.Fatalf("%x: status %d", option, status)
		}
		if status == CookieValid && testCookies.reply(&again, option, client.Next()) != CookieInvalid {
			t.Fatalf("%x: valid for two clients", option)
		}
	})
}
