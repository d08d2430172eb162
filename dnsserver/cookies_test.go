package dnsserver

import (
	"context"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"github.com/meridian-gtm/meridian/dnsserver/rrl"
	"github.com/meridian-gtm/meridian/dnsserver/wire"
)

const clientCookie = "0102030405060708"

// newCookieQuery returns a query with a COOKIE option, given in hexadecimal.
func newCookieQuery(tb testing.TB, name, cookie string) []byte {
	tb.Helper()
	b, err := withCookie(name, cookie).Pack()
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func withCookie(name, cookie string) *dns.Msg {
	m := new(dns.Msg).SetQuestion(name, dns.TypeA)
	m.SetEdns0(1232, false)
	m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: cookie}}
	return m
}

// cookieOf returns an answer's cookie in hexadecimal; "" = none.
func cookieOf(m *dns.Msg) string {
	if opt := m.IsEdns0(); opt != nil {
		for _, o := range opt.Option {
			if c, ok := o.(*dns.EDNS0_COOKIE); ok {
				return c.Cookie
			}
		}
	}
	return ""
}

// cookieNode makes and checks cookies as a server with these keys and a clock that is off by skew.
type cookieNode struct {
	keys CookieKeys
	skew time.Duration
}

// ask returns what becomes of a cookie at a time, and the one in the answer.
func (n cookieNode) ask(t *testing.T, now time.Time, cookie string) (wire.CookieStatus, string) {
	t.Helper()
	now = now.Add(n.skew)
	r, err := wire.NewResponder(wire.Options{})
	if err != nil {
		t.Fatal(err)
	}
	cookies := &wire.Cookies{Now: uint32(now.Unix()), Secrets: n.keys.secrets(now)}
	answer, meta := r.Respond(nil, cookies, newCookieQuery(t, "static.shop.example.", cookie), loopback[0], wire.UDP, 0,
		make([]byte, 512))
	var m dns.Msg
	if err := m.Unpack(answer); err != nil {
		t.Fatal(err)
	}
	return meta.Cookie, cookieOf(&m)
}

// Servers with the same root accept each other's cookies at every moment around a change of secrets, with clocks that
// are up to five minutes apart, for as long as cookies live; and never those of another root.
func TestCookieRotation(t *testing.T) {
	root, other := []byte("the key that all nodes of it share"), []byte("the key of somebody else's fleet")
	change := time.Unix(20_000*int64(cookiePeriod/time.Second), 0)
	stranger := cookieNode{keys: CookieKeys{Roots: [][]byte{other}}}
	for _, skew := range []time.Duration{0, 4 * time.Minute, -4 * time.Minute} {
		a := cookieNode{keys: CookieKeys{Roots: [][]byte{root}}}
		b := cookieNode{keys: CookieKeys{Roots: [][]byte{root}}, skew: skew}
		for made := change.Add(-2 * time.Hour); made.Before(change.Add(2 * time.Hour)); made = made.Add(7 * time.Minute) {
			_, cookie := a.ask(t, made, clientCookie)
			for age := time.Duration(0); age < 2*time.Hour; age += 5 * time.Minute {
				want := wire.CookieValid
				if age+skew > wire.CookieLife*time.Second {
					want = wire.CookieInvalid
				}
				status, fresh := b.ask(t, made.Add(age), cookie)
				if status != want {
					t.Fatalf("made %v after the change, %v later, clocks %v apart: status %d, want %d", made.Sub(change), age, skew,
						status, want)
				}
				if back, _ := a.ask(t, made.Add(age), fresh); back != wire.CookieValid {
					t.Fatalf("made %v after the change, %v later, clocks %v apart: the answer's has status %d", made.Sub(change), age,
						skew, back)
				}
			}
			if status, _ := stranger.ask(t, made, cookie); status != wire.CookieInvalid {
				t.Fatalf("a stranger's cookie has status %d", status)
			}
		}
	}
}

