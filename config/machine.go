package config

import (
	"net/netip"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// override puts what flags and environment gave in the place of what the file says.
func (r *reader) override(top cursor, o Overrides) {
	word := func(section, key, value string) {
		if value != "" {
			top.override(section, key, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: value})
		}
	}
	words := func(section, key string, values []string) {
		list := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
		for _, v := range values {
			list.Content = append(list.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: v})
		}
		if len(values) > 0 {
			top.override(section, key, list)
		}
	}
	word("node", "name", o.NodeName)
	word("node", "datacenter", o.Datacenter)
	word("node", "data_dir", o.DataDir)
	words("dns", "listen", o.DNSListen)
	word("gossip", "listen", o.GossipListen)
	word("gossip", "advertise", o.GossipAdvertise)
	words("gossip", "seeds", o.Seeds)
	word("api", "listen", o.APIListen)
}

func (r *reader) node(c cursor) {
	n := &r.config.Node
	have := c.mapping(fields{
		"name":       func(v cursor) { v.name(&n.Name) },
		"datacenter": func(v cursor) { r.reference(v, "datacenter", &n.Datacenter) },
		"data_dir":   func(v cursor) { r.file(v, &n.DataDir) },
	})
	c.need(have, "name", "a name that no other node of the fleet has")
	c.need(have, "datacenter", "the name of a datacenter")
	if n.DataDir == "" {
		c.child("data_dir", nil, c.node).report(`""`, "a directory")
	}
}

func (r *reader) gossip(c cursor) {
	g := &r.config.Gossip
	at := c.child("listen", nil, c.node)
	have := c.mapping(fields{
		"listen": func(v cursor) {
			at = v
			v.addrPort(&g.Listen, 0, true)
		},
		"advertise": func(v cursor) { v.addrPort(&g.Advertise, 1, false) },
		"seeds": func(v cursor) {
			list(v, &g.Seeds, func(item cursor, into *netip.AddrPort) { item.addrPort(into, 1, false) })
		},
		"keyring_file": func(v cursor) { r.file(v, &g.KeyringFile) },
		"profile":      func(v cursor) { choice(v, &g.Profile, GossipWAN, GossipFast) },
	})
	r.listen(at, g.Listen)
	if !slices.Contains(have, "advertise") && g.Listen.Addr().IsUnspecified() {
		c.need(nil, "advertise", "the address where others reach this node, because listen is "+g.Listen.String())
	}
	if open := g.public(); g.KeyringFile == "" && open.IsValid() {
		c.need(nil, "keyring_file", "a file of keys, because "+open.String()+" is not loopback")
	}
}

// public returns a gossip address that is not loopback; the zero AddrPort when there is none.
func (g *Gossip) public() netip.AddrPort {
	for _, a := range append([]netip.AddrPort{g.Listen, g.Advertise}, g.Seeds...) {
		if a.IsValid() && !a.Addr().IsLoopback() {
			return a
		}
	}
	return netip.AddrPort{}
}

func (r *reader) api(c cursor) {
	a := &r.config.API.Listen
	at := c.child("listen", nil, c.node)
	c.mapping(fields{
		"listen": func(v cursor) {
			at = v
			v.addrPort(a, 0, true)
			if !a.Addr().IsLoopback() {
				v.refuse("a loopback address like 127.0.0.1:8053: the API has no login")
			}
		},
	})
	r.listen(at, *a)
}

func (r *reader) geo(c cursor) {
	g := &r.config.Geo
	c.mapping(fields{
		"city":     func(v cursor) { r.file(v, &g.City) },
		"country":  func(v cursor) { r.file(v, &g.Country) },
		"asn":      func(v cursor) { r.file(v, &g.ASN) },
		"cidr_map": func(v cursor) { r.file(v, &g.CIDRMap) },
	})
}

func (r *reader) witnesses(c cursor) {
	items := c.items()
	for _, item := range items {
		var w netip.AddrPort
		item.addrPort(&w, 1, false)
		r.config.Witnesses = append(r.config.Witnesses, w)
	}
	once(items, r.config.Witnesses)
}

// isHost reports whether s can stand in a Host header: a name or address, maybe with a port.
func isHost(s string) bool {
	return s != "" && len(s) <= 255 && !strings.ContainsFunc(s, func(c rune) bool {
		plain := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		return !plain && !strings.ContainsRune(".-_:[]", c)
	})
}
