// Package dnstap tells other programs what a DNS server was asked and answered, in the dnstap format: protocol buffers
// in Frame Streams, to a Unix socket or a file. For each query there is an AUTH_QUERY and, unless it met with silence,
// an AUTH_RESPONSE. The few fields of the format are written by hand.
package dnstap
