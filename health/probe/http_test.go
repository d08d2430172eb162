package probe

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/meridian-gtm/meridian/health"
)

// target is a check of something on loopback that has plenty of time.
func target(addr net.Addr, c health.Check) Target {
	if c.Timing.Timeout == 0 {
		c.Timing.Timeout = 20 * time.Second
	}
	ap := addr.(*net.TCPAddr).AddrPort()
	id := health.Target{Site: "here", Check: "web", Family: health.V4}
	return Target{ID: id, Addr: ap, Check: c}
}

// expect fails the test unless a result is as wanted; detail is a part of the wanted one.
func expect(t *testing.T, got health.Result, want health.Outcome, detail string) {
	t.Helper()
	if got.Outcome != want || !strings.Contains(got.Detail, detail) || detail == "" && got.Detail != "" {
		t.Errorf("outcome %d %q: want %d %q", got.Outcome, got.Detail, want, detail)
	}
	if got.RTT <= 0 {
		t.Errorf("round trip %v: want more than 0", got.RTT)
	}
	if got.Target != (health.Target{Site: "here", Check: "web", Family: health.V4}) {
		t.Errorf("result is about %v", got.Target)
	}
}

func TestHTTP(t *testing.T) {
	var followed atomic.Bool
	mux := http.NewServeMux()
	mux.HandleFunc("/ok", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "host=%s agent=%s close=%v query=%s", r.Host, r.UserAgent(), r.Close, r.URL.RawQuery)
	})
	mux.HandleFunc("/busy", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	mux.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/followed", http.StatusFound) })
	mux.HandleFunc("/followed", func(http.ResponseWriter, *http.Request) { followed.Store(true) })
	mux.HandleFunc("/hints", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusEarlyHints)
		fmt.Fprint(w, "final")
	})
	mux.HandleFunc("/long", func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, strings.Repeat("x", maxBody-4)+"edge")
		io.WriteString(w, "beyond")
	})
	mux.HandleFunc("/cut", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		io.WriteString(w, "half")
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "root") })
	server := httptest.NewServer(mux)
	defer server.Close()
	vip := server.Listener.Addr()
	// A prober that honoured this would reach nothing.
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")

	some := func(low, high int) []health.StatusRange { return []health.StatusRange{{Low: low, High: high}} }
	for name, tt := range map[string]struct {
		check  health.Check
		want   health.Outcome
		detail string
	}{
		"path defaults to the root": {health.Check{Body: "root"}, health.Success, ""},
		"status 200":                {health.Check{Path: "/ok"}, health.Success, ""},
		"sends host, agent, close and query": {health.Check{Path: "/ok?a=b", Host: "www.shop.example",
			Body: "host=www.shop.example agent=meridian-probe close=true query=a=b"}, health.Success, ""},
		"host defaults to the VIP": {health.Check{Path: "/ok", Body: "host=" + vip.String()}, health.Success, ""},
		"status 503":               {health.Check{Path: "/busy"}, health.HardFail, "status 503: want 200..299"},
		"status 503 wanted":        {health.Check{Path: "/busy", Status: some(500, 599)}, health.Success, ""},
		"status sets": {health.Check{Path: "/busy", Status: append(some(200, 200), some(300, 399)...)},
			health.HardFail, "status 503: want 200, 300..399"},
		"redirect not followed":      {health.Check{Path: "/moved"}, health.HardFail, "status 302"},
		"redirect wanted":            {health.Check{Path: "/moved", Status: some(300, 399)}, health.Success, ""},
		"interim responses skipped":  {health.Check{Path: "/hints", Body: "final"}, health.Success, ""},
		"body lacks text":            {health.Check{Path: "/ok", Body: "nope"}, health.HardFail, `want it to hold "nope"`},
		"text at the edge of 64 KiB": {health.Check{Path: "/long", Body: "edge"}, health.Success, ""},
		"text beyond 64 KiB": {health.Check{Path: "/long", Body: "beyond"}, health.HardFail,
			`body of 65536 octets: want it to hold "beyond"`},
		"text before the cut":  {health.Check{Path: "/cut", Body: "half"}, health.Success, ""},
		"body cut":             {health.Check{Path: "/cut", Body: "whole"}, health.HardFail, "body: connection closed"},
		"path that is no path": {health.Check{Path: "x y"}, health.LocalFault, `path "x y"`},
	} {
		t.Run(name, func(t *testing.T) {
			expect(t, HTTP(t.Context(), nil, target(vip, tt.check)), tt.want, tt.detail)
		})
	}
	if followed.Load() {
		t.Error("a redirect was followed")
	}
}

func TestEveryProbeConnectsAnew(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	var conns atomic.Int32
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			conns.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	for range 3 {
		expect(t, HTTP(t.Context(), nil, target(server.Listener.Addr(), health.Check{})), health.Success, "")
	}
	if n := conns.Load(); n != 3 {
		t.Errorf("%d connections for 3 probes", n)
	}
}

// serve accepts connections on loopback and hands each to handle, which must close it.
func serve(t *testing.T, handle func(net.Conn)) net.Addr {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go handle(conn)
		}
	}()
	return l.Addr()
}

