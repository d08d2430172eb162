package dnsserver

import (
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"slices"

	"github.com/meridian-gtm/meridian/dnsserver/proxyproto"
)

// proxies are the networks of front ends, who say at the beginning of every packet and connection whom they speak for
// (PROXY protocol, version 2). Nobody else may: who could, would choose what answers others get, and escape limits.
type proxies []netip.Prefix

// trust reports whether addr belongs to a front end.
func (p proxies) trust(addr netip.Addr) bool {
	if len(p) == 0 {
		return false
	}
	addr = addr.Unmap().WithZone("")
	return slices.ContainsFunc(p, func(network netip.Prefix) bool { return network.Contains(addr) })
}

// unwrap takes the header of a front end off a packet and returns the query and who asks. It reports whether the packet
// may be answered. The transport that a header names is that of the client, which the front end may have changed.
func (w *worker) unwrap(packet []byte, from netip.AddrPort) (query []byte, client netip.AddrPort, ok bool) {
	if len(w.proxies) == 0 {
		return packet, from, true
	}
	if !w.proxies.trust(from.Addr()) {
		if proxyproto.Begins(packet) {
			w.counters.bump(&w.counters.proxyUntrusted)
			return nil, from, false
		}
		return packet, from, true
	}
	h, size, err := proxyproto.Parse(packet)
	if err != nil {
		w.counters.bump(&w.counters.proxyMalformed)
		return nil, from, false
	}
	w.counters.bump(&w.counters.proxyAccepted)
	return packet[size:], proxyClient(&h, from), true
}

// readProxied reads the header of a front end's connection and returns who asks.
func readProxied(conn net.Conn, from netip.AddrPort, c *counters) (client netip.AddrPort, err error) {
	h, err := proxyproto.Read(conn)
	if err != nil {
		if err != io.EOF { // else it was a look whether somebody listens
			c.bump(&c.proxyMalformed)
		}
		return from, err
	}
	c.bump(&c.proxyAccepted)
	return proxyClient(&h, from), nil
}

// proxyClient returns whom a header of from speaks for.
func proxyClient(h *proxyproto.Header, from netip.AddrPort) netip.AddrPort {
	if h.Local {
		return from
	}
	return h.Source
}

// proxyPrefix is what a header is taken for in a stream of queries: the length of one.
var proxyPrefix = int(binary.BigEndian.Uint16([]byte(proxyproto.Signature)))
