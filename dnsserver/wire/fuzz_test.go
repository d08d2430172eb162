package wire

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/miekg/dns"
)

// FuzzRespond checks what holds for every packet whatsoever: no panic, and either silence or a well-formed answer
// with the query's ID, QR set, the question as it came, and no longer than allowed.
func FuzzRespond(f *testing.F) {
	addQueries(f)
	snap := newSnapshot(f)
	r := newResponder(f, Options{NSID: "fra-1", Version: "meridian", Hostname: "fra-1"})
	out := make([]byte, MaxSize)
	f.Fuzz(func(t *testing.T, req []byte, overTCP bool) {
		tr, limit := UDP, DefaultUDPSize
		if overTCP {
			tr, limit = TCP, MaxSize
		}
		for _, client := range []netip.AddrPort{resolver, netip.MustParseAddrPort("[2001:db8:7::9]:53")} {
			answer, meta := r.Respond(snap, testCookies, req, client, tr, uint32(len(req)), out)
			if answer == nil {
				if len(req) >= 12 && req[2]&0x80 == 0 {
					t.Fatalf("silence to %x", req)
				}
				continue
			}
			m := new(dns.Msg)
			if err := m.Unpack(answer); err != nil {
				t.Fatalf("%v in %x", err, answer)
			}
			if m.IsEdns0() == nil && tr == UDP {
				limit = 512
			}
			switch {
			case len(answer) > limit:
				t.Fatalf("%d octets: want at most %d", len(answer), limit)
			case !bytes.Equal(answer[:2], req[:2]) || !m.Response:
				t.Fatalf("header %x to %x", answer[:12], req[:12])
			case len(m.Question) == 1 && !bytes.HasPrefix(req[12:], questionOf(answer)):
				t.Fatalf("question %x to %x", questionOf(answer), req[12:])
			case len(m.Question) == 0 && m.Rcode != dns.RcodeFormatError && m.Rcode != dns.RcodeNotImplemented &&
				m.Rcode != dns.RcodeBadVers && meta.Cookie == CookieNone:
				t.Fatalf("no question in %v", m)
			case len(m.Question) == 0 && len(m.Answer)+len(m.Ns) > 0:
				t.Fatalf("records without a question in %v", m)
			case m.Rcode == dns.RcodeBadCookie && meta.Cookie != CookieInvalid:
				t.Fatalf("BADCOOKIE to %+v", meta)
			case (cookieOf(m) != "") != (meta.Cookie != CookieNone):
				t.Fatalf("%+v: cookie %q", meta, cookieOf(m))
			case m.Truncated && (overTCP || len(m.Answer)+len(m.Ns) > 0), m.Truncated != meta.Truncated:
				t.Fatalf("truncated: %v", m)
			case m.IsEdns0() != nil && !meta.EDNS:
				t.Fatalf("unasked OPT in %v", m)
			}
		}
	})
}

// addQueries adds queries over UDP and TCP as seeds.
func addQueries(f *testing.F) {
	for _, question := range []string{
		"static.shop.example. A", "WwW.shop.example. AAAA", "chain.shop.example. A", "x.old.shop.example. A",
		"a.sub.shop.example. A", "many.big.example. A", "huge.big.example. TXT", "mail.big.example. MX",
		"www.sub.big.example. A", "static.shop.example. ANY", "shop.example. AXFR", "version.bind. TXT CH", ". NS",
		`a\.b\000\255.shop.example. A`, "x.wild.shop.example. TXT",
		longAlias + ".big.example. TXT",
	} {
		f.Add(newQuery(f, question), false)
		f.Add(newQuery(f, question, withOPT(0xffff, &dns.EDNS0_NSID{Code: dns.EDNS0NSID})), false)
		f.Add(newQuery(f, question, withECS("198.51.100.0/24")), false)
		f.Add(newQuery(f, question, withECS("2001:db8:7:100::/56")), true)
	}
	for _, cookie := range [][]byte{
		[]byte("clientck"), cookieFor(testCookies, resolver.Addr(), 60), cookieFor(testCookies, resolver.Addr(), 3000),
		make([]byte, 7), make([]byte, 12), make([]byte, 40), make([]byte, 41),
	} {
		f.Add(newQuery(f, "www.shop.example. A", withCookie(cookie)), false)
		f.Add(newQuery(f, "www.shop.example. A", withCookie(cookie), withoutQuestion), true)
	}
	f.Add([]byte{}, false)
	f.Add(bytes.Repeat([]byte{0xc0}, 64), false)
}

// FuzzBothPaths holds the compiled path against the slow one, in as much room as the query leads to and in less.
func FuzzBothPaths(f *testing.F) {
	addQueries(f)
	snap := newSnapshot(f)
	o := Options{NSID: "fra-1", Version: "meridian", Hostname: "fra-1"}
	fast, slow := newResponder(f, o), newResponder(f, o)
	slow.interpret = true
	got, want := make([]byte, MaxSize), make([]byte, MaxSize)
	f.Fuzz(func(t *testing.T, req []byte, overTCP bool) {
		tr := UDP
		if overTCP {
			tr = TCP
		}
		for _, size := range []int{MaxSize, 512 + len(req)%256} {
			a, m := fast.Respond(snap, testCookies, req, resolver, tr, uint32(len(req)), got[:0:size])
			b, n := slow.Respond(snap, testCookies, req, resolver, tr, uint32(len(req)), want[:0:size])
			n.Slow = m.Slow
			if m != n || !sameMeaning(a, b) {
				t.Fatalf("%x over %v\ncompiled %+v\n%v\nslow %+v\n%v", req, tr, m, show(a), n, show(b))
			}
		}
	})
}

// questionOf returns the octets of an answer's only question, or nil.
func questionOf(answer []byte) []byte {
	if answer[5] != 1 {
		return nil
	}
	end := 12
	for answer[end] != 0 {
		end += 1 + int(answer[end])
	}
	return answer[12 : end+5]
}
