// Package lab has no code but its tests: the drills, on the containers of deploy/compose, with real directors, a real
// three-region PostgreSQL, and orders.
package lab
