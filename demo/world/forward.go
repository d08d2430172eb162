package world

import (
	"context"
	"io"
	"net"
	"time"
)

const (
	// backendPatience is how long a director tries to connect to one replica before it tries the next.
	backendPatience = time.Second
	// halfClosePatience is how long one direction may go on after the other has ended.
	halfClosePatience = 30 * time.Second
)

// forward takes a client's connection over and returns at once.
func (d *director) forward(client net.Conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		reset(client)
		return
	}
	d.conns[client] = struct{}{}
	d.wg.Go(func() {
		defer func() {
			client.Close()
			d.mu.Lock()
			delete(d.conns, client)
			d.mu.Unlock()
		}()
		d.carry(client)
	})
}

// carry connects a client with a replica. A client that no replica takes is reset: the VIP answers for the site, and
// the site has nothing.
func (d *director) carry(client net.Conn) {
	var tried []int
	for {
		d.mu.Lock()
		i, ok := d.pool.pick(tried)
		d.mu.Unlock()
		if !ok {
			reset(client)
			return
		}
		tried = append(tried, i)
		ctx, cancel := context.WithTimeout(d.carrying, backendPatience)
		replica, err := d.dial(ctx, "tcp", d.replicas[i].addr)
		cancel()
		if err == nil {
			h := proxiedHeader(addrPort(client.RemoteAddr()), addrPort(client.LocalAddr()), d.name)
			if _, err = replica.Write(h.Append(nil)); err == nil {
				d.pipe(client, replica)
			}
			replica.Close()
		}
		d.mu.Lock()
		d.pool.done(i)
		d.mu.Unlock()
		if err == nil {
			return
		}
	}
}

// pipe copies both ways until both directions have ended or one has failed.
func (d *director) pipe(client, replica net.Conn) {
	up := make(chan error, 1)
	go func() { up <- d.copyUp(replica, client) }()
	_, down := io.Copy(client, replica)
	endDirection(client, replica, down)
	if down == nil {
		client.SetReadDeadline(time.Now().Add(halfClosePatience))
	}
	<-up
}

// copyUp carries what the client sends, after what the border of the site does to it.
func (d *director) copyUp(replica, client net.Conn) (err error) {
	defer func() { endDirection(replica, client, err) }()
	buf := make([]byte, 16<<10)
	for {
		n, err := client.Read(buf)
		if n > 0 {
			if err := pause(d.carrying, d.network.hold(d.site)); err != nil {
				return err
			}
			if _, err := replica.Write(buf[:n]); err != nil {
				return err
			}
		}
		if err == io.EOF {
			replica.SetReadDeadline(time.Now().Add(halfClosePatience))
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// endDirection passes on the end of what src sent: an orderly one closes the half towards dst, a failure ends both.
func endDirection(dst, src net.Conn, err error) {
	if err != nil {
		reset(dst)
		reset(src)
		return
	}
	if t, ok := dst.(*net.TCPConn); ok {
		t.CloseWrite()
	}
}

// reset closes a connection so that the other side sees that it was not meant to end.
func reset(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		t.SetLinger(0)
	}
	c.Close()
}
