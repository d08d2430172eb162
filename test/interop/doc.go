// Package interop holds Meridian against other people's programs: clients (dig, kdig, drill, delv) ask it, and
// resolvers (unbound, named) answer from it, with QNAME minimisation, random case and client subnets. It has tests
// only. A test whose program is missing is skipped and says so; `go run ./ci` installs what it can.
package interop
