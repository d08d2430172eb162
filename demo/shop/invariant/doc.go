// Package invariant proves that a shop has lost nothing: it reads the shop's database, the bank's own book and the
// orders that clients were told of, and compares. A drill that ends without a violation has lost no order, doubled
// none and sold nothing twice, whatever was broken in between.
//
// A check may run while the shop works. What is on its way (an order whose payment is being made, an event that waits
// for the relay) is counted as open, and is a violation only when it has been waiting for too long.
package invariant
