package world

import (
	"net"
	"net/http"
	"net/netip"
	"testing"

	"github.com/meridian-gtm/meridian/demo/shop/web"
)

// A replica learns the client, the VIP and the director of a connection; of a health check there is the director alone,
// and who comes without a header is told nothing.
func TestProxyListener(t *testing.T) {
	client, vip := netip.MustParseAddrPort("192.0.2.1:1234"), netip.MustParseAddrPort("198.51.100.2:8000")
	for name, c := range map[string]struct {
		header string
		want   web.Via
		from   string
	}{
		"client":    {string(proxiedHeader(client, vip, "eu-west-a").Append(nil)), web.Via{Director: "eu-west-a", VIP: vip.String()}, client.String()},
		"check":     {string(checkHeader("eu-west-b").Append(nil)), web.Via{Director: "eu-west-b"}, "pipe"},
		"no header": {"GET / HTTP/1.0\r\n\r\n", web.Via{}, "pipe"},
	} {
		director, replica := net.Pipe()
		go func() {
			director.Write([]byte(c.header + "GET / HTTP/1.0\r\n\r\n"))
			director.Close()
		}()
		conn := &proxyConn{Conn: replica}
		r := (&http.Request{}).WithContext(connContext(t.Context(), conn))
		if got := via(r); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
		if got := conn.RemoteAddr().String(); got != c.from {
			t.Errorf("%s: from %s, want %s", name, got, c.from)
		}
		replica.Close()
	}
}
