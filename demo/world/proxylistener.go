package world

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/meridian-gtm/meridian/demo/shop/web"
	"github.com/meridian-gtm/meridian/dnsserver/proxyproto"
)

// proxyDirector is the director's own name in the header that it writes: the first of the types for custom use.
const proxyDirector = 0xE0

// proxiedHeader is what a director writes before the first byte of a client that came to a VIP.
func proxiedHeader(client, vip netip.AddrPort, director string) proxyproto.Header {
	return proxyproto.Header{
		Transport: proxyproto.Stream, Source: client, Dest: vip,
		Values: proxyproto.AppendValue(nil, proxyDirector, director),
	}
}

// checkHeader is what it writes before a health check of its own.
func checkHeader(director string) proxyproto.Header {
	return proxyproto.Header{Local: true, Values: proxyproto.AppendValue(nil, proxyDirector, director)}
}

// proxyPatience is how long a replica waits for the header of a connection.
const proxyPatience = 2 * time.Second

// proxyListener gives out connections that begin with a PROXY header. The header is read when the connection is
// first used, so that a silent peer holds up nobody's Accept.
type proxyListener struct{ net.Listener }

func (l proxyListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &proxyConn{Conn: c}, nil
}

type proxyConn struct {
	net.Conn
	once   sync.Once
	header proxyproto.Header
	err    error
}

func (c *proxyConn) begin() (proxyproto.Header, error) {
	c.once.Do(func() {
		c.Conn.SetReadDeadline(time.Now().Add(proxyPatience))
		c.header, c.err = proxyproto.Read(c.Conn)
		c.Conn.SetReadDeadline(time.Time{})
	})
	return c.header, c.err
}

// Read reads what follows the header.
func (c *proxyConn) Read(b []byte) (int, error) {
	if _, err := c.begin(); err != nil {
		return 0, err
	}
	return c.Conn.Read(b)
}

// RemoteAddr is the client's address as the director tells it.
func (c *proxyConn) RemoteAddr() net.Addr {
	if h, err := c.begin(); err == nil && h.Source.IsValid() {
		return net.TCPAddrFromAddrPort(h.Source)
	}
	return c.Conn.RemoteAddr()
}

type proxyConnKey struct{}

// connContext is for http.Server.ConnContext: it lets via find the connection of a request.
func connContext(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, proxyConnKey{}, c)
}

// via tells the shop how a request came to it.
func via(r *http.Request) web.Via {
	c, ok := r.Context().Value(proxyConnKey{}).(*proxyConn)
	if !ok {
		return web.Via{}
	}
	h, _ := c.begin() // nothing, when there is no header
	director, _ := h.Value(proxyDirector)
	v := web.Via{Director: string(director)}
	if h.Dest.IsValid() {
		v.VIP = h.Dest.String()
	}
	return v
}
