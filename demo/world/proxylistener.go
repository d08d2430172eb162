package world

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/meridian-gtm/meridian/demo/shop/web"
)

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
	header proxyHeader
	err    error
}

func (c *proxyConn) begin() (proxyHeader, error) {
	c.once.Do(func() {
		c.Conn.SetReadDeadline(time.Now().Add(proxyPatience))
		c.header, c.err = readProxyHeader(c.Conn)
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
	h, err := c.begin()
	if err != nil || h.Local {
		return web.Via{Director: h.Director}
	}
	return web.Via{Director: h.Director, VIP: h.Dest.String()}
}