// A secret is gone two periods later, even for somebody who found it out and gives cookies any time.
func TestCookieSecretsEnd(t *testing.T) {
	keys := CookieKeys{Roots: [][]byte{[]byte("0123456789abcdef"), []byte("fedcba9876543210")}}
	seen := map[wire.CookieSecret]time.Time{}
	begin := time.Unix(1_800_000_000, 0)
	for at := begin; at.Before(begin.Add(5 * cookiePeriod)); at = at.Add(10 * time.Minute) {
		secrets := keys.secrets(at)
		if n := len(secrets); n != 2 && n != 4 {
			t.Fatalf("%d secrets: want those of one period or two", n)
		}
		for _, s := range secrets {
			if first, ok := seen[s]; !ok {
				seen[s] = at
			} else if at.Sub(first) > cookiePeriod+65*time.Minute {
				t.Fatalf("a secret is used for %v", at.Sub(first))
			}
		}
	}
	if len(seen) < 10 {
		t.Errorf("%d secrets in 5 periods of 2 roots", len(seen))
	}
}

// A root is replaced as gossip's keyring is: last everywhere, then first everywhere, then the old one goes. At each step,
// nodes that have taken it and nodes that have not accept each other's cookies.
func TestCookieRootReplaced(t *testing.T) {
	older, newer := []byte("the root that goes"), []byte("the root that comes")
	steps := [][][]byte{{older}, {older, newer}, {newer, older}, {newer}}
	now := time.Unix(1_800_000_000, 0)
	for i := range len(steps) - 1 {
		for _, pair := range [][2]int{{i, i + 1}, {i + 1, i}} {
			from := cookieNode{keys: CookieKeys{Roots: steps[pair[0]]}}
			to := cookieNode{keys: CookieKeys{Roots: steps[pair[1]]}}
			_, cookie := from.ask(t, now, clientCookie)
			if status, _ := to.ask(t, now, cookie); status != wire.CookieValid {
				t.Errorf("step %d to step %d: status %d", pair[0], pair[1], status)
			}
		}
	}
	_, cookie := cookieNode{keys: CookieKeys{Roots: steps[0]}}.ask(t, now, clientCookie)
	if status, _ := (cookieNode{keys: CookieKeys{Roots: steps[3]}}).ask(t, now, cookie); status != wire.CookieInvalid {
		t.Errorf("of a root that is gone: status %d", status)
	}
}

// Nodes of different versions share a fleet: what a root becomes may not change.
func TestCookieSecretIsStable(t *testing.T) {
	got := deriveCookieSecret([]byte("0123456789abcdef"), 20_000)
	if hex := hex.EncodeToString(got[:]); hex != "277a2072cb138c9703201ff540186f19" {
		t.Errorf("got %s", hex)
	}
}

// The clock goes on while the server runs, secrets change with it, and other keys are taken at once.
func TestCookieClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c cookieClock
		c.begin(CookieOptions{Require: true})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() { _ = c.run(ctx) }()
		first := c.now.Load()
		if first == nil || first.Now != uint32(time.Now().Unix()) || !first.Require {
			t.Fatalf("at the beginning: %+v", first)
		}
		time.Sleep(100*time.Second + time.Millisecond)
		if got := c.now.Load(); got.Now != first.Now+100 || !slices.Equal(got.Secrets, first.Secrets) {
			t.Errorf("100 s later: %d s, the same secrets %v", got.Now-first.Now, slices.Equal(got.Secrets, first.Secrets))
		}
		time.Sleep(2 * cookiePeriod)
		if got := c.now.Load(); slices.ContainsFunc(got.Secrets, func(s wire.CookieSecret) bool { return slices.Contains(first.Secrets, s) }) {
			t.Error("two periods later a secret is the same")
		}
		random := c.now.Load().Secrets
		secret := wire.CookieSecret{7}
		c.setKeys(CookieKeys{Secrets: []wire.CookieSecret{secret}})
		if got := c.now.Load(); !slices.Equal(got.Secrets, []wire.CookieSecret{secret}) || !got.Require {
			t.Errorf("with other keys: %+v", got)
		}
		c.setKeys(CookieKeys{})
		if got := c.now.Load(); !slices.Equal(got.Secrets, random) {
			t.Error("without keys: want the random ones of the beginning")
		}
	})
	var one, two, off cookieClock
	one.begin(CookieOptions{})
	two.begin(CookieOptions{})
	off.begin(CookieOptions{Off: true})
	if slices.Equal(one.now.Load().Secrets, two.now.Load().Secrets) {
		t.Error("two servers without keys have the same secrets")
	}
	if off.now.Load() != nil {
		t.Error("off: there are cookies")
	}
}

