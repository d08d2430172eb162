package director

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/meridian-gtm/meridian/config"
	"github.com/meridian-gtm/meridian/dnsserver/steer"
	"github.com/meridian-gtm/meridian/health"
)

// section is a part of a configuration while it is written.
type section struct {
	b     *strings.Builder
	depth int
}

func (s section) line(format string, args ...any) {
	s.b.WriteString(strings.Repeat("    ", s.depth))
	fmt.Fprintf(s.b, format+"\n", args...)
}

// block writes "head {", what inside writes, and "}".
func (s section) block(head string, inside func(section)) {
	s.line("%s {", head)
	inside(section{s.b, s.depth + 1})
	s.line("}")
}

// site is what both renderers need of one site.
type site struct {
	steer.Site
	directors config.Directors
	check     health.Check // of real servers
	checked   bool         // there is one
}

func find(c *config.Config, name string) (site, error) {
	i := slices.IndexFunc(c.Sites, func(s steer.Site) bool { return s.Name == name })
	if i < 0 {
		return site{}, fmt.Errorf("site %q: want one of %s", name, names(c.Sites))
	}
	s := site{Site: c.Sites[i]}
	d, ok := c.DirectorsOf(name)
	if !ok {
		return site{}, fmt.Errorf("sites.%s.directors: missing: want the directors of the site", name)
	}
	s.directors = d
	if d.Check != "" {
		s.check, s.checked = c.CheckOf(d.Check)
	}
	return s, nil
}

func names(sites []steer.Site) string {
	var all []string
	for _, s := range sites {
		all = append(all, s.Name)
	}
	return strings.Join(all, ", ")
}

func (s site) vips() (all []netip.Addr) {
	for _, a := range []netip.Addr{s.V4, s.V6} {
		if a.IsValid() {
			all = append(all, a)
		}
	}
	return all
}

// real returns the real servers that get the connections of a VIP.
func (s site) real(vip netip.Addr) []config.RealServer {
	return slices.DeleteFunc(slices.Clone(s.directors.Real), func(r config.RealServer) bool { return r.Address.Is4() != vip.Is4() })
}

// Keepalived writes keepalived.conf of director "a" or "b" of a site.
func Keepalived(c *config.Config, name, which string) (string, error) {
	s, err := find(c, name)
	if err != nil {
		return "", err
	}
	self, peer := s.directors.A, s.directors.B
	switch which {
	case "a":
	case "b":
		self, peer = peer, self
	default:
		return "", fmt.Errorf("director %q: want a or b", which)
	}
	var b strings.Builder
	top := section{b: &b}
	top.line("# Written by: meridian render keepalived --site %s --director %s", name, which)
	top.line("# Change meridian.yaml and write it again; what is changed here is lost.")
	top.line("")
	top.block("global_defs", func(g section) {
		g.line("router_id %s-%s", name, which)
		if s.directors.Auth == "" {
			g.line("vrrp_version 3")
		}
	})
	if s.directors.Mode == config.DirectorsHAProxy {
		top.line("")
		top.block("vrrp_track_process haproxy", func(p section) {
			p.line("process haproxy")
			p.line("quorum 1")
			p.line("delay 2 # a reload replaces the process")
		})
	}
	top.line("")
	top.block("vrrp_instance "+name, func(v section) { s.instance(v, self, peer) })
	if s.directors.Mode == config.DirectorsIPVS {
		for _, vip := range s.vips() {
			for _, port := range s.directors.Ports {
				top.line("")
				top.block(fmt.Sprintf("virtual_server %s %d", vip, port), func(v section) { s.virtual(v, vip, port) })
			}
		}
	}
	return b.String(), nil
}

