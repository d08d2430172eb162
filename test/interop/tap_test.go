package interop

import (
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"

	"github.com/miekg/dns"
)

// tap stands before a server and notes the questions that come over UDP as they were spelled. It passes on datagrams
// and connections as they are.
type tap struct {
	mu        sync.Mutex
	questions []dns.Question
	conns     int // TCP
}

func newTap(t *testing.T, at, server netip.AddrPort) *tap {
	t.Helper()
	tap := &tap{}
	front, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", at.String())
	if err != nil {
		front.Close()
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() { tap.passDatagrams(front, server) })
	running.Go(func() { tap.passConns(listener, server) })
	t.Cleanup(func() {
		front.Close()
		listener.Close()
		running.Wait()
	})
	return tap
}

// passDatagrams gives every query a socket of its own for as long as its answer takes: there is little to pass.
func (tap *tap) passDatagrams(front *net.UDPConn, server netip.AddrPort) {
	for {
		buf := make([]byte, 65535)
		n, client, err := front.ReadFromUDPAddrPort(buf)
		if err != nil {
			return // closed
		}
		var m dns.Msg
		if m.Unpack(buf[:n]) == nil {
			tap.note(m.Question)
		}
		back, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(server))
		if err != nil {
			continue // the client asks again
		}
		go func() {
			defer back.Close()
			_ = back.SetDeadline(deadline())
			if _, err := back.Write(buf[:n]); err != nil {
				return
			}
			if n, err := back.Read(buf); err == nil {
				_, _ = front.WriteToUDPAddrPort(buf[:n], client)
			}
		}()
	}
}

func (tap *tap) passConns(listener net.Listener, server netip.AddrPort) {
	for {
		client, err := listener.Accept()
		if err != nil {
			return // closed
		}
		tap.mu.Lock()
		tap.conns++
		tap.mu.Unlock()
		back, err := net.Dial("tcp", server.String())
		if err != nil {
			client.Close()
			continue
		}
		_ = client.SetDeadline(deadline())
		_ = back.SetDeadline(deadline())
		go func() {
			_, _ = io.Copy(back, client)
			_ = back.(*net.TCPConn).CloseWrite()
		}()
		go func() {
			_, _ = io.Copy(client, back)
			client.Close()
			back.Close()
		}()
	}
}

func (tap *tap) note(questions []dns.Question) {
	tap.mu.Lock()
	defer tap.mu.Unlock()
	tap.questions = append(tap.questions, questions...)
}

// noted returns the names asked so far, as they were spelled, and how many connections there were.
func (tap *tap) noted() (names []string, conns int) {
	tap.mu.Lock()
	defer tap.mu.Unlock()
	for _, q := range tap.questions {
		names = append(names, q.Name)
	}
	return names, tap.conns
}
