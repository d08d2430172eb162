package config

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/netip"

	"github.com/meridian-gtm/meridian/dnsserver/steer"
	"github.com/meridian-gtm/meridian/dnsserver/zone"
	"github.com/meridian-gtm/meridian/health"
)

// FleetHash identifies the part of the configuration that must be the same on every node: all but the sections node,
// dns, gossip and api. Comments, the order of keys and defaults that are written out make no difference. Of files it
// knows the path as written, not the contents: those have digests of their own.
func (c *Config) FleetHash() string {
	fleet := struct {
		Geo         Geo
		Datacenters []steer.Datacenter
		Votes       map[string]uint32
		Sites       []steer.Site
		Directors   []Directors
		Checks      []health.Check
		Witnesses   []netip.AddrPort
		Services    []steer.Service
		Health      health.Policy
		Zones       []zone.Source
	}{
		Geo:         Geo{c.asWritten(c.Geo.City), c.asWritten(c.Geo.Country), c.asWritten(c.Geo.ASN), c.asWritten(c.Geo.CIDRMap)},
		Datacenters: c.Datacenters,
		Votes:       c.Votes,
		Sites:       c.Sites,
		Directors:   c.Directors,
		Checks:      append([]health.Check(nil), c.Checks...),
		Witnesses:   c.Witnesses,
		Services:    c.Services,
		Health:      c.Health,
		Zones:       append([]zone.Source(nil), c.Zones...),
	}
	for i := range fleet.Checks {
		fleet.Checks[i].CAFile = c.asWritten(fleet.Checks[i].CAFile)
	}
	for i := range fleet.Zones {
		fleet.Zones[i].File = c.asWritten(fleet.Zones[i].File)
	}
	canonical, err := json.Marshal(fleet) // fields in order of declaration, maps in order of keys
	if err != nil {
		panic(fmt.Sprintf("fleet configuration: %v", err)) // only a type that JSON cannot hold gets here
	}
	sum := sha256.Sum256(canonical)
	return hex.EncodeToString(sum[:8])
}

// asWritten returns a path as the file has it, which unlike the resolved one is the same on all machines.
func (c *Config) asWritten(path string) string {
	if w, ok := c.written[path]; ok {
		return w
	}
	return path
}