func TestCookieKeysAreChecked(t *testing.T) {
	bad := CookieKeys{Roots: [][]byte{make([]byte, 16), make([]byte, 15)}}
	const want = "cookie root 2: 15 octets: want at least 16"
	if _, err := New(Options{Cookies: CookieOptions{Keys: bad}}); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	s := newServer(t, Options{})
	before := s.cookies.now.Load().Secrets
	if err := s.SetCookieKeys(bad); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if !slices.Equal(before, s.cookies.now.Load().Secrets) {
		t.Error("bad keys changed the secrets")
	}
	if err := s.SetCookieKeys(CookieKeys{Roots: bad.Roots[:1]}); err != nil || slices.Equal(before, s.cookies.now.Load().Secrets) {
		t.Errorf("good keys: %v, or the secrets are the same", err)
	}
}

// A client that has shown its address is not limited; one that has sent a cookie of its own gets BADCOOKIE where others
// get a truncated answer, and with what is in it its answers.
func TestRateLimitCookies(t *testing.T) { bothWays(t, testRateLimitCookies) }

func testRateLimitCookies(t *testing.T, singly bool) {
	s := newServer(t, Options{Listen: loopback, Workers: 1, RateLimit: rrl.Options{Answers: 1, Burst: time.Minute}})
	s.singly = singly
	s.Store(newSnapshot(t, "192.0.2.1"))
	addr, _ := start(t, s)
	conn, err := net.Dial("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	// send asks so many times and counts the answers, up to that of a query that is not limited.
	send := func(cookie string, times int) (full, bad int, last string) {
		t.Helper()
		for range times {
			if _, err := conn.Write(newCookieQuery(t, "static.shop.example.", cookie)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := conn.Write(newCookieQuery(t, "elsewhere.example.", clientCookie)); err != nil {
			t.Fatal(err)
		}
		for buf := make([]byte, 1500); ; {
			n, err := conn.Read(buf)
			if err != nil {
				t.Fatal(err)
			}
			var m dns.Msg
			if err := m.Unpack(buf[:n]); err != nil {
				t.Fatal(err)
			}
			switch {
			case m.Rcode == dns.RcodeRefused:
				return full, bad, last
			case m.Rcode == dns.RcodeBadCookie && !m.Truncated && len(m.Answer) == 0:
				bad++
				last = cookieOf(&m)
			case m.Rcode == dns.RcodeSuccess && !m.Truncated && len(m.Answer) == 1:
				full++
			default:
				t.Errorf("got %v", &m)
			}
		}
	}
	full, bad, cookie := send(clientCookie, 160)
	if full < 60 || full > 66 || bad < 30 || bad > 70 { // more than 60 if it took seconds
		t.Errorf("%d full answers and %d BADCOOKIE of 160", full, bad)
	}
	if st := s.Stats().UDP; st.RateBadCookie != uint64(bad) || st.RateTruncated != 0 || st.RateDropped != uint64(160-full-bad) ||
		st.Cookies != (CookieStats{Client: 161}) {
		t.Errorf("%d full answers and %d BADCOOKIE: %+v", full, bad, st)
	}
	if full, bad, _ = send(cookie, 160); full != 160 || bad != 0 {
		t.Errorf("with a valid cookie: %d full answers and %d BADCOOKIE of 160", full, bad)
	}
	if full, bad, _ = send(cookie[:32]+"0000000000000000", 20); full > 3 || bad == 0 {
		t.Errorf("with a forged cookie: %d full answers and %d BADCOOKIE of 20", full, bad)
	}
	if st := s.Stats().UDP.Cookies; st.Valid != 160 || st.Invalid != 20 || st.None != 0 {
		t.Errorf("got %+v", st)
	}
}

// A server that requires cookies answers a client that has none yet, over UDP, with nothing but one, and in full over
// TCP; a client that knows no cookies gets its answers.
func TestRequireCookies(t *testing.T) { bothWays(t, testRequireCookies) }

func testRequireCookies(t *testing.T, singly bool) {
	s := newServer(t, Options{Listen: loopback, Workers: 1, Cookies: CookieOptions{Require: true}})
	s.singly = singly
	s.Store(newSnapshot(t, "192.0.2.1"))
	addr, _ := start(t, s)
	exchange := func(network, cookie string) *dns.Msg {
		t.Helper()
		c := dns.Client{Net: network, Timeout: 5 * time.Second}
		m, _, err := c.Exchange(withCookie("static.shop.example.", cookie), addr)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	m := exchange("udp", clientCookie)
	if m.Rcode != dns.RcodeBadCookie || len(m.Answer) != 0 || !strings.HasPrefix(cookieOf(m), clientCookie) {
		t.Errorf("without a server cookie: got %v", m)
	}
	if m := exchange("udp", cookieOf(m)); m.Rcode != dns.RcodeSuccess || len(m.Answer) != 1 {
		t.Errorf("with one: got %v", m)
	}
	if m := exchange("tcp", clientCookie); m.Rcode != dns.RcodeSuccess || len(m.Answer) != 1 || len(cookieOf(m)) != 48 {
		t.Errorf("over tcp: got %v", m)
	}
	if m := ask(t, "udp", addr, "static.shop.example. A"); len(m.Answer) != 1 {
		t.Errorf("without cookies: got %v", m)
	}
	st := s.Stats()
	if st.UDP.Rcodes["BADCOOKIE"] != 1 || st.UDP.Cookies != (CookieStats{None: 1, Client: 1, Valid: 1}) ||
		st.TCP.Cookies != (CookieStats{Client: 1}) {
		t.Errorf("got %+v", st)
	}
}

// dig believes our cookies, comes back with them, and learns one from an empty question.
func TestDigCookies(t *testing.T) {
	dig, err := exec.LookPath("dig")
	if err != nil {
		t.Skip("NOT COMPARED WITH dig: it is not installed")
	}
	s := newServer(t, Options{Listen: loopback, Workers: 1, Cookies: CookieOptions{Require: true}})
	s.Store(newSnapshot(t, "192.0.2.1"))
	addr, _ := start(t, s)
	ap := netip.MustParseAddrPort(addr)
	run := func(args ...string) string {
		t.Helper()
		args = append([]string{"@" + ap.Addr().String(), "-p", fmt.Sprint(ap.Port()), "+time=5", "+tries=1"}, args...)
		out, err := exec.CommandContext(t.Context(), dig, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("dig %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	good := regexp.MustCompile(`COOKIE: ([0-9a-f]{48}) \(good\)`)
	out := run("+cookie", "static.shop.example.", "A")
	m := good.FindStringSubmatch(out)
	if m == nil || !strings.Contains(out, "BADCOOKIE, retrying") || !strings.Contains(out, "192.0.2.1") {
		t.Fatalf("dig +cookie:\n%s", out)
	}
	if out := run("+cookie="+m[1], "static.shop.example.", "A"); !good.MatchString(out) ||
		strings.Contains(out, "BADCOOKIE") || !strings.Contains(out, "192.0.2.1") {
		t.Errorf("dig +cookie=%s:\n%s", m[1], out)
	}
	if out := run("+cookie", "+tcp", "static.shop.example.", "A"); !good.MatchString(out) ||
		strings.Contains(out, "BADCOOKIE") || !strings.Contains(out, "192.0.2.1") {
		t.Errorf("dig +cookie +tcp:\n%s", out)
	}
	if out := run("+cookie", "+header-only"); !good.MatchString(out) || !strings.Contains(out, "status: NOERROR") {
		t.Errorf("dig +cookie +header-only:\n%s", out)
	}
	if out := run("+nocookie", "static.shop.example.", "A"); strings.Contains(out, "COOKIE") || !strings.Contains(out, "192.0.2.1") {
		t.Errorf("dig +nocookie:\n%s", out)
	}
}

func TestReadCookieSecrets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cookies.keys")
	for _, tt := range []struct {
		text string
		want []wire.CookieSecret
		err  string
	}{
		{"000102030405060708090a0b0c0d0e0f # new\n0xFFfFffffffffffffffffffffffffffff # as knot writes it\n",
			[]wire.CookieSecret{
				{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
				{255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255},
			}, ""},
		{"000102030405060708090a0b0c0d0e\n000102030405060708090a0b0c0d0e0f10\n\nx00102030405060708090a0b0c0d0e0f\n", nil,
			path + ": line 1: not 32 hexadecimal digits\nline 2: not 32 hexadecimal digits\nline 4: not 32 hexadecimal digits"},
		{"", nil, path + ": no key: want at least one line of 32 hexadecimal digits"},
	} {
		if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, exposed, err := ReadCookieSecrets(path)
		if !slices.Equal(got, tt.want) || exposed || tt.err == "" && err != nil || tt.err != "" && fmt.Sprint(err) != tt.err {
			t.Errorf("%q: got %x, exposed %v, %v; want %x, %s", tt.text, got, exposed, err, tt.want, tt.err)
		}
	}
}
