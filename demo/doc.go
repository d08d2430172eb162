// Package demo is a small multi-region shop that lives behind the traffic manager, so that anybody can lose a
// datacenter on a laptop and watch what clients get. It holds no code of its own:
//
//   - demo/shop: the shop: catalogue, carts, orders with idempotency keys, payments, events, on SQLite, PostgreSQL or
//     CockroachDB; pages with a badge that says which region, director, replica and database served them; the
//     invariants that prove that nothing was lost. cmd/shop runs it by itself;
//   - demo/world: the datacenters in one process: per site a VIP held by one of two directors, layer-4 forwarding to
//     two shop replicas, the network between the sites, and the faults that are injected into it;
//   - demo/traveler: a client in a city: it asks DNS as that city's resolver would;
//   - demo/screen: the live terminal view, and plain lines where there is no terminal;
//   - demo/lab: the world with a node of the traffic manager in every datacenter;
//   - demo/tour: the story that plays by itself and checks every step through DNS.
//
// Who imports whom: cmd/demo -> tour, screen -> lab -> world -> shop. lab alone imports the traffic manager, to start
// its nodes; the rest talks DNS and HTTP to it like any customer. Everything listens on loopback only.
package demo
