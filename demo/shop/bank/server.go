package bank

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"
)

// idle is how long a connection may be silent.
const idle = time.Minute

// Serve answers on ln until ctx ends, which closes it. It returns nil, or what ended it before.
func Serve(ctx context.Context, ln net.Listener, book *Book, log *slog.Logger) error {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { ln.Close() })
	defer stop()
	for {
		conn, err := ln.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		wg.Go(func() {
			stop := context.AfterFunc(ctx, func() { conn.Close() })
			defer stop()
			defer conn.Close()
			if err := talk(conn, book); err != nil && ctx.Err() == nil {
				log.Debug("bank connection", "from", conn.RemoteAddr(), "err", err)
			}
		})
	}
}

// talk answers one connection until it ends.
func talk(conn net.Conn, book *Book) error {
	buf := make([]byte, recordSize)
	for {
		conn.SetDeadline(time.Now().Add(idle))
		if _, err := io.ReadFull(conn, buf); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		req, err := decode(buf)
		if err != nil {
			// Without the start of the next record nothing more can be understood.
			return errors.Join(err, send(conn, Record{Op: Invalid}))
		}
		if req.Op == Entries {
			if err := sendBook(conn, book); err != nil {
				return err
			}
			continue
		}
		answer, err := book.Do(req, time.Now())
		if err != nil {
			return err // no answer: the client asks again
		}
		if err := send(conn, answer); err != nil {
			return err
		}
	}
}

func sendBook(conn net.Conn, book *Book) error {
	for _, e := range book.Entries() {
		err := send(conn, Record{Op: Item, Name: e.Name, Account: e.Account, Amount: e.Amount, UnixMS: e.Time.UnixMilli()})
		if err != nil {
			return err
		}
	}
	return send(conn, Record{Op: End})
}

func send(w io.Writer, r Record) error {
	b, err := r.encode()
	if err != nil {
		return err
	}
	_, err = w.Write(b)
	return err
}
