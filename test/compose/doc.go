// Package compose checks deploy/compose without an engine, with the library that Docker Compose itself reads the file
// with: how every container is confined, that addresses and ports fit, and that what prepare writes for the nodes,
// directors, proxies and databases is about the same world. It is a module of its own because nothing else needs that
// library.
package compose
