package main

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"time"
)

// World is where everything is. compose.yaml says the same addresses; a test compares them.
type World struct {
	Net     string // first two bytes of every address
	Advert  time.Duration
	Regions []Region
}

// Region is one datacenter.
type Region struct {
	Name      string
	Continent string // of the clients that are nearest
	Lat, Lon  string // degrees
	number    int    // 1, 2, ...: third byte of its own network, tens of its addresses in the shared ones
	proxy     bool   // at layer 7, between directors and shops
	net       string
}

// The third bytes of the shared networks. Number n of a region is network n.
const (
	internet = 0
	backbone = 9
)

// NewWorld returns the world in a /16. net is its first two bytes.
func NewWorld(net, advert string) (*World, error) {
	if !regexp.MustCompile(`^[0-9]{1,3}\.[0-9]{1,3}$`).MatchString(net) {
		return nil, fmt.Errorf("net %q: want the first two bytes of the addresses, such as 198.18", net)
	}
	if _, err := netip.ParseAddr(net + ".0.0"); err != nil {
		return nil, fmt.Errorf("net %q: %w", net, err)
	}
	d, err := time.ParseDuration(advert)
	if err != nil || d < 100*time.Millisecond || d > time.Second {
		return nil, fmt.Errorf("advert %q: want 100ms..1s", advert)
	}
	w := &World{Net: net, Advert: d, Regions: []Region{
		{Name: "us-east", Continent: "americas", Lat: "40.7128", Lon: "-74.0060", proxy: true},
		{Name: "eu-west", Continent: "europe", Lat: "50.1109", Lon: "8.6821", proxy: true},
		{Name: "ap-south", Continent: "asia", Lat: "19.0760", Lon: "72.8777"},
	}}
	for i := range w.Regions {
		w.Regions[i].number, w.Regions[i].net = i+1, net
	}
	return w, nil
}

// Recheck is the time between probes after a failure. Three of them are a second and two of these apart, from the start of
// the first to the end of the last: longer than the four adverts of a VIP that moves.
func (w *World) Recheck() time.Duration { return 2 * w.Advert }

// Interval is the time between probes else.
func (w *World) Interval() time.Duration { return max(500*time.Millisecond, w.Recheck()) }

func (r Region) at(network, host int) string { return fmt.Sprintf("%s.%d.%d", r.net, network, host) }

// Addresses on the internet.

func (r Region) VIP() string       { return r.at(internet, 10*r.number) }
func (r Region) DirectorA() string { return r.at(internet, 10*r.number+1) }
func (r Region) DirectorB() string { return r.at(internet, 10*r.number+2) }
func (r Region) DNS() string       { return r.at(internet, 10*r.number+3) }

// Addresses in the region's own network.

func (r Region) Proxy() string { return r.at(r.number, 13) }

func (r Region) Shops() []string { return []string{r.at(r.number, 21), r.at(r.number, 22)} }

// Database returns the address for this region's shops.
func (r Region) Database() string { return r.at(r.number, 31) }

// Cockroach returns the address of its node for this region's shops.
func (r Region) Cockroach() string { return r.at(r.number, 32) }

// Addresses on the backbone.

func (r Region) Gossip() string           { return r.at(backbone, 10*r.number+3) }
func (r Region) Replication() string      { return r.at(backbone, 10*r.number+6) }
func (r Region) Etcd() string             { return r.at(backbone, 10*r.number+7) }
func (r Region) CockroachCluster() string { return r.at(backbone, 10*r.number+8) }

// RealServers are what the directors pass connections on to.
func (r Region) RealServers() []string {
	if r.proxy {
		return []string{r.Proxy()}
	}
	return r.Shops()
}

// RouterID is the VRRP virtual router; all of them are on one segment.
func (r Region) RouterID() int { return 50 + r.number }

// Backbone is where database servers may come from.
func (w *World) Backbone() string { return fmt.Sprintf("%s.%d.0/24", w.Net, backbone) }

// All is every address of the world.
func (w *World) All() string { return w.Net + ".0.0/16" }

// Witness is somebody on the internet who accepts connections.
func (w *World) Witness() string { return fmt.Sprintf("%s.%d.5:8080", w.Net, internet) }

// databaseURL is what a process in the region named connects to: the servers of the own region through its network, the
// others, and all of them for a process of no region, over the backbone.
func (w *World) databaseURL(engine, region, passfile string) (string, error) {
	var hosts []string
	add := func(r Region, own bool) {
		switch {
		case engine == "postgres" && own:
			hosts = append(hosts, r.Database()+":5432")
		case engine == "postgres":
			hosts = append(hosts, r.Replication()+":5432")
		case own:
			hosts = append(hosts, r.Cockroach()+":26257")
		default:
			hosts = append(hosts, r.CockroachCluster()+":26257")
		}
	}
	for _, r := range w.Regions {
		if r.Name == region {
			add(r, true)
		}
	}
	for _, r := range w.Regions {
		if r.Name != region {
			add(r, false)
		}
	}
	list := strings.Join(hosts, ",")
	switch engine {
	case "postgres":
		near := ""
		for _, r := range w.Regions {
			if r.Name == region {
				near = "&near=" + r.Database() + ":5432"
			}
		}
		return "postgres://shop@" + list + "/shop?sslmode=disable&target_session_attrs=read-write&passfile=" + passfile + near, nil
	case "cockroach":
		return "cockroach://root@" + list + "/shop?sslmode=disable", nil
	}
	return "", fmt.Errorf("database %q: want postgres or cockroach", engine)
}
