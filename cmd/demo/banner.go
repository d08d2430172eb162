package main

import (
	"fmt"
	"io"
	"net/netip"

	"github.com/meridian-gtm/meridian/demo/lab"
)

// banner says where everything is, in lines that can be pasted.
func banner(w io.Writer, l *lab.Lab) {
	fmt.Fprintf(w, "Three datacenters run in this process, each with a DNS node. Shop from any city, in a browser:\n\n")
	fmt.Fprintf(w, "  http://%s/   # the cities, and where each is sent\n", l.TravelerAddr())
	for _, c := range l.Travel().Cities {
		fmt.Fprintf(w, "  http://%s.localhost:%d/   # %s\n", c.Name(), l.TravelerAddr().Port(), c.Title)
	}
	fmt.Fprintf(w, "\nAsk DNS as a client of any city:\n\n")
	for _, c := range l.Clients {
		fmt.Fprintf(w, "  %s   # %s\n", digLine(l.Any, lab.Host, c.Prefix), c.City)
	}
	fmt.Fprintf(w, "\nBreak something, from another terminal:\n\n")
	fmt.Fprintf(w, "  go run ./cmd/demo fault lose eu-west --for 60s\n")
	fmt.Fprintf(w, "  go run ./cmd/meridian status%s\n", apiFlag(l))
	fmt.Fprintf(w, "  go run ./cmd/meridian explain %s --client %s%s\n\n", lab.Host, l.Clients[1].Prefix, apiFlag(l))
	for _, m := range l.Members {
		_, vip, _ := l.World.VIP(m.Site)
		fmt.Fprintf(w, "  %-9s  DNS %s  shop http://%s  API http://%s\n", m.Site, m.DNS, vip, m.APIAddr)
	}
	fmt.Fprintf(w, "  %-9s  DNS %s (the node of %s)\n\n", "any", l.Any, l.Members[0].Site)
	for _, note := range l.Notes {
		fmt.Fprintf(w, "  note: %s\n", note)
	}
}

// digLine is a dig command that asks server as a client in a network would.
func digLine(server netip.AddrPort, name string, from netip.Prefix) string {
	return fmt.Sprintf("dig @%s -p %d %s +subnet=%s", server.Addr(), server.Port(), name, from)
}

// apiFlag is what the meridian command needs to find the first node, when it is not where it looks by itself.
func apiFlag(l *lab.Lab) string {
	if api := l.Members[0].APIAddr.String(); api != "127.0.0.1:8053" {
		return " --api " + api
	}
	return ""
}
