// Package keypair reads the certificate of a TLS server and its private key, and says what is wrong with them. Nothing
// that it returns as text holds any of the key.
package keypair

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// maxFile bounds a file, in octets. A chain of ten certificates fits in a twentieth of it.
const maxFile = 1 << 20

// Pair is a certificate with its private key. It does not change.
type Pair struct {
	Certificate *tls.Certificate // for [tls.Config]; its Leaf is set
	File        string           // of the certificate
	KeyFile     string
	Exposed     bool      // every user of the machine can read the key file
	NotBefore   time.Time // the latest beginning in the chain
	NotAfter    time.Time // the earliest end in the chain
}

// Load reads PEM files: the server's certificate, the intermediate ones behind it, and its key. The error names the
// files, joins what is wrong with each, and says when they do not belong together. It does not look at the time: see
// [Pair.At].
func Load(file, keyFile string) (*Pair, error) {
	certificate, _, err := read(file)
	if err == nil {
		err = located(file, checkChain(certificate))
	}
	key, exposed, keyErr := read(keyFile)
	if keyErr == nil {
		keyErr = located(keyFile, checkKey(key))
	}
	if err := errors.Join(err, keyErr); err != nil {
		return nil, err
	}
	c, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return nil, fmt.Errorf("%s: does not go with %s: %w", keyFile, file, err)
	}
	p := &Pair{Certificate: &c, File: file, KeyFile: keyFile, Exposed: exposed, NotBefore: c.Leaf.NotBefore, NotAfter: c.Leaf.NotAfter}
	for _, der := range c.Certificate[1:] {
		link, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, located(file, err)
		}
		if link.NotBefore.After(p.NotBefore) {
			p.NotBefore = link.NotBefore
		}
		if link.NotAfter.Before(p.NotAfter) {
			p.NotAfter = link.NotAfter
		}
	}
	return p, nil
}

// read reads a file that must not be long, and tells whether everybody could.
func read(path string) (text []byte, exposed bool, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, false, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err == nil {
		text, err = io.ReadAll(io.LimitReader(f, maxFile+1))
	}
	if err != nil {
		return nil, false, err
	}
	if len(text) > maxFile {
		return nil, false, fmt.Errorf("%s: more than %d bytes", path, maxFile)
	}
	return text, info.Mode().Perm()&0o004 != 0, nil
}

func located(path string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", path, err)
}

// checkChain reports the first thing that is no certificate.
func checkChain(text []byte) error {
	n := 0
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		n++
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return fmt.Errorf("certificate %d: %w", n, err)
		}
	}
	if n == 0 {
		return errors.New("no certificate: want PEM with the server's own first")
	}
	return nil
}

// checkKey reports a file without the PEM of a private key; whether it can be read shows with the certificate.
func checkKey(text []byte) error {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		switch block.Type {
		case "PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY":
			return nil
		case "ENCRYPTED PRIVATE KEY":
			return errors.New("encrypted private key: want one without a passphrase")
		}
	}
	return errors.New("no private key: want one in PEM")
}

// At says why the pair is of no use at a time; nil = it is.
func (p *Pair) At(now time.Time) error {
	switch {
	case now.Before(p.NotBefore):
		return fmt.Errorf("%s: begins on %s: want one that is valid now", p.File, date(p.NotBefore))
	case now.After(p.NotAfter):
		return fmt.Errorf("%s: ended on %s: want one that is valid now", p.File, date(p.NotAfter))
	}
	return nil
}

// Warn is At, and also says when the pair ends sooner than within.
func (p *Pair) Warn(now time.Time, within time.Duration) error {
	if err := p.At(now); err != nil {
		return err
	}
	if p.NotAfter.Sub(now) < within {
		return fmt.Errorf("%s: ends on %s: want a new one by then", p.File, date(p.NotAfter))
	}
	return nil
}

// Name returns whose certificate it is, as clients look for it.
func (p *Pair) Name() string {
	if leaf := p.Certificate.Leaf; len(leaf.DNSNames) > 0 {
		return leaf.DNSNames[0]
	}
	return p.Certificate.Leaf.Subject.String()
}

func date(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 MST") }
