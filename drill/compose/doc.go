// Package compose is the world of drills on containers: those of a Compose project, on the engine that the docker command
// line of this machine speaks to. It drives nothing but that command line.
//
// Containers say by their labels what they are: meridian.region names their site, meridian.role is dns, director, proxy,
// shop, db or etcd. What a drill asks for is on every dns container: meridian.name, the DNS name; meridian.pace, default or
// fast; meridian.clients, networks and what to call them, "192.0.2.0/26 New York; 198.51.100.0/26 Frankfurt".
//
// No fault outlives its time, whatever becomes of the drill. What is cut is an element of a set in the kernel that expires
// by itself: packet filters stay in place and match nothing any more. What is killed or paused is brought back by a process of
// its own that the drill leaves behind.
package compose
