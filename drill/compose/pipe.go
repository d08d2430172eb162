package compose

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/meridian-gtm/meridian/control"
)

// api returns a client of the node in a container. Its API listens on the container's loopback, so each connection is a
// `meridian pipe` inside.
func (d docker) api(p part) *control.Client {
	return control.NewClientOver(p.name, func(context.Context) (net.Conn, error) {
		near, far := net.Pipe()
		c := &pipe{Conn: near}
		cmd := d.command(context.Background(), "exec", "--interactive", p.id, p.program, "pipe")
		cmd.Stdout, cmd.Stderr, cmd.WaitDelay = far, &c.errs, time.Second
		in, err := cmd.StdinPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			return nil, errors.Join(err, near.Close(), far.Close())
		}
		go func() {
			_, _ = io.Copy(in, far) // a program that has ended reads no more
			_ = in.Close()
		}()
		go func() {
			if err := cmd.Wait(); err != nil {
				c.end(complaint(err, c.errs.String()))
			}
			_ = far.Close() // never fails; the near end reads the end of the connection
		}()
		return c, nil
	})
}

// pipe is a connection through a program, which says why it has ended.
type pipe struct {
	net.Conn
	errs bytes.Buffer // until the program has ended

	mu    sync.Mutex
	fault error
}

func (c *pipe) end(why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fault = why
}

// Read implements net.Conn.
func (c *pipe) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if errors.Is(err, io.EOF) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.fault != nil {
			err = c.fault
		}
	}
	return n, err
}