// instance writes VRRP. Both begin as backup: the one with the higher priority takes the VIPs after three adverts, and
// no VIP is on two machines because both were sure.
func (s site) instance(v section, self, peer config.Director) {
	d := s.directors
	v.line("state BACKUP")
	v.line("interface %s", d.Interface)
	v.line("virtual_router_id %d", d.RouterID)
	v.line("priority %d", self.Priority)
	v.line("advert_int %s", strconv.FormatFloat(d.Advert.Seconds(), 'f', -1, 64))
	v.line("unicast_src_ip %s", self.Address)
	v.block("unicast_peer", func(p section) { p.line("%s", peer.Address) })
	if d.Auth != "" {
		v.block("authentication", func(a section) {
			a.line("auth_type PASS")
			a.line("auth_pass %s", d.Auth)
		})
	}
	var same, other []string
	for _, vip := range s.vips() {
		text := fmt.Sprintf("%s/%d dev %s", vip, vip.BitLen(), d.Interface)
		if vip.Is4() == self.Address.Is4() {
			same = append(same, text)
		} else {
			other = append(other, text)
		}
	}
	// An advert names the addresses of its own family; those of the other move with them all the same.
	write := func(keyword string, list []string) {
		if len(list) > 0 {
			v.block(keyword, func(a section) {
				for _, text := range list {
					a.line("%s", text)
				}
			})
		}
	}
	write("virtual_ipaddress", same)
	write("virtual_ipaddress_excluded", other)
	if d.Mode == config.DirectorsHAProxy {
		v.block("track_process", func(t section) { t.line("haproxy") })
	}
}

// forwards names keepalived's words for how IPVS forwards.
var forwards = map[string]string{config.ForwardRoute: "DR", config.ForwardNAT: "NAT", config.ForwardTunnel: "TUN"}

// virtual writes one virtual server of IPVS.
func (s site) virtual(v section, vip netip.Addr, port uint16) {
	v.line("delay_loop %s", seconds(s.every()))
	v.line("lb_algo wlc")
	v.line("lb_kind %s", forwards[s.directors.Forward])
	v.line("protocol TCP")
	for _, r := range s.real(vip) {
		v.block(fmt.Sprintf("real_server %s %d", r.Address, port), func(w section) {
			w.line("weight %d", r.Weight)
			s.checker(w)
		})
	}
}

func (s site) every() time.Duration {
	if !s.checked {
		return health.DefaultTiming.Interval
	}
	return max(s.check.Timing.Interval, time.Second)
}

func (s site) timeout() time.Duration {
	if !s.checked {
		return health.DefaultTiming.Timeout
	}
	return s.check.Timing.Timeout
}

func seconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', -1, 64) }

// checker writes how a real server is checked. Nodes check the same through the VIP.
func (s site) checker(w section) {
	inside := func(c section) {
		if s.checked {
			c.line("connect_port %d", s.check.Port)
		}
		c.line("connect_timeout %s", seconds(s.timeout()))
		c.line("retry %d", max(s.fall()-1, 0))
		c.line("delay_before_retry 1")
	}
	if !s.checked || s.check.Kind == health.TCP {
		w.block("TCP_CHECK", inside)
		return
	}
	kind := "HTTP_GET"
	if s.check.Kind == health.HTTPS {
		kind = "SSL_GET"
	}
	w.block(kind, func(c section) {
		c.block("url", func(u section) {
			u.line("path %s", s.check.Path)
			if host := s.check.Host; host != "" {
				u.line("virtualhost %s", host)
			}
			u.line("status_code %s", statuses(s.check.Status, " "))
		})
		if s.check.Kind == health.HTTPS {
			c.line("enable_sni")
		}
		inside(c)
	})
}

func (s site) fall() int {
	if !s.checked {
		return health.DefaultTiming.Fall
	}
	return s.check.Timing.Fall
}

func statuses(list []health.StatusRange, between string) string {
	var words []string
	for _, r := range list {
		if r.Low == r.High {
			words = append(words, strconv.Itoa(r.Low))
		} else {
			words = append(words, fmt.Sprintf("%d-%d", r.Low, r.High))
		}
	}
	return strings.Join(words, between)
}
