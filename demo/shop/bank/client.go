package bank

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"time"
)

// patience bounds a call whose caller set no deadline.
const patience = 3 * time.Second

// Client asks a bank. Every call is a connection of its own.
type Client struct {
	addr string
	dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// NewClient makes a client of the bank at addr, "host:port". dial is how it is reached; nil = directly.
func NewClient(addr string, dial func(ctx context.Context, network, addr string) (net.Conn, error)) *Client {
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	return &Client{addr, dial}
}

// Charge asks for a payment. The answer's Op is Done, Declined, Voided or Conflict. An error leaves open whether it
// happened; the same call again finds out.
func (c *Client) Charge(ctx context.Context, name, account string, amount int64, currency string) (Op, error) {
	answer, err := c.ask(ctx, Record{Op: Charge, Name: name, Account: account, Amount: amount, Currency: currency})
	if err == nil && answer.Op != Done && answer.Op != Declined && answer.Op != Voided && answer.Op != Conflict {
		err = fmt.Errorf("answer %q", answer.Op)
	}
	if err != nil {
		return "", fmt.Errorf("bank %s: charge %s: %w", c.addr, name, err)
	}
	return answer.Op, nil
}

// Void takes the payment of that name back, or keeps it from happening, and returns the amount that was given back.
func (c *Client) Void(ctx context.Context, name string) (amount int64, err error) {
	answer, err := c.ask(ctx, Record{Op: Void, Name: name})
	if err == nil && answer.Op != Done {
		err = fmt.Errorf("answer %q", answer.Op)
	}
	if err != nil {
		return 0, fmt.Errorf("bank %s: void %s: %w", c.addr, name, err)
	}
	return answer.Amount, nil
}

// Entries returns the bank's book, oldest first.
func (c *Client) Entries(ctx context.Context) (all []Entry, err error) {
	err = c.talk(ctx, Record{Op: Entries}, func(r Record) (more bool, err error) {
		switch r.Op {
		case Item:
			all = append(all, Entry{Name: r.Name, Account: r.Account, Amount: r.Amount, Time: time.UnixMilli(r.UnixMS)})
			return true, nil
		case End:
			return false, nil
		}
		return false, fmt.Errorf("answer %q", r.Op)
	})
	if err != nil {
		return nil, fmt.Errorf("bank %s: book: %w", c.addr, err)
	}
	return all, nil
}

func (c *Client) ask(ctx context.Context, req Record) (answer Record, err error) {
	err = c.talk(ctx, req, func(r Record) (bool, error) {
		answer = r
		return false, nil
	})
	return answer, err
}

// talk sends one request and hands out answers until each wants no more.
func (c *Client) talk(ctx context.Context, req Record, each func(Record) (more bool, err error)) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	conn, err := c.dial(ctx, "tcp", c.addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := send(conn, req); err != nil {
		return err
	}
	r := bufio.NewReader(conn)
	buf := make([]byte, recordSize)
	for more := true; more; {
		if _, err := io.ReadFull(r, buf); err != nil {
			return err
		}
		answer, err := decode(buf)
		if err != nil {
			return err
		}
		if more, err = each(answer); err != nil {
			return err
		}
	}
	return nil
}
