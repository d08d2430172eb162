package config_test

import (
	"fmt"

	"github.com/meridian-gtm/meridian/config"
)

// Every fault is reported at once, with its place and what was wanted.
func ExampleParse() {
	_, err := config.Parse("meridian.yaml", []byte(`
node: {name: eu-west-1, datacenter: eu-wset}
dns: {listen: ["127.0.0.1:5300"], udp_size: 100000}
datacenters: {eu-west: {lat: 50.11, lon: 8.68}}
sites: {eu-west: {datacenter: eu-west, vip: {v4: "2001:db8::2"}}}
services: {shop: {policy: {nearest: [eu-west]}, tll: {max: 30s}}}
zones: {shop.example: {file: shop.example.zone, steer: {www: shop}}}
`))
	fmt.Println(err)
	// Output:
	// meridian.yaml:2: node.datacenter: eu-wset: want the name of a datacenter (did you mean "eu-west"?)
	// meridian.yaml:3: dns.udp_size: 100000: want 512..4096
	// meridian.yaml:5: sites.eu-west.vip.v4: 2001:db8::2: want an IPv4 address of one host
	// meridian.yaml:6: services.shop.tll: unknown key: want all_down, checks, ecs, policy or ttl (did you mean "ttl"?)
}