func TestBrokenServers(t *testing.T) {
	reads := func(then func(net.Conn)) func(net.Conn) {
		return func(c net.Conn) {
			defer c.Close()
			if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
				then(c)
			}
		}
	}
	for name, tt := range map[string]struct {
		handle func(net.Conn)
		detail string
	}{
		"closes":   {reads(func(net.Conn) {}), "response: connection closed"},
		"resets":   {reads(func(c net.Conn) { c.(*net.TCPConn).SetLinger(0) }), "response: connection reset"},
		"not HTTP": {reads(func(c net.Conn) { io.WriteString(c, "220 smtp.example ESMTP\r\n\r\n") }), "response: malformed HTTP"},
		"endless header": {reads(func(c net.Conn) {
			io.WriteString(c, "HTTP/1.1 200 OK\r\n")
			for {
				if _, err := io.WriteString(c, "X-Filler: "+strings.Repeat("x", 1000)+"\r\n"); err != nil {
					return
				}
			}
		}), "response: connection closed"},
	} {
		t.Run(name, func(t *testing.T) {
			expect(t, HTTP(t.Context(), nil, target(serve(t, tt.handle), health.Check{})), health.HardFail, tt.detail)
		})
	}
}

func TestTimeouts(t *testing.T) {
	silent := serve(t, func(c net.Conn) { io.Copy(io.Discard, c); c.Close() })
	brief := health.Timing{Timeout: 50 * time.Millisecond}
	expect(t, HTTP(t.Context(), nil, target(silent, health.Check{Timing: brief})),
		health.HardFail, "response: no answer in 50ms")
	expect(t, HTTPS(t.Context(), nil, target(silent, health.Check{Timing: brief})), health.HardFail, "tls: no answer in 50ms")
	hung := func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	expect(t, TCP(t.Context(), hung, target(silent, health.Check{Timing: brief})), health.HardFail, "connect: no answer in 50ms")

	dribble := serve(t, func(c net.Conn) {
		defer c.Close()
		io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
		io.Copy(io.Discard, c)
	})
	expect(t, HTTP(t.Context(), nil, target(dribble, health.Check{Body: "ok", Timing: brief})),
		health.HardFail, "body: no answer in 50ms")
}

func TestShutdownIsALocalFault(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	asked := make(chan struct{})
	addr := serve(t, func(c net.Conn) {
		http.ReadRequest(bufio.NewReader(c))
		close(asked)
		io.Copy(io.Discard, c)
		c.Close()
	})
	go func() {
		<-asked
		cancel()
	}()
	expect(t, HTTP(ctx, nil, target(addr, health.Check{})), health.LocalFault, "cancelled")
}

func TestTCP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := target(l.Addr(), health.Check{})
	expect(t, TCP(t.Context(), nil, at), health.Success, "")
	l.Close()
	expect(t, TCP(t.Context(), nil, at), health.HardFail, "connect: refused")
	expect(t, HTTP(t.Context(), nil, at), health.HardFail, "connect: refused")

	if l, err = net.Listen("tcp6", "[::1]:0"); err != nil {
		t.Skipf("no IPv6 loopback: %v", err)
	}
	defer l.Close()
	expect(t, TCP(t.Context(), nil, target(l.Addr(), health.Check{})), health.Success, "")
}

func TestDialErrors(t *testing.T) {
	at := Target{
		ID:   health.Target{Site: "here", Check: "web", Family: health.V4},
		Addr: netip.MustParseAddrPort("192.0.2.1:80"), Check: health.Check{Kind: health.TCP},
	}
	for _, tt := range []struct {
		err    error
		want   health.Outcome
		detail string
	}{
		{syscall.ECONNREFUSED, health.HardFail, "connect: refused"},
		{syscall.ECONNRESET, health.HardFail, "connect: connection reset"},
		{syscall.ETIMEDOUT, health.HardFail, "connect: no answer"},
		{os.ErrDeadlineExceeded, health.HardFail, "connect: no answer"},
		{syscall.EHOSTUNREACH, health.HardFail, "connect: no route to host"},
		{errors.New("strange\nthing"), health.HardFail, "strange thing"},
		{syscall.ENETUNREACH, health.LocalFault, "connect: network unreachable"},
		{syscall.EMFILE, health.LocalFault, "connect: too many open files"},
		{syscall.ENFILE, health.LocalFault, "connect: "},
		{syscall.ENOBUFS, health.LocalFault, "connect: "},
		{syscall.EADDRNOTAVAIL, health.LocalFault, "connect: cannot assign requested address"},
		{syscall.EPERM, health.LocalFault, "connect: "},
		{syscall.EAFNOSUPPORT, health.LocalFault, "connect: "},
	} {
		dial := func(_ context.Context, network, address string) (net.Conn, error) {
			if network != "tcp4" || address != "192.0.2.1:80" {
				t.Errorf("dialled %s %s", network, address)
			}
			return nil, &net.OpError{Op: "dial", Net: network, Err: os.NewSyscallError("connect", tt.err)}
		}
		got := TCP(t.Context(), dial, at)
		expect(t, got, tt.want, tt.detail)
	}
}

func TestAuthority(t *testing.T) {
	for _, tt := range []struct {
		addr string
		kind health.CheckKind
		want string
	}{
		{"192.0.2.1:80", health.HTTP, "192.0.2.1"}, {"192.0.2.1:443", health.HTTP, "192.0.2.1:443"},
		{"[2001:db8::1]:443", health.HTTPS, "[2001:db8::1]"}, {"[2001:db8::1]:80", health.HTTPS, "[2001:db8::1]:80"},
	} {
		if got := authority(netip.MustParseAddrPort(tt.addr), tt.kind); got != tt.want {
			t.Errorf("authority(%s, %s) = %s: want %s", tt.addr, tt.kind, got, tt.want)
		}
	}
}

func TestDetailsAreShortLines(t *testing.T) {
	got := clip("a\r\nb\x00" + strings.Repeat("é", 100))
	if strings.ContainsAny(got, "\r\n\x00") || len(got) > 123 || !strings.HasSuffix(got, "é...") {
		t.Errorf("clip made %q", got)
	}
}
