// Package querylog writes a line of JSON for queries that a tap takes a sample of: who asked, cut to a network, what for,
// and what the answer was and why.
package querylog
