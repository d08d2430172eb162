package probe

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/meridian-gtm/meridian/health"
)

// handshake makes conn a TLS connection. age is what the dates of the certificate amount to when all else is well.
func handshake(ctx context.Context, conn net.Conn, t Target) (secure net.Conn, age, f finding) {
	roots, err := loadRoots(t.Check.CAFile)
	if err != nil {
		return nil, age, finding{health.LocalFault, local, "ca file: " + err.Error()}
	}
	name := cmp.Or(t.Check.ServerName, hostOf(t.Check.Host), t.Addr.Addr().String())
	now := time.Now()
	client := tls.Client(conn, &tls.Config{
		ServerName: name,
		MinVersion: tls.VersionTLS12,
		// The chain is verified below: the standard way would not tell old from forged.
		InsecureSkipVerify: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			var err error
			age, err = verify(state.PeerCertificates, name, roots, now, t.Check)
			return err
		},
	})
	if err := client.HandshakeContext(ctx); err != nil {
		if f := failure("tls", err); f.reason != unknown {
			return nil, age, f
		}
		return nil, age, finding{health.HardFail, insecure, "tls: " + strings.TrimPrefix(err.Error(), "tls: ")}
	}
	return client, age, finding{outcome: health.Success, reason: answered}
}

// verify checks a chain for a name. Dates that have passed are a finding and not an error.
func verify(chain []*x509.Certificate, name string, roots *x509.CertPool, now time.Time, c health.Check) (finding, error) {
	leaf := chain[0]
	fine := finding{outcome: health.Success, reason: answered}
	if !c.SkipVerify {
		o := x509.VerifyOptions{DNSName: name, Roots: roots, CurrentTime: now, Intermediates: x509.NewCertPool()}
		for _, ca := range chain[1:] {
			o.Intermediates.AddCert(ca)
		}
		_, err := leaf.Verify(o)
		if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
			// Once more, at a time when the whole chain was good if it ever was.
			if o.CurrentTime = lastValid(chain); o.CurrentTime.After(now) {
				o.CurrentTime = leaf.NotBefore
			}
			if _, again := leaf.Verify(o); again != nil {
				return fine, again
			}
			return dates(chain, now), nil
		}
		if err != nil {
			return fine, err
		}
	}
	if c.ExpiryWarning > 0 {
		if left := lastValid(chain).Sub(now); left < 0 {
			return dates(chain, now), nil
		} else if left < c.ExpiryWarning {
			return finding{health.SoftFail, expiring,
				fmt.Sprintf("certificate ends in %s: want %s", days(left), days(c.ExpiryWarning))}, nil
		}
	}
	return fine, nil
}

// lastValid returns the last moment at which no certificate of chain had expired.
func lastValid(chain []*x509.Certificate) time.Time {
	last := chain[0].NotAfter
	for _, c := range chain[1:] {
		if c.NotAfter.Before(last) {
			last = c.NotAfter
		}
	}
	return last
}

// dates says how a chain is out of its time.
func dates(chain []*x509.Certificate, now time.Time) finding {
	if early := chain[0].NotBefore.Sub(now); early > 0 {
		return finding{health.SoftFail, expired, fmt.Sprintf("certificate not valid for another %s", days(early))}
	}
	if ago := now.Sub(lastValid(chain)); ago >= 0 {
		return finding{health.SoftFail, expired, fmt.Sprintf("certificate expired %s ago", days(ago))}
	}
	return finding{health.SoftFail, expired, "certificate of an authority that has expired"}
}

// days writes a long duration for people.
func days(d time.Duration) string {
	if d < 48*time.Hour {
		return d.Truncate(time.Minute).String()
	}
	return fmt.Sprintf("%d days", d/(24*time.Hour))
}

// loadRoots reads a PEM file; "" is nil, the roots of the system. It is read for every probe, so that a rotated file
// counts at once.
func loadRoots(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s: no certificate: want PEM", file)
	}
	return pool, nil
}

// hostOf strips the port of a Host header.
func hostOf(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return host
}
