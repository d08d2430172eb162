//go:build linux

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"
)

// checked is how many client subnets are asked for before a server is measured.
const checked = 100

// check asks a server what it will be measured with. What answers wrong, or not at all, answers fast.
func (w *world) check(server netip.AddrPort, sets []string) error {
	conn, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(server))
	if err != nil {
		return err
	}
	defer conn.Close()
	const noError, nxDomain = 0, 3
	want := []netip.Addr{addrFrom(0xc000020a), addrFrom(0xc000020b), addrFrom(0xc000020c)}
	errs := []error{expect(conn, query("www.example.com", 1, netip.Addr{}), noError, want)}
	if slices.Contains(sets, "mix") {
		errs = append(errs,
			expect(conn, query("www.example.com", 28, netip.Addr{}), noError, nil),
			expect(conn, query("n00001.example.com", 1, netip.Addr{}), nxDomain, nil),
			expect(conn, query("h00001.wild.example.com", 1, netip.Addr{}), noError, []netip.Addr{addrFrom(0xc0000214)}))
	}
	if slices.Contains(sets, "ecs") {
		queries := w.sets["ecs"]
		for i := range checked {
			q := queries[i*len(queries)/checked]
			client := netip.AddrFrom4([4]byte{q[len(q)-3], q[len(q)-2], q[len(q)-1], 0})
			region, _ := w.region(client) // the first, if none
			addrs := regionAddrs(region)
			errs = append(errs, expect(conn, q, noError, addrs[:]))
		}
	}
	return errors.Join(errs...)
}

// expect asks one query and compares response code and addresses, in any order.
func expect(conn net.Conn, q []byte, rcode byte, want []netip.Addr) error {
	answer, err := ask(conn, q)
	if err != nil {
		return err
	}
	got, err := addresses(answer)
	slices.SortFunc(got, netip.Addr.Compare)
	if err != nil || answer[3]&0xf != rcode || !slices.Equal(got, want) {
		return fmt.Errorf("query %x: response code %d, addresses %v, %v: want %d, %v", q, answer[3]&0xf, got, err, rcode, want)
	}
	return nil
}

// ask sends one query and waits a second for the answer.
func ask(conn net.Conn, q []byte) ([]byte, error) {
	if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return nil, err
	}
	if _, err := conn.Write(q); err != nil {
		return nil, err
	}
	answer := make([]byte, 4096)
	n, err := conn.Read(answer)
	if err != nil {
		return nil, err
	}
	if n < 12 || answer[2]&0x80 == 0 {
		return nil, fmt.Errorf("answer %x: want a DNS answer", answer[:n])
	}
	return answer[:n], nil
}

// addresses returns the A records in the answer section.
func addresses(answer []byte) (list []netip.Addr, err error) {
	malformed := fmt.Errorf("answer %x: malformed", answer)
	at := 12
	if binary.BigEndian.Uint16(answer[4:]) > 0 {
		if at = nameEnd(answer, at) + 4; at > len(answer) {
			return nil, malformed
		}
	}
	for range binary.BigEndian.Uint16(answer[6:]) {
		at = nameEnd(answer, at)
		if at+10 > len(answer) {
			return nil, malformed
		}
		rrtype, size := binary.BigEndian.Uint16(answer[at:]), int(binary.BigEndian.Uint16(answer[at+8:]))
		at += 10
		if at+size > len(answer) {
			return nil, malformed
		}
		if rrtype == 1 && size == 4 {
			list = append(list, netip.AddrFrom4([4]byte(answer[at:])))
		}
		at += size
	}
	return list, nil
}

// nameEnd returns where a name ends, beyond the message if it is cut.
func nameEnd(message []byte, at int) int {
	for at < len(message) {
		switch label := int(message[at]); {
		case label == 0:
			return at + 1
		case label >= 0xc0:
			return at + 2
		default:
			at += 1 + label
		}
	}
	return at + 1
}
