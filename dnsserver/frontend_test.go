package dnsserver

import (
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// dnsdist and haproxy, as docs/operations.md sets them up: behind them, clients of two places get the answers of their
// own places, over what the front end passes on.
func TestFrontEnds(t *testing.T) {
	wantLoopbacks(t)
	for _, c := range []struct {
		program  string
		networks []string
		config   string // %[1]s is where the front end listens, %[2]s the server; likewise %[3]s and %[4]s over TLS
		args     []string
	}{
		{"dnsdist", []string{"udp", "tcp"}, `setLocal("%[1]s")
newServer({address="%[2]s", useProxyProtocol=true, checkName="static.shop.example.", mustResolve=true})
-- without TLS: %[3]s, %[4]s
`, []string{"--supervised", "--disable-syslog", "-C"}},
		{"haproxy", []string{"tcp", "tcp-tls"}, `defaults
    timeout connect 5s
    timeout client 5s
    timeout server 5s
listen dns
    mode tcp
    bind %[1]s
    server meridian %[2]s send-proxy-v2 check check-send-proxy inter 100ms
listen dot
    mode tcp
    bind %[3]s
    server meridian %[4]s send-proxy-v2 check check-send-proxy inter 100ms
`, []string{"-db", "-f"}},
	} {
		t.Run(c.program, func(t *testing.T) {
			if _, err := exec.LookPath(c.program); err != nil {
				t.Skip("NOT TRIED BEHIND "+c.program+":", err)
			}
			pair, _, _ := newPair(t)
			s := newServer(t, fromFrontEnd(Options{Listen: loopback, ListenTLS: loopback}))
			clear, overTLS := startTLS(t, s, pair)
			fronts := map[string]string{"udp": freeAddr(t), "tcp-tls": freeAddr(t)}
			fronts["tcp"] = fronts["udp"]
			file := filepath.Join(t.TempDir(), "front.cfg")
			if err := os.WriteFile(file, fmt.Appendf(nil, c.config, fronts["tcp"], clear, fronts["tcp-tls"], overTLS), 0o600); err != nil {
				t.Fatal(err)
			}
			background(t, c.program, append(c.args, file)...)
			for _, network := range c.networks {
				for from, want := range map[string]string{inOffice: "203.0.113.2", nowhere: "203.0.113.1"} {
					if got := askFrom(t, network, from, fronts[network]); len(got) != 1 || got[0] != want {
						t.Errorf("%s from %s: got %v, want %s", network, from, got, want)
					}
				}
			}
			st := s.Stats()
			if st.UDP.ProxyMalformed+st.TCP.ProxyMalformed+st.DoT.ProxyMalformed > 0 || st.TCP.ProxyAccepted == 0 {
				t.Errorf("%+v\n%+v\n%+v", st.UDP, st.TCP, st.DoT)
			}
		})
	}
}

// freeAddr returns an address of which UDP and TCP were free a moment ago.
func freeAddr(t *testing.T) string {
	t.Helper()
	s := newServer(t, Options{Listen: loopback, Workers: 1})
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	return s.Addrs()[0].String()
}

// background runs a program until the test ends, and shows what it wrote when the test has failed.
func background(t *testing.T, program string, args ...string) {
	t.Helper()
	var out strings.Builder
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		kill := time.AfterFunc(10*time.Second, func() { _ = cmd.Process.Kill() })
		defer kill.Stop()
		err := cmd.Wait()
		if t.Failed() {
			t.Logf("%s: %v\n%s", program, err, &out)
		}
	})
}

// askFrom asks for the placed name until there is an answer: a front end takes a while to start, and to see that the
// server is there.
func askFrom(t *testing.T, network, from, to string) []string {
	t.Helper()
	local := net.Addr(&net.UDPAddr{IP: net.ParseIP(from)})
	if network != "udp" {
		local = &net.TCPAddr{IP: net.ParseIP(from)}
	}
	client := dns.Client{Net: network, Timeout: time.Second, Dialer: &net.Dialer{LocalAddr: local, Timeout: time.Second}}
	client.TLSConfig = &tls.Config{InsecureSkipVerify: true}
	for end := time.Now().Add(30 * time.Second); ; {
		m, _, err := client.Exchange(new(dns.Msg).SetQuestion("placed.shop.example.", dns.TypeA), to)
		if err == nil && m.Rcode == dns.RcodeSuccess {
			return addresses(m)
		}
		if time.Now().After(end) {
			t.Fatalf("%s from %s: %v, %v", network, from, m, err)
		}
		pause(t.Context(), 50*time.Millisecond)
	}
}
