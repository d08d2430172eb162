package dnsserver

import (
	"container/list"
	"io"
	"net/netip"
	"sync"
)

// connTable knows the open connections and limits them.
type connTable struct {
	max          int
	maxPerClient int

	mu       sync.Mutex
	byClient map[netip.Addr]int
	quiet    list.List // *connSlot, those longest without an answer first
	stats    ConnStats
}

// connSlot is one connection's place in the table.
type connSlot struct {
	conn    io.Closer
	client  netip.Addr    // as a key
	known   bool          // client is
	element *list.Element // nil once the connection is counted out
}

func newConnTable(max, maxPerClient int) connTable {
	return connTable{max: max, maxPerClient: maxPerClient, byClient: map[netip.Addr]int{}}
}

// admit counts a connection in. When there are too many it closes, for the newcomer's sake, the one that has gone
// longest without an answer: it is idle, slow to ask, or slow to take what it asked for (RFC 7766 section 6.2.3). It
// returns nil when the client has too many of its own.
func (t *connTable) admit(client netip.Addr, conn io.Closer) *connSlot {
	slot := &connSlot{conn: conn}
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.assign(slot, client) {
		return nil
	}
	t.enter(slot)
	return slot
}

// admitUnknown counts a connection in whose client is not known yet: see identify.
func (t *connTable) admitUnknown(conn io.Closer) *connSlot {
	slot := &connSlot{conn: conn}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.enter(slot)
	return slot
}

// identify notes whose a connection is that was admitted as unknown. It reports false when the client has too many
// of its own.
func (t *connTable) identify(slot *connSlot, client netip.Addr) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if slot.element == nil {
		return false // it had to make room meanwhile
	}
	return t.assign(slot, client)
}

// assign gives a slot to a client that may have one more. It has mu held.
func (t *connTable) assign(slot *connSlot, client netip.Addr) bool {
	key := clientKey(client)
	if t.byClient[key] >= t.maxPerClient {
		t.stats.RejectedClient++
		return false
	}
	t.byClient[key]++
	slot.client, slot.known = key, true
	return true
}

// enter counts a slot in. It has mu held.
func (t *connTable) enter(slot *connSlot) {
	if t.stats.Open >= t.max {
		oldest := t.quiet.Front().Value.(*connSlot)
		oldest.conn.Close() // whoever serves it notices, and releases it in vain
		t.remove(oldest)
		t.stats.Displaced++
	}
	t.stats.Accepted++
	t.stats.Open++
	slot.element = t.quiet.PushBack(slot)
}

// touch notes that a connection is about to get an answer.
func (t *connTable) touch(slot *connSlot) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if slot.element != nil {
		t.quiet.MoveToBack(slot.element)
	}
}

// release counts a connection out.
func (t *connTable) release(slot *connSlot) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if slot.element != nil {
		t.remove(slot)
	}
}

// remove has mu held.
func (t *connTable) remove(slot *connSlot) {
	t.quiet.Remove(slot.element)
	slot.element = nil
	t.stats.Open--
	if !slot.known {
		return
	}
	if t.byClient[slot.client]--; t.byClient[slot.client] == 0 {
		delete(t.byClient, slot.client)
	}
}

// clientKey is what one client can change its address within: nothing for IPv4, a /64 for IPv6.
func clientKey(addr netip.Addr) netip.Addr {
	addr = addr.Unmap().WithZone("")
	if addr.Is6() {
		prefix, _ := addr.Prefix(64)
		return prefix.Addr()
	}
	return addr
}
