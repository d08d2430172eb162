// Package load is the customers: it orders at a steady rate, goes to another region when one does not answer, and
// sends an order that it is not sure of again with the same key, as a browser does.
//
// Every order that the shop acknowledged is written to a log that is on the disk before the next thing happens. The
// log is the other half of the proof that nothing was lost: the shop's own database cannot know what it forgot. Keep it
// outside of the region that will fail.
package load
