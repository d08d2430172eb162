package config

import (
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/meridian-gtm/meridian/dnsserver/steer"
	"github.com/meridian-gtm/meridian/health"
)

// Directors is the pair of machines that share a site's VIPs and pass connections on to its real servers. The traffic
// manager itself never speaks to them: their configuration is rendered from here, so that VIPs, ports and checks are
// said once.
type Directors struct {
	Site      string // name
	Mode      string // DirectorsIPVS or DirectorsHAProxy; default DirectorsIPVS
	Forward   string // IPVS only: ForwardRoute, ForwardNAT or ForwardTunnel; default ForwardRoute
	Interface string // that has the VIPs
	RouterID  int    // VRRP virtual router, 1..255; unique on the segment
	Advert    time.Duration
	Auth      string   // VRRPv2 password, at most 8 bytes, sent in the clear; "" = none. IPv6 has none
	A, B      Director // A is master where both live
	Ports     []uint16 // TCP
	Check     string   // name of the check that directors make of real servers; "" = a TCP connection
	Real      []RealServer
}

// Director is one of the two.
type Director struct {
	Address  netip.Addr // its own, of any family; adverts go from the one to the other
	Priority int        // VRRP, 1..254; default 150 and 100
}

// RealServer is where connections end.
type RealServer struct {
	Address netip.Addr
	Weight  int // 0..100; default 1
}

// How directors forward.
const (
	DirectorsIPVS    = "ipvs"    // in the kernel, at layer 4
	DirectorsHAProxy = "haproxy" // a process, in TCP mode
)

// How IPVS forwards.
const (
	ForwardRoute  = "route"  // direct routing: real servers carry the VIP too and answer by themselves
	ForwardNAT    = "nat"    // real servers answer through the director
	ForwardTunnel = "tunnel" // as route, in IP-in-IP
)

// maxAuth is the length of a VRRPv2 password (RFC 2338 section 5.3.10), in bytes.
const maxAuth = 8

func (r *reader) directors(c cursor, site string) {
	d := Directors{
		Site: site, Mode: DirectorsIPVS, Forward: ForwardRoute, Advert: time.Second,
		A: Director{Priority: 150}, B: Director{Priority: 100},
	}
	forward := false
	have := c.mapping(fields{
		"mode":      func(v cursor) { choice(v, &d.Mode, DirectorsIPVS, DirectorsHAProxy) },
		"forward":   func(v cursor) { forward = true; choice(v, &d.Forward, ForwardRoute, ForwardNAT, ForwardTunnel) },
		"interface": func(v cursor) { v.device(&d.Interface) },
		"router_id": func(v cursor) { integer(v, &d.RouterID, 1, 255) },
		"advert":    func(v cursor) { v.duration(&d.Advert, 100*time.Millisecond, 40*time.Second) },
		"auth":      func(v cursor) { v.password(&d.Auth) },
		"a":         func(v cursor) { v.director(&d.A) },
		"b":         func(v cursor) { v.director(&d.B) },
		"ports": func(v cursor) {
			items := v.items()
			for _, item := range items {
				var port uint16
				integer(item, &port, 1, 65535)
				d.Ports = append(d.Ports, port)
			}
			once(items, d.Ports)
		},
		"check": func(v cursor) { r.reference(v, "check", &d.Check) },
		"real_servers": func(v cursor) {
			items := v.items()
			var addrs []netip.Addr
			for _, item := range items {
				s := RealServer{Weight: 1}
				have := item.mapping(fields{
					"address": func(v cursor) { v.addr(&s.Address, "the address of one host", anyFamily) },
					"weight":  func(v cursor) { integer(v, &s.Weight, 0, 100) },
				})
				item.need(have, "address", "the address of one host")
				d.Real, addrs = append(d.Real, s), append(addrs, s.Address)
			}
			once(items, addrs)
		},
	})
	for _, key := range []struct{ name, want string }{
		{"interface", "the network interface that has the VIPs"}, {"router_id", "1..255, unique on the segment"},
		{"a", "a mapping with address"}, {"b", "a mapping with address"}, {"ports", "a list of ports"}, {"real_servers", "a list of addresses"},
	} {
		c.need(have, key.name, key.want)
	}
	if forward && d.Mode == DirectorsHAProxy {
		c.report("forward with mode haproxy", "mode ipvs, or no forward")
	}
	if a, b := d.A, d.B; a.Address.IsValid() && b.Address.IsValid() {
		switch {
		case a.Address == b.Address:
			c.report("directors a and b at "+a.Address.String(), "two addresses")
		case a.Address.Is4() != b.Address.Is4():
			c.report("director a at "+a.Address.String()+", b at "+b.Address.String(), "addresses of one family")
		}
	}
	if d.Auth != "" && d.Advert%time.Second != 0 {
		c.report("auth with advert "+formatDuration(d.Advert), "whole seconds, or no auth: only VRRPv2 has a password")
	}
	if d.A.Priority <= d.B.Priority {
		c.report("priorities "+strconv.Itoa(d.A.Priority)+" and "+strconv.Itoa(d.B.Priority), "that of a above that of b")
	}
	r.config.Directors = append(r.config.Directors, d)
}

