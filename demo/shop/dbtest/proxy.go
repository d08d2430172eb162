package dbtest

import (
	"bytes"
	"context"
	"net"
	"net/url"
	"sync"
	"testing"
)

// Cut says at which moment a proxy ends the connection that commits.
type Cut int

// The moments.
const (
	Never  Cut = iota
	Before     // COMMIT is not passed on: the server never hears of it
	After      // COMMIT is passed on and answered; the answer is not passed on
	Both       // COMMIT is passed on and both ends are cut at once: nobody can know
)

// Proxy stands between a client and a PostgreSQL server, and cuts connections in the middle of COMMIT.
type Proxy struct {
	network, server string
	url             string
	lose            func()

	mu   sync.Mutex
	plan func() Cut
	cuts int
}

// NewProxy starts a proxy before the server of a URL that New returned, for the time of the test.
func NewProxy(t testing.TB, at string) *Proxy {
	t.Helper()
	u, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	query := u.Query()
	p := &Proxy{network: "tcp", server: u.Host, plan: func() Cut { return Never }}
	if dir := query.Get("host"); dir != "" {
		p.network, p.server = "unix", dir+"/.s.PGSQL.5432"
		query.Del("host")
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	query.Set("sslmode", "disable")
	u.Host, u.RawQuery = ln.Addr().String(), query.Encode()
	p.url = u.String()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			client, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { p.forward(ctx, client) })
		}
	})
	p.lose = func() {
		cancel()
		ln.Close()
	}
	t.Cleanup(func() {
		p.lose()
		wg.Wait()
	})
	return p
}

// Lose ends all connections and accepts no more.
func (p *Proxy) Lose() { p.lose() }

// URL is the database through the proxy.
func (p *Proxy) URL() string { return p.url }

// Plan sets what happens to every COMMIT from now on.
func (p *Proxy) Plan(plan func() Cut) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.plan = plan
}

// Once cuts the next COMMIT and no other.
func (p *Proxy) Once(c Cut) {
	done := false
	p.Plan(func() Cut {
		if done {
			return Never
		}
		done = true
		return c
	})
}

// Cuts is how often a connection was cut.
func (p *Proxy) Cuts() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cuts
}

// commits are the messages that end a transaction: a simple query (Q, its length, text, zero) of pgx's, and what
// cockroach-go sends.
var commits = [][]byte{
	[]byte("Q\x00\x00\x00\x0bcommit\x00"),
	[]byte("Q\x00\x00\x00\x28RELEASE SAVEPOINT cockroach_restart\x00"),
}

func (p *Proxy) next(message []byte) Cut {
	isCommit := false
	for _, c := range commits {
		isCommit = isCommit || bytes.Contains(message, c)
	}
	if !isCommit {
		return Never
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.plan()
	if c != Never {
		p.cuts++
	}
	return c
}

// forward is one connection. A message of a client that waits for its answer comes in one piece.
func (p *Proxy) forward(ctx context.Context, client net.Conn) {
	defer client.Close()
	server, err := new(net.Dialer).DialContext(ctx, p.network, p.server)
	if err != nil {
		return
	}
	defer server.Close()
	stop := context.AfterFunc(ctx, func() {
		client.Close()
		server.Close()
	})
	defer stop()
	mute := make(chan struct{}) // closed: nothing more goes to the client
	back := make(chan struct{}) // closed: the server's end is over, or it answered what is kept from the client
	go func() {
		defer close(back)
		buf := make([]byte, 64<<10)
		for {
			n, err := server.Read(buf)
			select {
			case <-mute:
				return
			default:
			}
			if err != nil {
				client.Close()
				return
			}
			if _, err := client.Write(buf[:n]); err != nil {
				return
			}
		}
	}()
	buf := make([]byte, 64<<10)
	for {
		n, err := client.Read(buf)
		if err != nil {
			break
		}
		switch cut := p.next(buf[:n]); cut {
		case Before:
			return
		case After, Both:
			close(mute)
			server.Write(buf[:n])
			if cut == After {
				<-back
			}
			return
		}
		if _, err := server.Write(buf[:n]); err != nil {
			break
		}
	}
	client.Close()
	server.Close()
	<-back
}
