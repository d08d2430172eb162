package probe

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/meridian-gtm/meridian/health"
)

// authorityCA is a certificate authority of a test.
type authorityCA struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string // its certificate in PEM
}

func sign(t *testing.T, c, parent *x509.Certificate, key, parentKey *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, parentKey)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newCA(t *testing.T, until time.Duration) authorityCA {
	t.Helper()
	key := newKey(t)
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-1000 * time.Hour), NotAfter: time.Now().Add(until), KeyUsage: x509.KeyUsageCertSign,
	}
	ca := authorityCA{cert: sign(t, tmpl, tmpl, key, key), key: key, file: filepath.Join(t.TempDir(), "ca.pem")}
	data := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.cert.Raw})
	if err := os.WriteFile(ca.file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return ca
}

// issue makes a server certificate for www.shop.example and 127.0.0.1.
func (ca authorityCA) issue(t *testing.T, from, until time.Duration) tls.Certificate {
	t.Helper()
	key := newKey(t)
	cert := sign(t, &x509.Certificate{
		SerialNumber: big.NewInt(2), DNSNames: []string{"www.shop.example"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(from), NotAfter: time.Now().Add(until),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, ca.cert, key, ca.key)
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}
}

// serveTLS answers every request with 200 and what name the client asked for, but /busy with 503.
func serveTLS(t *testing.T, c *tls.Config) net.Addr {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/busy" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		fmt.Fprintf(w, "sni=%q host=%s version=%x", r.TLS.ServerName, r.Host, r.TLS.Version)
	}))
	s.TLS = c
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.Listener.Addr()
}

func TestHTTPS(t *testing.T) {
	const day = 24 * time.Hour
	ca, other := newCA(t, 1000*time.Hour), newCA(t, 1000*time.Hour)
	gone := newCA(t, -time.Hour)
	with := func(c tls.Certificate) *tls.Config { return &tls.Config{Certificates: []tls.Certificate{c}} }
	good := with(ca.issue(t, -time.Hour, 10*day+time.Hour))
	old := with(ca.issue(t, -2*time.Hour, -time.Hour))
	legacy := with(ca.issue(t, -time.Hour, time.Hour))
	legacy.MinVersion, legacy.MaxVersion = tls.VersionTLS10, tls.VersionTLS11

	for name, tt := range map[string]struct {
		server *tls.Config
		check  health.Check
		want   health.Outcome
		detail string
	}{
		"good": {good, health.Check{Host: "www.shop.example", CAFile: ca.file,
			Body: `sni="www.shop.example" host=www.shop.example version=304`}, health.Success, ""},
		"port of host is no part of the name": {good, health.Check{Host: "www.shop.example:444", CAFile: ca.file,
			Body: `sni="www.shop.example" host=www.shop.example:444`}, health.Success, ""},
		"server name beside host": {good, health.Check{Host: "a.example", ServerName: "www.shop.example", CAFile: ca.file,
			Body: `sni="www.shop.example" host=a.example`}, health.Success, ""},
		"no name: the address of the VIP": {good, health.Check{CAFile: ca.file, Body: `sni="" host=127.0.0.1:`}, health.Success, ""},
		"wrong name": {good, health.Check{Host: "mail.shop.example", CAFile: ca.file},
			health.HardFail, "tls: x509: certificate is valid for www.shop.example, not mail.shop.example"},
		"other authority": {good, health.Check{Host: "www.shop.example", CAFile: other.file},
			health.HardFail, "tls: x509: certificate signed by unknown authority"},
		"roots of the system": {good, health.Check{Host: "www.shop.example"}, health.HardFail, "tls: x509: "},
		"verification skipped": {good, health.Check{Host: "mail.shop.example", SkipVerify: true},
			health.Success, ""},
		"status": {good, health.Check{Path: "/busy", CAFile: ca.file}, health.HardFail, "status 503"},
		"expired": {old, health.Check{Host: "www.shop.example", CAFile: ca.file},
			health.SoftFail, "certificate expired 1h0m0s ago"},
		"expired and failing": {old, health.Check{Path: "/busy", CAFile: ca.file}, health.HardFail, "status 503"},
		"expired and of another name": {old, health.Check{Host: "mail.shop.example", CAFile: ca.file},
			health.HardFail, "not mail.shop.example"},
		"expired and of another authority": {old, health.Check{CAFile: other.file}, health.HardFail, "unknown authority"},
		"expired, verification skipped":    {old, health.Check{SkipVerify: true}, health.Success, ""},
		"expired, verification skipped, warning": {old, health.Check{SkipVerify: true, ExpiryWarning: day},
			health.SoftFail, "certificate expired"},
		"not valid yet": {with(ca.issue(t, 3*time.Hour+30*time.Second, day)), health.Check{CAFile: ca.file},
			health.SoftFail, "certificate not valid for another 3h"},
		"authority expired": {with(gone.issue(t, -5*time.Hour, day)), health.Check{CAFile: gone.file},
			health.SoftFail, "certificate of an authority that has expired"},
		"ends soon": {good, health.Check{CAFile: ca.file, ExpiryWarning: 14 * day},
			health.SoftFail, "certificate ends in 10 days: want 14 days"},
		"ends later": {good, health.Check{CAFile: ca.file, ExpiryWarning: 7 * day}, health.Success, ""},
		"TLS 1.1":    {legacy, health.Check{CAFile: ca.file}, health.HardFail, "tls: remote error: tls: protocol version not supported"},
		"authority file missing": {good, health.Check{CAFile: filepath.Join(t.TempDir(), "none.pem")},
			health.LocalFault, "ca file: open "},
		"authority file without certificates": {good, health.Check{CAFile: os.Args[0]}, health.LocalFault, "ca file: "},
	} {
		t.Run(name, func(t *testing.T) {
			expect(t, HTTPS(t.Context(), nil, target(serveTLS(t, tt.server), tt.check)), tt.want, tt.detail)
		})
	}

	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	expect(t, HTTPS(t.Context(), nil, target(plain.Listener.Addr(), health.Check{})),
		health.HardFail, "tls: first record does not look like a TLS handshake")
}
