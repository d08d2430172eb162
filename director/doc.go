// Package director writes the configuration of the two machines that share a site's VIPs: keepalived's for VRRP, and
// for IPVS or, where the kernel has none, haproxy's. It is pure: a checked configuration in, text out, the same text
// for the same input. Names, addresses and ports are said once, in meridian.yaml, and are those that nodes probe.
package director