func anyFamily(netip.Addr) bool { return true }

// serve reports VIPs of a site that its directors cannot serve. VRRP adverts name an address of their own family.
func (r *reader) serve(c cursor, s steer.Site) {
	d, ok := r.config.DirectorsOf(s.Name)
	if !ok || !s.V4.IsValid() && !s.V6.IsValid() {
		return
	}
	at := c.child("directors", nil, c.node)
	if a := d.A.Address; a.IsValid() && (a.Is4() && !s.V4.IsValid() || a.Is6() && !s.V6.IsValid()) {
		at.report("directors at "+a.String(), "addresses of the family of a VIP")
	}
	for _, vip := range []netip.Addr{s.V4, s.V6} {
		fits := func(r RealServer) bool { return r.Address.Is4() == vip.Is4() }
		if vip.IsValid() && len(d.Real) > 0 && !slices.ContainsFunc(d.Real, fits) {
			at.report("no real server for "+vip.String(), "one of its family")
		}
	}
}

func (c cursor) director(into *Director) {
	have := c.mapping(fields{
		"address":  func(v cursor) { v.addr(&into.Address, "the address of one host", anyFamily) },
		"priority": func(v cursor) { integer(v, &into.Priority, 1, 254) },
	})
	c.need(have, "address", "the address of one host")
}

// device reads the name of a network interface: Linux allows 15 bytes without / and space (dev_valid_name).
func (c cursor) device(into *string) {
	const want = "a network interface: 1..15 of A-Z a-z 0-9 . _ - @ :"
	s, ok := c.scalar(want)
	if !ok {
		return
	}
	if len(s) < 1 || len(s) > 15 || !plainText(s, ".-_@:") || s == "." || s == ".." {
		c.refuse(want)
		return
	}
	*into = s
}

// password reads what can stand bare in keepalived's configuration.
func (c cursor) password(into *string) {
	const want = "1..8 of A-Z a-z 0-9 . _ -: VRRP has no room for more and sends it in the clear"
	s, ok := c.scalar(want)
	if !ok {
		return
	}
	if len(s) < 1 || len(s) > maxAuth || !plainText(s, ".-_") {
		c.refuse(want)
		return
	}
	*into = s
}

// plainText reports whether s has only ASCII letters, digits and what more allows.
func plainText(s, more string) bool {
	for _, b := range []byte(s) {
		plain := b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9'
		if !plain && !slices.Contains([]byte(more), b) {
			return false
		}
	}
	return s != ""
}

// DirectorsOf returns the directors of a site.
func (c *Config) DirectorsOf(site string) (Directors, bool) {
	i := slices.IndexFunc(c.Directors, func(d Directors) bool { return d.Site == site })
	if i < 0 {
		return Directors{}, false
	}
	return c.Directors[i], true
}

// CheckOf returns a check by name.
func (c *Config) CheckOf(name string) (health.Check, bool) {
	i := slices.IndexFunc(c.Checks, func(k health.Check) bool { return k.Name == name })
	if i < 0 {
		return health.Check{}, false
	}
	return c.Checks[i], true
}
