// Package keypairtest makes certificates for tests.
package keypairtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Pair is a self-signed certificate for a name and the loopback addresses, and its key, in PEM.
type Pair struct{ Certificate, Key []byte }

// New makes a pair that is valid for the times given.
func New(tb testing.TB, name string, begin, end time.Time) Pair {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		tb.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: begin, NotAfter: end, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		tb.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		tb.Fatal(err)
	}
	return Pair{
		Certificate: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}),
		Key:         pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}),
	}
}

// Fresh makes a pair that was valid a day ago and is for 90 more.
func Fresh(tb testing.TB, name string) Pair {
	tb.Helper()
	now := time.Now()
	return New(tb, name, now.AddDate(0, 0, -1), now.AddDate(0, 0, 90))
}

// Write puts the pair into files of a directory, each by rename, and returns their names.
func (p Pair) Write(tb testing.TB, dir string) (certificate, key string) {
	tb.Helper()
	certificate, key = filepath.Join(dir, "dot.pem"), filepath.Join(dir, "dot.key")
	Replace(tb, key, p.Key)
	Replace(tb, certificate, p.Certificate)
	return certificate, key
}

// Replace puts a new file in the place of one.
func Replace(tb testing.TB, path string, text []byte) {
	tb.Helper()
	if err := os.WriteFile(path+".next", text, 0o600); err != nil {
		tb.Fatal(err)
	}
	if err := os.Rename(path+".next", path); err != nil {
		tb.Fatal(err)
	}
}
