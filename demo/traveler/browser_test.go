package traveler

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/meridian-gtm/meridian/control"
)

// sea is a shop behind two addresses, and a city that is told of them by DNS.
type sea struct {
	*Traveler
	desk *desk

	mu     sync.Mutex
	cut    map[netip.Addr]error // no connection: it fails with this, or hangs when the error is errHang
	hangUp map[netip.Addr]bool  // the connection is there, the answer is not
	seen   []*http.Request      // that reached the shop, their bodies read into Form
	dialed []netip.Addr
}

var errHang = fmt.Errorf("hang")

const shopPage = `<!doctype html><html><body><footer>
<p>shop</p></footer></body></html>`

func newSea(t *testing.T) *sea {
	t.Helper()
	s := &sea{cut: map[netip.Addr]error{}, hangUp: map[netip.Addr]bool{}}
	protect := http.NewCrossOriginProtection()
	shop := httptest.NewServer(protect.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.ParseForm()
		s.mu.Lock()
		s.seen = append(s.seen, r)
		s.mu.Unlock()
		switch {
		case r.Method == http.MethodPost:
			http.Redirect(w, r, "/orders/1", http.StatusSeeOther)
		case r.URL.Path == "/plain":
			fmt.Fprint(w, "plain")
		default:
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			io.WriteString(w, shopPage)
		}
	})))
	t.Cleanup(shop.Close)
	d, r := newDesk()
	s.desk = d
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		addr := netip.MustParseAddrPort(address).Addr()
		s.mu.Lock()
		s.dialed = append(s.dialed, addr)
		err, hangUp := s.cut[addr], s.hangUp[addr]
		s.mu.Unlock()
		if err == errHang {
			<-ctx.Done()
			err = ctx.Err()
		}
		if err != nil {
			return nil, &net.OpError{Op: "dial", Net: network, Err: err}
		}
		conn, err := new(net.Dialer).DialContext(ctx, network, shop.Listener.Addr().String())
		if err == nil && hangUp {
			conn = deaf{conn}
		}
		return conn, err
	}
	var err error
	s.Traveler, err = New(Options{
		Shop: "www.shop.example", Connect: 200 * time.Millisecond, Answer: time.Second,
		Cities: []City{{Title: "Frankfurt", Prefix: r.from, Servers: r.servers, Dial: dial}},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.city("frankfurt").resolver.ask = d.ask
	return s
}

// deaf is a connection whose other end dies when it is to answer.
type deaf struct{ net.Conn }

func (d deaf) Read(p []byte) (int, error) {
	d.Conn.Read(p)
	return 0, io.ErrUnexpectedEOF
}

// visit plays a browser that shows pages.
func (s *sea) visit(method, target, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Header.Set("Accept", "text/html")
	if body != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

func wantPage(t *testing.T, w *httptest.ResponseRecorder, status int, texts ...string) {
	t.Helper()
	if w.Code != status {
		t.Errorf("status %d: want %d\n%s", w.Code, status, w.Body)
	}
	for _, text := range texts {
		if !strings.Contains(w.Body.String(), text) {
			t.Errorf("no %q in\n%s", text, w.Body)
		}
	}
}

func TestOnlyKnownNamesAreAnswered(t *testing.T) {
	s := newSea(t)
	for host, status := range map[string]int{
		"frankfurt.localhost:8080": 200, "FRANKFURT.localhost.": 200, "localhost:8080": 200, "127.0.0.1": 200, "127.0.0.9:1": 200, "[::1]:8080": 200,
		"evil.example": 421, "evil.example:8080": 421, "paris.localhost": 421, "frankfurt.localhost.evil.example": 421, "evil.frankfurt.localhost": 421,
		"frankfurt": 421, "192.0.2.1:8080": 421, "www.shop.example": 421, "": 421,
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Host = host
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code != status {
			t.Errorf("host %q: status %d: want %d", host, w.Code, status)
		}
	}
	before := len(s.seen)
	wantPage(t, s.visit("CONNECT", "http://frankfurt.localhost/", ""), 405)
	wantPage(t, s.visit("GET", "http://frankfurt.localhost/", "", "Connection", "Upgrade", "Upgrade", "websocket"), 405)
	wantPage(t, s.visit("POST", "http://127.0.0.1/", "a=b"), 405)
	wantPage(t, s.visit("GET", "http://127.0.0.1/elsewhere", ""), 404)
	wantPage(t, s.visit("POST", "http://frankfurt.localhost/", strings.Repeat("x", maxBody+1)), 413)
	if len(s.seen) != before {
		t.Errorf("%d requests got through to the shop", len(s.seen)-before)
	}
}

func TestPageGetsItsBadge(t *testing.T) {
	s := newSea(t)
	w := s.visit("GET", "http://frankfurt.localhost:8080/?q=a", "")
	wantPage(t, w, 200, "<footer>\n<details class=\"badge\">", "from <b>Frankfurt</b>", "DNS said <b>192.0.2.100</b>", "<b>5 s</b> left", "<p>shop</p></footer>")
	if got := w.Header().Get("Traveler-Address"); got != vipA.String() {
		t.Errorf("Traveler-Address %q: want %s", got, vipA)
	}
	if got := w.Header().Get("Content-Length"); got != fmt.Sprint(w.Body.Len()) {
		t.Errorf("Content-Length %s of %d octets", got, w.Body.Len())
	}
	if r := s.seen[0]; r.Host != "www.shop.example" || r.URL.RawQuery != "q=a" || r.Header.Get("X-Forwarded-For") != "" {
		t.Errorf("the shop saw host %q, query %q, X-Forwarded-For %q", r.Host, r.URL.RawQuery, r.Header.Get("X-Forwarded-For"))
	}
	if w := s.visit("GET", "http://frankfurt.localhost/plain", ""); w.Body.String() != "plain" {
		t.Errorf("what is no page became %q", w.Body)
	}
	wantPage(t, s.visit("GET", "http://127.0.0.1:8080/", ""), 200, `href="http://frankfurt.localhost:8080/"`, "<b>192.0.2.100</b>", "5 of 5 s left")
	wantPage(t, s.visit("GET", "http://frankfurt.localhost:8080/-/dns", ""), 200, "dig @192.0.2.53 -p 53 www.shop.example +subnet=198.51.100.0/26")
}

// TestFormsOfOtherOrigins: the shop refuses what a page of another origin sends, through the traveler as without it.
func TestFormsOfOtherOrigins(t *testing.T) {
	s := newSea(t)
	const target = "http://frankfurt.localhost:8080/orders"
	for origin, status := range map[string]int{
		"http://frankfurt.localhost:8080": 303, "http://frankfurt.localhost:81": 403, "http://evil.example": 403, "null": 403,
	} {
		if w := s.visit("POST", target, "key=k", "Origin", origin); w.Code != status {
			t.Errorf("origin %q: status %d: want %d", origin, w.Code, status)
		}
	}
	wantPage(t, s.visit("POST", target, "key=k", "Origin", "http://frankfurt.localhost:8080", "Sec-Fetch-Site", "cross-site"), 403)
}

func TestPageIsFetchedFromTheNextAddress(t *testing.T) {
	s := newSea(t)
	s.desk.say(first, &Reply{Rcode: "NOERROR", Addrs: []netip.Addr{vipA, vipB}, TTL: 5})
	for name, broken := range map[string]func(){
		"refused": func() { s.cut[vipA] = net.ErrClosed },
		"silent":  func() { s.cut[vipA] = errHang },
		"cut":     func() { delete(s.cut, vipA); s.hangUp[vipA] = true },
	} {
		broken()
		w := s.visit("GET", "http://frankfurt.localhost/", "")
		wantPage(t, w, 200, "DNS said <b>198.51.100.100</b>", "Tried before")
		if t.Failed() {
			t.Fatalf("when %s", name)
		}
	}
}

// TestPageIsFetchedAfterTheAnswerExpired: an address that takes longer to fail than its answer lives is not the end.
func TestPageIsFetchedAfterTheAnswerExpired(t *testing.T) {
	s := newSea(t)
	s.desk.say(first, at(vipA, 0))
	s.cut[vipA] = net.ErrClosed
	wantPage(t, s.visit("GET", "http://frankfurt.localhost/", "", "Accept", "text/css"), 502, "192.0.2.100")
	if n := len(s.dialed); n != 1 {
		t.Errorf("dialed %d times: want 1: DNS gave no other address", n)
	}
	go func() {
		for {
			s.mu.Lock()
			n := len(s.dialed)
			s.mu.Unlock()
			if n > 1 {
				s.desk.say(first, at(vipB, 5))
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	s.mu.Lock()
	s.cut[vipA] = errHang
	s.mu.Unlock()
	wantPage(t, s.visit("GET", "http://frankfurt.localhost/", ""), 200, "DNS said <b>198.51.100.100</b>")
}

// TestOrderIsNotSentTwice: neither at another address nor at the same one, and whoever sent it can send it again.
func TestOrderIsNotSentTwice(t *testing.T) {
	const target = "http://frankfurt.localhost:8080/orders"
	body := url.Values{"key": {"eu-west.k"}, "sku": {"flare", `"><script>`}, "quantity": {"1", "2"}}.Encode()
	for _, sent := range []bool{true, false} {
		t.Run(fmt.Sprintf("sent %v", sent), func(t *testing.T) {
			s := newSea(t)
			s.desk.say(first, &Reply{Rcode: "NOERROR", Addrs: []netip.Addr{vipA, vipB}, TTL: 5})
			reached := 0
			if sent {
				s.hangUp[vipA], reached = true, 1
			} else {
				s.cut[vipA] = net.ErrClosed
			}
			w := s.visit("POST", target, body, "Idempotency-Key", "eu-west.k", "Origin", "http://frankfurt.localhost:8080")
			wantPage(t, w, 502, `<form method="post" action="/orders">`, `name="key" value="eu-west.k"`, `value="flare"`, "&#34;&gt;&lt;script&gt;",
				"Send the same form again", "key <b>eu-west.k</b>")
			said := "The form was not sent"
			if sent {
				said = "It may have been carried out or not"
			}
			wantPage(t, w, 502, said)
			// The browser would leave out the Origin of a form on a page that has no referrer.
			if got := w.Header().Get("Referrer-Policy"); got != "same-origin" {
				t.Errorf("Referrer-Policy %q: want same-origin", got)
			}
			if strings.Contains(w.Body.String(), "http-equiv") {
				t.Error("the page loads itself again: that would not be the form")
			}
			if len(s.seen) != reached || slices.Contains(s.dialed, vipB) || len(s.dialed) != 1 {
				t.Errorf("the shop saw %d requests over %v: want %d over %v", len(s.seen), s.dialed, reached, vipA)
			}
			s.cut, s.hangUp = map[netip.Addr]error{}, map[netip.Addr]bool{}
			again := s.visit("POST", target, body, "Origin", "http://frankfurt.localhost:8080")
			wantPage(t, again, 303)
			if got := s.seen[len(s.seen)-1].PostForm.Encode(); got != body {
				t.Errorf("the shop got %q: want %q", got, body)
			}
		})
	}
}

func TestFailureSaysWhatHappened(t *testing.T) {
	s := newSea(t)
	s.cut[vipA] = errHang
	w := s.visit("GET", "http://frankfurt.localhost/", "")
	wantPage(t, w, 504, "<b>192.0.2.100</b> gave no connection", "It has failed from Frankfurt since", "<b>5 s</b> more", `http-equiv="refresh" content="5"`)
	since := w.Body.String()
	since = since[strings.Index(since, "since "):]
	since = since[:strings.Index(since, ".")]
	s.cut[vipA] = net.ErrClosed
	wantPage(t, s.visit("GET", "http://frankfurt.localhost/", ""), 502, since)
	wantPage(t, s.visit("GET", "http://127.0.0.1/", ""), 200, "Unreachable from here "+since)
	w = s.visit("GET", "http://frankfurt.localhost/style.css", "", "Accept", "text/css")
	if w.Code != 502 || strings.Contains(w.Body.String(), "<") {
		t.Errorf("a program was told %d %s", w.Code, w.Body)
	}
	delete(s.cut, vipA)
	wantPage(t, s.visit("GET", "http://frankfurt.localhost/", ""), 200)
	if strings.Contains(s.visit("GET", "http://127.0.0.1/", "").Body.String(), "Unreachable") {
		t.Error("still unreachable after an answer")
	}
}

func TestFailureOfDNS(t *testing.T) {
	s := newSea(t)
	s.desk.silent = time.Millisecond
	s.desk.say(first, nil)
	s.desk.say(second, nil)
	wantPage(t, s.visit("GET", "http://frankfurt.localhost/", ""), 502, "no DNS server knows www.shop.example", "192.0.2.53:53", "198.51.100.53:53")
	wantPage(t, s.visit("GET", "http://127.0.0.1/", ""), 200, "no DNS server knows www.shop.example")
	wantPage(t, s.visit("GET", "http://frankfurt.localhost/-/dns", ""), 200, "no DNS server knows www.shop.example")
	s = newSea(t)
	s.desk.say(first, &Reply{Rcode: "NXDOMAIN", TTL: 5})
	wantPage(t, s.visit("GET", "http://frankfurt.localhost/", ""), 502, "without an address: NXDOMAIN")
	wantPage(t, s.visit("GET", "http://127.0.0.1/", ""), 200, "NXDOMAIN: no address")
}

func TestNewSaysEverythingThatIsWrong(t *testing.T) {
	_, err := New(Options{Cities: []City{
		{Title: "Bad_Name", Prefix: netip.MustParsePrefix("198.51.100.1/26")}, {Title: "a", Prefix: netip.MustParsePrefix("192.0.2.0/24"), Servers: []Server{{}}},
		{Title: "a", Prefix: netip.MustParsePrefix("192.0.2.0/24"), Servers: []Server{{}}},
	}})
	for _, text := range []string{"shop: want a name", `"Bad_Name": want a name`, "198.51.100.1/26: want a network", "no DNS server", `"a": want a name of its own`} {
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("no %q in %v", text, err)
		}
	}
	if _, err := New(Options{Shop: "a"}); err == nil || !strings.Contains(err.Error(), "no cities") {
		t.Errorf("no cities: %v", err)
	}
}

func TestServeEndsWithItsContext(t *testing.T) {
	s := newSea(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, ln, s.Traveler, nil) }()
	resp, err := http.Get("http://" + ln.Addr().String() + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	cancel()
	if err := <-ended; err != nil || resp.StatusCode != 200 {
		t.Errorf("ended with %v after status %d", err, resp.StatusCode)
	}
	if conn, err := net.Dial("tcp", ln.Addr().String()); err == nil {
		conn.Close()
		t.Error("somebody still listens")
	}
}

// FuzzHost: no Host header makes the traveler take a name for one of its own that is not.
func FuzzHost(f *testing.F) {
	for _, host := range []string{"frankfurt.localhost:8080", "[::1]:8080", "[::1%lo]", "127.0.0.1.", "", ":", "[", "a.localhost.localhost", "localhost:x"} {
		f.Add(host)
	}
	f.Fuzz(func(t *testing.T, host string) {
		name := hostName(host)
		if !home(name) && name != "frankfurt.localhost" {
			return
		}
		bare := strings.ToLower(host)
		for _, ours := range []string{"frankfurt.localhost", "localhost", "127.", "::1", "::ffff:"} {
			if strings.HasPrefix(strings.TrimLeft(bare, "["), ours) {
				return
			}
		}
		if ip, err := netip.ParseAddr(name); err == nil && ip.Unmap().IsLoopback() {
			return
		}
		t.Errorf("host %q is taken for %q", host, name)
	})
}

// TestNodeThatDoesNotExplain is not taken for one whose API nobody told us of.
func TestNodeThatDoesNotExplain(t *testing.T) {
	s := newSea(t)
	silent := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(silent.Close)
	api, err := control.NewClient(silent.URL)
	if err != nil {
		t.Fatal(err)
	}
	wantPage(t, s.visit("GET", "http://frankfurt.localhost/-/dns", ""), 200, "API is not known here")
	s.city("frankfurt").Servers[0].API = api
	wantPage(t, s.visit("GET", "http://frankfurt.localhost/-/dns", ""), 200, "API gave no explanation")
	wantPage(t, s.visit("GET", "http://frankfurt.localhost/", ""), 200, "The whole explanation")
}
