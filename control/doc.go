// Package control is how people and scripts speak to a running node: an HTTP API, a client for it, and the types both
// share. The CLI, the demo and tests use the same client.
//
// The API listens on loopback only. Reading changes nothing; a change needs a JSON body, so that a web page in an
// operator's browser cannot make one, names who and why, can be previewed, and is refused when it would leave a pool
// without an available site, unless it is forced. The package knows nothing of how a node works: it calls a
// [Backend].
package control
