package probe

import (
	"bufio"
	"bytes"
	"cmp"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/meridian-gtm/meridian/health"
)

const (
	maxBody = 64 << 10 // octets of a body that are searched
	maxHead = 64 << 10 // octets of header that are read
)

// userAgent names the prober in the logs of the sites.
const userAgent = "meridian-probe"

// request sends one request over conn and judges the response. It is done by hand and not by an http.Client, which
// would follow redirects, use proxies and keep connections.
func request(conn net.Conn, t Target) finding {
	target, err := url.ParseRequestURI(cmp.Or(t.Check.Path, "/"))
	if err != nil {
		return finding{health.LocalFault, local, fmt.Sprintf("path %q: want a request target", t.Check.Path)}
	}
	req := &http.Request{
		Method: http.MethodGet, URL: target, Host: cmp.Or(t.Check.Host, authority(t.Addr, t.Check.Kind)),
		ProtoMajor: 1, ProtoMinor: 1, Close: true,
		Header: http.Header{"User-Agent": {userAgent}, "Accept": {"*/*"}},
	}
	if err := req.Write(conn); err != nil {
		return failure("request", err)
	}
	resp, err := response(bufio.NewReader(io.LimitReader(conn, maxHead+maxBody)), req)
	if err != nil {
		if f := failure("response", err); f.reason != unknown {
			return f
		}
		return finding{health.HardFail, badReply, "response: " + err.Error()}
	}
	defer resp.Body.Close()
	if !accepts(t.Check.Status, resp.StatusCode) {
		return finding{health.HardFail, badStatus, fmt.Sprintf("status %d: want %s", resp.StatusCode, wanted(t.Check.Status))}
	}
	if t.Check.Body == "" {
		return finding{outcome: health.Success, reason: answered}
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	switch {
	case bytes.Contains(body, []byte(t.Check.Body)):
		return finding{outcome: health.Success, reason: answered}
	case err != nil:
		return failure("body", err)
	}
	return finding{health.HardFail, badBody, fmt.Sprintf("body of %d octets: want it to hold %q", len(body), t.Check.Body)}
}

// response reads past interim responses (RFC 9110 section 15.2) to the final one.
func response(r *bufio.Reader, req *http.Request) (*http.Response, error) {
	for {
		resp, err := http.ReadResponse(r, req)
		if err != nil || resp.StatusCode >= 200 || resp.StatusCode == http.StatusSwitchingProtocols {
			return resp, err
		}
	}
}

var success = []health.StatusRange{{Low: 200, High: 299}}

func accepts(ranges []health.StatusRange, code int) bool {
	if len(ranges) == 0 {
		ranges = success
	}
	return slices.ContainsFunc(ranges, func(r health.StatusRange) bool { return r.Low <= code && code <= r.High })
}

func wanted(ranges []health.StatusRange) string {
	if len(ranges) == 0 {
		ranges = success
	}
	var texts []string
	for _, r := range ranges {
		if r.Low == r.High {
			texts = append(texts, strconv.Itoa(r.Low))
		} else {
			texts = append(texts, fmt.Sprintf("%d..%d", r.Low, r.High))
		}
	}
	return strings.Join(texts, ", ")
}

// authority is the Host of a VIP without a name: the port is left out where it is the scheme's own (RFC 9110 section
// 7.2).
func authority(addr netip.AddrPort, kind health.CheckKind) string {
	if kind == health.HTTP && addr.Port() == 80 || kind == health.HTTPS && addr.Port() == 443 {
		host := addr.Addr().String()
		if addr.Addr().Is6() {
			host = "[" + host + "]"
		}
		return host
	}
	return addr.String()
}
