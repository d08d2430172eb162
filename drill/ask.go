package drill

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// A question that is not answered is asked again, as resolvers do: UDP loses packets, and a lost packet is not a node
// that does not answer. After patience it counts as unanswered.
const (
	askAgain = 800 * time.Millisecond
	patience = 2800 * time.Millisecond
)

// asker asks one node for all clients, round after round, without waiting for one answer before the next question.
type asker struct {
	server  netip.AddrPort
	name    string
	clients []Client
	siteOf  func(netip.Addr) string
	// note is called for every question with its answer, and is not called at the same time twice.
	note func(client int, at time.Time, a Answer)

	mu      sync.Mutex
	pending map[uint16]question
	next    uint16
}

// question is one that waits for its answer.
type question struct {
	client int
	first  time.Time // sent
	sent   time.Time // last
}

// run asks a round every so often until ctx ends.
func (a *asker) run(ctx context.Context, every time.Duration) error {
	a.pending = map[uint16]question{}
	templates, err := a.templates()
	if err != nil {
		return err
	}
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(a.server))
	if err != nil {
		return fmt.Errorf("ask %s: %w", a.server, err)
	}
	defer conn.Close()
	heard := make(chan struct{})
	go func() {
		defer close(heard)
		a.hear(ctx, conn)
	}()
	defer func() {
		conn.Close()
		<-heard
	}()
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		for i := range templates {
			a.mu.Lock()
			a.next++
			id, now := a.next, time.Now()
			a.pending[id] = question{i, now, now}
			a.mu.Unlock()
			send(conn, templates[i], id)
		}
		for id, client := range a.late(time.Now()) {
			send(conn, templates[client], id)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// send asks one question. A dead node's socket refuses what was sent before: it is the pending table that counts what
// is lost.
func send(conn *net.UDPConn, template []byte, id uint16) {
	binary.BigEndian.PutUint16(template, id)
	_, _ = conn.Write(template)
}

// templates packs the question of each client; the ID comes when it is sent.
func (a *asker) templates() ([][]byte, error) {
	var all [][]byte
	for _, c := range a.clients {
		q := new(dns.Msg).SetQuestion(dns.Fqdn(a.name), dns.TypeA)
		q.SetEdns0(1232, false)
		subnet := &dns.EDNS0_SUBNET{
			Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: uint8(c.Prefix.Bits()), Address: net.IP(c.Prefix.Addr().AsSlice()),
		}
		if c.Prefix.Addr().Is6() {
			subnet.Family = 2
		}
		q.IsEdns0().Option = append(q.IsEdns0().Option, subnet)
		b, err := q.Pack()
		if err != nil {
			return nil, fmt.Errorf("question for %s: %w", c.Prefix, err)
		}
		all = append(all, b)
	}
	return all, nil
}

// hear takes answers until the socket is closed.
func (a *asker) hear(ctx context.Context, conn *net.UDPConn) {
	buf := make([]byte, 4096)
	for {
		n, err := conn.Read(buf)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			if opErr, ok := err.(*net.OpError); ok && opErr.Err.Error() == net.ErrClosed.Error() {
				return
			}
			// Refused: the node is not there now.
			select {
			case <-ctx.Done():
				return
			case <-time.After(time.Millisecond):
			}
			continue
		}
		now := time.Now()
		var m dns.Msg
		if m.Unpack(buf[:n]) != nil || !m.Response {
			continue
		}
		a.mu.Lock()
		q, ok := a.pending[m.Id]
		delete(a.pending, m.Id)
		if ok {
			a.note(q.client, now, a.read(&m))
		}
		a.mu.Unlock()
	}
}

// late counts what was not answered in time and returns the questions to ask again, with their clients.
func (a *asker) late(now time.Time) (again map[uint16]int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for id, q := range a.pending {
		switch {
		case now.Sub(q.first) > patience:
			delete(a.pending, id)
			a.note(q.client, now, Answer{Fault: Unanswered})
		case now.Sub(q.sent) > askAgain:
			if again == nil {
				again = map[uint16]int{}
			}
			again[id], q.sent = q.client, now
			a.pending[id] = q
		}
	}
	return again
}

// read makes an answer of a message.
func (a *asker) read(m *dns.Msg) Answer {
	switch m.Rcode {
	case dns.RcodeSuccess:
	case dns.RcodeNameError:
		return Answer{Fault: NXDomain}
	case dns.RcodeServerFailure:
		return Answer{Fault: ServFail}
	default:
		return Answer{Fault: OtherRcode}
	}
	out := Answer{Fault: Empty}
	for _, rr := range m.Answer {
		record, ok := rr.(*dns.A)
		if !ok {
			continue
		}
		addr, ok := netip.AddrFromSlice(record.A)
		if !ok {
			continue
		}
		if ttl := record.Hdr.Ttl; out.Fault != Good || ttl < out.TTL {
			out.TTL = ttl
		}
		out.Fault = Good
		name := a.siteOf(addr.Unmap())
		if name == "" {
			name = addr.Unmap().String()
		}
		if !slices.Contains(out.Sites, name) {
			out.Sites = append(out.Sites, name)
		}
	}
	slices.Sort(out.Sites)
	return out
}
