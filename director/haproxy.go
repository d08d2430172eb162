package director

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/meridian-gtm/meridian/config"
	"github.com/meridian-gtm/meridian/health"
)

// HAProxy writes haproxy.cfg of the directors of a site, the same for both.
func HAProxy(c *config.Config, name string) (string, error) {
	s, err := find(c, name)
	if err != nil {
		return "", err
	}
	if s.directors.Mode != config.DirectorsHAProxy {
		return "", fmt.Errorf("sites.%s.directors.mode: %s: want %s", name, s.directors.Mode, config.DirectorsHAProxy)
	}
	var b strings.Builder
	top := section{b: &b}
	top.line("# Written by: meridian render haproxy --site %s", name)
	top.line("# Change meridian.yaml and write it again; what is changed here is lost.")
	top.line("# The director that has not got the VIPs listens on them too: net.ipv4.ip_nonlocal_bind and")
	top.line("# net.ipv6.ip_nonlocal_bind have to be 1.")
	top.line("global")
	in := section{b: &b, depth: 1}
	in.line("log stdout format raw local0 notice")
	top.line("")
	top.line("defaults")
	in.line("mode tcp")
	in.line("log global")
	in.line("option dontlognull")
	in.line("timeout connect 3s")
	in.line("timeout client 1m")
	in.line("timeout server 1m")
	in.line("timeout check %s", milliseconds(s.timeout()))
	for _, vip := range s.vips() {
		for _, port := range s.directors.Ports {
			s.listener(&b, vip, port)
		}
	}
	return b.String(), nil
}

func milliseconds(d time.Duration) string { return fmt.Sprintf("%dms", d.Milliseconds()) }

// listener writes the frontend and the backend of one VIP and port.
func (s site) listener(b *strings.Builder, vip netip.Addr, port uint16) {
	top, in := section{b: b}, section{b: b, depth: 1}
	name := fmt.Sprintf("%s_%s_%d", s.Name, family(vip), port)
	top.line("")
	top.line("frontend %s", name)
	in.line("bind %s", netip.AddrPortFrom(vip, port))
	in.line("default_backend %s", name)
	top.line("")
	top.line("backend %s", name)
	in.line("balance leastconn")
	options := ""
	if s.checked {
		options = fmt.Sprintf(" port %d", s.check.Port)
	}
	if s.checked && s.check.Kind != health.TCP {
		in.line("option httpchk")
		host := s.check.Host
		if host == "" {
			host = vip.String()
		}
		in.line("http-check send meth GET uri %s ver HTTP/1.1 hdr Host %s hdr Connection close", s.check.Path, host)
		in.line("http-check expect status %s", statuses(s.check.Status, ","))
		if s.check.Kind == health.HTTPS {
			options += s.tls()
		}
	}
	for i, r := range s.real(vip) {
		in.line("server %s-%d %s check inter %s fall %d rise %d weight %d%s", s.Name, i+1, netip.AddrPortFrom(r.Address, port),
			milliseconds(s.every()), s.fall(), s.rise(), r.Weight, options)
	}
}

// tls writes how the certificate of a check is verified, as probes do it.
func (s site) tls() string {
	name := s.check.ServerName
	if name == "" {
		name, _, _ = strings.Cut(s.check.Host, ":")
	}
	text := " check-ssl"
	if name != "" {
		text += " check-sni " + name
	}
	switch {
	case s.check.SkipVerify || s.check.CAFile == "":
		// haproxy has no word for the system's roots in this version; the certificate is checked by the nodes' probes.
		return text + " verify none"
	case name == "":
		return text + " verify required ca-file " + s.check.CAFile
	default:
		return text + " verify required verifyhost " + name + " ca-file " + s.check.CAFile
	}
}

func (s site) rise() int {
	if !s.checked {
		return health.DefaultTiming.Rise
	}
	return s.check.Timing.Rise
}

func family(a netip.Addr) string {
	if a.Is4() {
		return "v4"
	}
	return "v6"
}
