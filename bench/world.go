//go:build linux

package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
)

// regions is how many datacenters the networks are divided between.
const regions = 8

// world is what all servers serve and what they are asked. The same seed gives the same world.
type world struct {
	dir      string
	networks []network
	sets     map[string][][]byte // queries, by the name of the set
}

// network is one prefix of clients and the region that they belong to.
type network struct {
	prefix netip.Prefix
	region int
}

// regionAddrs returns the addresses that clients of a region get.
func regionAddrs(region int) [2]netip.Addr {
	return [2]netip.Addr{
		netip.AddrFrom4([4]byte{198, 51, 100, byte(10 + 2*region)}),
		netip.AddrFrom4([4]byte{198, 51, 100, byte(11 + 2*region)}),
	}
}

// zoneRecords is the zone example.com without what is steered.
const zoneRecords = `$ORIGIN example.com.
$TTL 300
@ SOA ns1 hostmaster 1 3600 900 604800 300
@ NS ns1
@ NS ns2
ns1 A 192.0.2.1
ns2 A 192.0.2.2
www A 192.0.2.10
www A 192.0.2.11
www A 192.0.2.12
*.wild A 192.0.2.20
`

// newWorld draws the networks and the queries.
func newWorld(dir string, networks int, seed uint64) *world {
	random := rand.New(rand.NewPCG(seed, 0))
	w := &world{dir: dir, sets: map[string][][]byte{}}
	seen := map[netip.Prefix]bool{}
	// Lengths as the internet's routes have them: mostly /24, few that are short.
	lengths := []int{12, 14, 16, 16, 18, 18, 19, 20, 20, 20, 21, 21, 22, 22, 22, 23, 23, 24, 24, 24, 24, 24, 24, 24}
	for len(w.networks) < networks {
		prefix := netip.PrefixFrom(randomAddr(random), lengths[random.IntN(len(lengths))]).Masked()
		if !seen[prefix] {
			seen[prefix] = true
			w.networks = append(w.networks, network{prefix, random.IntN(regions)})
		}
	}
	const (
		typeA    = 1
		typeAAAA = 28
	)
	w.sets["www"] = [][]byte{query("www.example.com", typeA, netip.Addr{})}
	w.sets["geo"] = [][]byte{query("geo.example.com", typeA, netip.Addr{})}
	for range 20_000 {
		var q []byte
		switch n := random.IntN(100); {
		case n < 60:
			q = query("www.example.com", typeA, netip.Addr{})
		case n < 70: // no such type
			q = query("www.example.com", typeAAAA, netip.Addr{})
		case n < 85: // no such name
			q = query(fmt.Sprintf("n%05d.example.com", random.IntN(100_000)), typeA, netip.Addr{})
		default:
			q = query(fmt.Sprintf("h%05d.wild.example.com", random.IntN(100_000)), typeA, netip.Addr{})
		}
		w.sets["mix"] = append(w.sets["mix"], q)
	}
	for i := range 50_000 {
		client := randomAddr(random)
		if i%2 == 0 { // inside of a network that the servers know
			p := w.networks[random.IntN(len(w.networks))].prefix
			host := random.Uint32() & (1<<(32-p.Bits()) - 1)
			client = addrFrom(number(p.Addr()) | host)
		}
		w.sets["ecs"] = append(w.sets["ecs"], query("geo.example.com", typeA, client))
	}
	return w
}

// randomAddr returns an address that clients may have.
func randomAddr(random *rand.Rand) netip.Addr {
	for {
		if addr := addrFrom(random.Uint32()); addr.IsGlobalUnicast() && !addr.IsPrivate() && addr.As4()[0] < 224 && addr.As4()[0] > 0 {
			return addr
		}
	}
}

func number(addr netip.Addr) uint32 {
	a := addr.As4()
	return binary.BigEndian.Uint32(a[:])
}

func addrFrom(number uint32) netip.Addr {
	return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, number)))
}

// region returns the region of a client's /24 by the longest prefix that has it, or false when there is none.
func (w *world) region(client netip.Addr) (region int, ok bool) {
	longest := -1
	for _, n := range w.networks {
		if n.prefix.Contains(client) && n.prefix.Bits() > longest {
			longest, region = n.prefix.Bits(), n.region
		}
	}
	return region, longest >= 0
}

// query returns a query with ID 0, and with the /24 of a client when there is one (RFC 7871).
func query(name string, qtype uint16, client netip.Addr) []byte {
	b := make([]byte, 12, 64)
	b[5] = 1
	for label := range strings.SplitSeq(name, ".") {
		b = append(append(b, byte(len(label))), label...)
	}
	b = append(b, 0)
	b = binary.BigEndian.AppendUint16(b, qtype)
	b = binary.BigEndian.AppendUint16(b, 1) // class IN
	if !client.IsValid() {
		return b
	}
	b[11] = 1
	b = append(b, 0, 0, 41, 1232>>8, 1232&0xff, 0, 0, 0, 0, 0, 11) // OPT with 11 octets of options
	b = append(b, 0, 8, 0, 7, 0, 1, 24, 0)                         // client subnet: IPv4, /24
	a := client.As4()
	return append(b, a[:3]...)
}

// write writes the files that servers read.
func (w *world) write() error {
	var zone, networks, gdnsd, knot bytes.Buffer
	zone.WriteString(zoneRecords)
	fmt.Fprintf(&knot, "geo.example.com:\n")
	for _, n := range w.networks {
		fmt.Fprintf(&networks, "%s label=dc%d\n", n.prefix, n.region)
		fmt.Fprintf(&gdnsd, "%s => dc%d\n", n.prefix, n.region)
		addrs := regionAddrs(n.region)
		fmt.Fprintf(&knot, "  - net: %s\n    A: [ %s, %s ]\n", n.prefix, addrs[0], addrs[1])
	}
	// Servers without networks, and clients outside of all of them, get the first region.
	addrs := regionAddrs(0)
	withGeo := fmt.Sprintf("%sgeo A %s\ngeo A %s\n", zoneRecords, addrs[0], addrs[1])
	for name, content := range map[string]string{
		"example.com.zone": zone.String(), "example.com-geo.zone": withGeo, "networks.map": networks.String(),
		"gdnsd/zones/example.com": zoneRecords + "geo 300 DYNA geoip!geo\n", "gdnsd/geoip/networks": gdnsd.String(),
		"knot-geo/networks": knot.String(),
	} {
		if err := writeFile(filepath.Join(w.dir, name), content); err != nil {
			return err
		}
	}
	return nil
}

func writeFile(file, content string) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, []byte(content), 0o644)
}
