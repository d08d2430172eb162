package dnsserver

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"time"

	"github.com/meridian-gtm/meridian/dnsserver/proxyproto"
)

// alpnDoT is what clients of DNS over TLS may offer in the handshake (RFC 7858 and IANA's registry). One that offers
// other protocols only did not mean to come here.
const alpnDoT = "dot"

var errNoCertificate = errors.New("no certificate yet")

// newTLS returns how connections over TLS are begun. One configuration for all of them: it holds the keys of session
// tickets, which Go makes and rotates.
func (s *Server) newTLS() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12, // RFC 8310 section 9
		NextProtos: []string{alpnDoT},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			if c := s.certificate.Load(); c != nil {
				return c, nil
			}
			return nil, errNoCertificate
		},
	}
}

// SetCertificate makes c what Options.ListenTLS shows to clients that connect from now on, whatever name they ask for.
// Before the first call their handshakes fail. c must not be nil or change afterwards.
func (s *Server) SetCertificate(c *tls.Certificate) { s.certificate.Store(c) }

// handshake begins TLS on the connection. The client has the idle timeout for all of it.
func (c *tcpConn) handshake(ctx context.Context) error {
	if err := c.beginReading(ctx); err != nil {
		return err
	}
	if err := c.SetWriteDeadline(time.Now().Add(c.server.opts.IdleTimeout)); err != nil {
		return err
	}
	conn := tls.Server(c.Conn, c.server.tls)
	err := conn.Handshake()
	switch {
	case err == nil && conn.ConnectionState().DidResume:
		c.server.handshakes.resumed.Add(1)
	case err == nil:
		c.server.handshakes.full.Add(1)
	case err == io.EOF: // nothing at all: it was a look whether somebody listens
		return err
	default:
		if record, ok := errors.AsType[tls.RecordHeaderError](err); ok &&
			string(record.RecordHeader[:]) == proxyproto.Signature[:len(record.RecordHeader)] {
			c.via.counters.proxyUntrusted.Add(1)
		}
		c.server.handshakes.failed.Add(1)
		return err
	}
	c.Conn = conn
	return nil
}
