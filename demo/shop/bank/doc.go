// Package bank is a mock of somebody else's bank: a service outside of the shop's transactions, with a book and an
// idempotency of its own, that speaks fixed-width records over TCP as such services do.
//
// A payment is named by the shop. The bank enters it once, however often it is asked, and refuses the same name with
// another amount. A void takes a payment back; a void of a payment that never came keeps it from coming later, so that
// a shop that does not know whether its charge arrived can end the matter with one call.
//
// The book is what the shop's own ledger is compared with. [Book] and [Client] are safe for concurrent use.
package bank
