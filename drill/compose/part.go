package compose

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/meridian-gtm/meridian/drill"
)

// The roles that drills know, in the order in which they are started again.
var roles = []string{"etcd", "db", "dns", "shop", "proxy", "director"}

// part is one container.
type part struct {
	id, name     string
	region, role string
	image        string // its ID
	program      string // what it runs
	labels       map[string]string
	networks     map[string]netip.Prefix // its address in each, with the length of the network's
	dns          netip.AddrPort          // where its port 53 is published; invalid = nowhere
}

// readParts reads what docker inspect prints. Containers without a region and a role that drills know are left out.
func readParts(b []byte) ([]part, error) {
	var all []struct {
		ID     string `json:"Id"`
		Name   string
		Image  string
		Path   string
		Config struct{ Labels map[string]string }
		// HostConfig has the ports of a container that does not run.
		HostConfig      struct{ PortBindings map[string][]binding }
		NetworkSettings struct {
			Networks map[string]struct {
				IPAddress   string
				IPPrefixLen int
			}
		}
	}
	if err := json.Unmarshal(b, &all); err != nil {
		return nil, fmt.Errorf("docker inspect: %w", err)
	}
	var parts []part
	for _, c := range all {
		p := part{
			id: c.ID, name: strings.TrimPrefix(c.Name, "/"), region: c.Config.Labels["meridian.region"], role: c.Config.Labels["meridian.role"],
			image: c.Image, program: c.Path, labels: c.Config.Labels, networks: map[string]netip.Prefix{},
		}
		if p.region == "" || !slices.Contains(roles, p.role) {
			continue
		}
		for name, n := range c.NetworkSettings.Networks {
			if addr, err := netip.ParseAddr(n.IPAddress); err == nil {
				p.networks[name] = netip.PrefixFrom(addr, n.IPPrefixLen)
			}
		}
		for _, b := range c.HostConfig.PortBindings["53/udp"] {
			addr, err := netip.ParseAddr(b.HostIP)
			port, portErr := strconv.ParseUint(b.HostPort, 10, 16)
			if err == nil && portErr == nil {
				p.dns = netip.AddrPortFrom(addr, uint16(port))
			}
		}
		parts = append(parts, p)
	}
	slices.SortFunc(parts, func(a, b part) int {
		if n := slices.Index(roles, a.role) - slices.Index(roles, b.role); n != 0 {
			return n
		}
		return strings.Compare(a.name, b.name)
	})
	return parts, nil
}

type binding struct {
	HostIP   string `json:"HostIp"`
	HostPort string
}

// addresses returns where a container is, in all of its networks.
func (p part) addresses() (all []netip.Addr) {
	for _, prefix := range p.networks {
		all = append(all, prefix.Addr())
	}
	slices.SortFunc(all, netip.Addr.Compare)
	return all
}

// networkOf returns the container's network in which an address is.
func (p part) networkOf(addr netip.Addr) (string, bool) {
	for _, name := range slices.Sorted(maps.Keys(p.networks)) {
		if p.networks[name].Masked().Contains(addr) {
			return name, true
		}
	}
	return "", false
}

// readClients reads the label of client networks.
func readClients(text string) (clients []drill.Client, err error) {
	for entry := range strings.SplitSeq(text, ";") {
		prefix, label, _ := strings.Cut(strings.TrimSpace(entry), " ")
		p, err := netip.ParsePrefix(prefix)
		if err != nil || p != p.Masked() {
			return nil, errors.Join(fmt.Errorf("label meridian.clients: %q: want a prefix and a name, separated by semicolons", entry), err)
		}
		clients = append(clients, drill.Client{Prefix: p, Label: strings.TrimSpace(label), Weight: 1})
	}
	return clients, nil
}
