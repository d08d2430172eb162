package drill

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/meridian-gtm/meridian/control"
)

// Fleet is what a drill asks.
type Fleet struct {
	Name    string   // DNS name that clients ask for, of a steered service
	Nodes   []Node   // every node that answers DNS
	Clients []Client // networks to ask for
}

// Node is one traffic manager node.
type Node struct {
	Name string
	Site string // datacenter
	DNS  netip.AddrPort
	API  *control.Client // nil = only its answers are measured
}

// statuses asks every node that has an API. A node that does not answer is nil in the list.
func (f Fleet) statuses(ctx context.Context) []*control.Status {
	all := make([]*control.Status, len(f.Nodes))
	for i, n := range f.Nodes {
		if n.API == nil {
			continue
		}
		if s, err := n.API.Status(ctx); err == nil {
			all[i] = s
		}
	}
	return all
}

// Discover makes a fleet of the control APIs of nodes: they tell where the others answer DNS. name "" takes the first
// steered name that is not known: it has to be given. Servers, if any, are asked instead of those.
func Discover(ctx context.Context, apis []*control.Client, servers []netip.AddrPort, name string, clients []Client) (Fleet, error) {
	f := Fleet{Name: name, Clients: clients}
	if len(apis) == 0 {
		return f, errors.New("no control API: want that of one node at least")
	}
	byName := map[string]int{}
	for i, api := range apis {
		s, err := api.Status(ctx)
		if err != nil {
			return f, err
		}
		if i == 0 {
			for _, m := range s.Members {
				addr, err := netip.ParseAddrPort(m.DNS)
				if err != nil {
					continue // a node that was configured and never heard
				}
				byName[m.Node] = len(f.Nodes)
				f.Nodes = append(f.Nodes, Node{Name: m.Node, Site: m.Datacenter, DNS: addr})
			}
		}
		at, ok := byName[s.Node]
		if !ok {
			return f, fmt.Errorf("api of %s: %s does not know that node", s.Node, f.Nodes[0].Name)
		}
		f.Nodes[at].API = api
	}
	if len(servers) > 0 {
		if err := f.against(servers); err != nil {
			return f, err
		}
	}
	for _, n := range f.Nodes {
		if n.DNS.Addr().IsUnspecified() {
			return f, fmt.Errorf("node %s answers DNS on %s: want its address, with --against", n.Name, n.DNS)
		}
	}
	return f, f.check()
}

// against replaces the DNS addresses, in the order of the nodes' names.
func (f *Fleet) against(servers []netip.AddrPort) error {
	if len(servers) != len(f.Nodes) {
		return fmt.Errorf("%d DNS servers for %d nodes: want one for each, in the order %s", len(servers), len(f.Nodes), strings.Join(f.names(), ", "))
	}
	for i := range f.Nodes {
		f.Nodes[i].DNS = servers[i]
	}
	return nil
}

func (f Fleet) names() (names []string) {
	for _, n := range f.Nodes {
		names = append(names, n.Name)
	}
	return names
}

func (f Fleet) check() error {
	var faults []error
	if f.Name == "" {
		faults = append(faults, errors.New("no name to ask for: want that of a steered service"))
	}
	if len(f.Nodes) == 0 {
		faults = append(faults, errors.New("no nodes: want one at least"))
	}
	if len(f.Clients) == 0 {
		faults = append(faults, errors.New("no client networks: want one at least"))
	}
	for _, c := range f.Clients {
		if !c.Prefix.IsValid() || c.Weight <= 0 {
			faults = append(faults, fmt.Errorf("client %s, weight %g: want a prefix and a weight above 0", c.Prefix, c.Weight))
		}
	}
	if !slices.ContainsFunc(f.Nodes, func(n Node) bool { return n.API != nil }) {
		faults = append(faults, errors.New("no control API: want that of one node at least"))
	}
	return errors.Join(faults...)
}

// api returns the control API to plan with: that of a node outside the site if there is one.
func (f Fleet) api(outside string) *control.Client {
	var found *control.Client
	for _, n := range f.Nodes {
		if n.API != nil && (found == nil || n.Site != outside) {
			found = n.API
			if n.Site != outside {
				return found
			}
		}
	}
	return found
}

// Sites returns the names of the sites, sorted.
func (f Fleet) Sites(ctx context.Context) ([]string, error) {
	s, err := f.api("").Status(ctx)
	if err != nil {
		return nil, err
	}
	names, _ := sitesOf(s)
	if len(names) == 0 {
		return nil, errors.New("no sites")
	}
	return names, nil
}
