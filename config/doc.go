// Package config reads meridian.yaml into the types of the pure packages.
//
// Reading and validating are one pass over the YAML nodes, so every fault is reported at once, each with its file,
// line, path, value and what was wanted. A [Config] that is returned without error needs no further checking:
// every name it mentions exists, every number is in range, every address is of its family.
//
// The sections node, dns, gossip and api belong to one machine. All others are the same on every node of a fleet;
// [Config.FleetHash] is their digest. What the files named in the configuration hold (zones, databases, CIDR map) is
// not read here but by [Check], which backs "meridian check".
//
// docs/configuration.md is the reference of every key; a test holds it and this package to each other.
package config
