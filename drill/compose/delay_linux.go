package compose

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// mostWaiting bounds what waits on one connection for its time to come.
const mostWaiting = 64

// Delay takes the connections that a packet filter redirects to listen and passes them on to where they were meant to go;
// what clients send gets there late by as much as d. It returns nil when ctx ends.
func Delay(ctx context.Context, listen net.Listener, d time.Duration) error {
	stop := context.AfterFunc(ctx, func() { listen.Close() })
	defer stop()
	var group sync.WaitGroup
	defer group.Wait()
	for {
		conn, err := listen.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		group.Go(func() {
			client := conn.(*net.TCPConn)
			defer client.Close()
			// What was meant for this port was not redirected, and would come here for ever.
			if to, err := meant(client); err == nil && to.Port() != listen.Addr().(*net.TCPAddr).AddrPort().Port() {
				pass(ctx, client, to, d)
			}
		})
	}
}

// meant returns where a redirected connection was going.
func meant(conn *net.TCPConn) (to netip.AddrPort, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return to, err
	}
	var fault error
	err = raw.Control(func(fd uintptr) {
		// The kernel writes a sockaddr_in; this is a struct of the standard interface that is long enough for it.
		var r *unix.IPv6Mreq
		if r, fault = unix.GetsockoptIPv6Mreq(int(fd), unix.SOL_IP, unix.SO_ORIGINAL_DST); fault == nil {
			b := r.Multiaddr
			to = netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[4:8])), uint16(b[2])<<8|uint16(b[3]))
		}
	})
	if err = errors.Join(err, fault); err != nil {
		return to, fmt.Errorf("original destination: %w", err)
	}
	return to, nil
}

// pass carries one connection.
func pass(ctx context.Context, client *net.TCPConn, to netip.AddrPort, d time.Duration) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", to.String())
	if err != nil {
		return // the client sees the connection end
	}
	server := conn.(*net.TCPConn)
	defer server.Close()
	stop := context.AfterFunc(ctx, func() { client.Close(); server.Close() })
	defer stop()
	back := make(chan struct{})
	go func() {
		defer close(back)
		_, _ = io.Copy(client, server) // an end of either is an end of both
		_ = client.CloseWrite()
	}()
	type parcel struct {
		due  time.Time
		data []byte
	}
	waiting := make(chan parcel, mostWaiting)
	go func() {
		defer close(waiting)
		for {
			b := make([]byte, 16<<10)
			n, err := client.Read(b)
			if n > 0 {
				waiting <- parcel{time.Now().Add(d), b[:n]}
			}
			if err != nil {
				return
			}
		}
	}()
	broken := false
	for p := range waiting {
		if broken {
			continue
		}
		time.Sleep(time.Until(p.due))
		if _, err := server.Write(p.data); err != nil {
			broken = true
			client.Close()
		}
	}
	_ = server.CloseWrite()
	<-back
}
