package lab

import (
	"github.com/meridian-gtm/meridian/drill"
	"github.com/meridian-gtm/meridian/geo/mmdb/demodb"
)

// describe tells drills what there is: they speak to the lab as to any fleet, over DNS and HTTP.
func (l *Lab) describe() any {
	d := drill.Description{Name: Host, Pace: drill.Fast, Clients: DrillClients()}
	for _, k := range l.World.Kinds() {
		d.Kinds = append(d.Kinds, drill.Kind(k))
	}
	for _, m := range l.Members {
		d.Nodes = append(d.Nodes, drill.Place{Name: m.Name, Site: m.Site, DNS: m.DNS, API: m.APIAddr})
	}
	return d
}

// DrillClients are the networks of every city of the demo's databases.
func DrillClients() (clients []drill.Client) {
	for _, c := range demodb.Cities() {
		clients = append(clients,
			drill.Client{Prefix: c.V4, Label: c.Name, Weight: 1},
			drill.Client{Prefix: c.V6, Label: c.Name, Weight: 1},
			drill.Client{Prefix: c.Loopback, Label: c.Name, Weight: 1},
		)
	}
	return clients
}
