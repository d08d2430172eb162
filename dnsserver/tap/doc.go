// Package tap copies queries and their answers out of a DNS server for those who watch it.
//
// The server's goroutines hold a [Point] each. A point chooses the queries that any of the sinks wants, one of so many
// by a draw of its own for each sink, and copies them with their answers into a ring. One goroutine, [Tap.Run], takes
// them out and hands them to the sinks. A ring that is full loses the exchange, and counts it: an answer never waits
// for a sink. The rings are made once and take no lock; a server without a tap pays one comparison for each query, and
// one with a tap a subtraction for each that nobody wants.
package tap
