package dnstap

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/meridian-gtm/meridian/dnsserver/tap"
)

// Options of an [Output].
type Options struct {
	Socket string // path of a Unix socket that somebody listens on; this or File
	// File is written from its beginning, and is whole when the output ends or opens it again. What is there already is
	// moved aside: to its name and the time of its last change.
	File     string
	Identity string // of this server; "" = none is told
	Version  string // of its software, likewise
	Logger   *slog.Logger
}

// Output is a sink of a tap.
type Output struct {
	*tap.Outlet
	encoder *encoder
	file    bool
}

var _ tap.Runner = (*Output)(nil)

// New returns an output that opens nothing until it runs.
func New(o Options) (*Output, error) {
	if (o.Socket == "") == (o.File == "") {
		return nil, errors.New("dnstap: want a socket or a file")
	}
	name, open := o.Socket, func(ctx context.Context) (io.WriteCloser, error) { return dial(ctx, o.Socket) }
	if o.File != "" {
		name, open = o.File, func(context.Context) (io.WriteCloser, error) { return create(o.File) }
	}
	return &Output{Outlet: tap.NewOutlet(name, open, o.Logger), encoder: newEncoder(o.Identity, o.Version), file: o.File != ""}, nil
}

// Reopen ends a file and begins another. A socket stays as it is.
func (o *Output) Reopen() {
	if o.file {
		o.Outlet.Reopen()
	}
}

// Take implements [tap.Sink].
func (o *Output) Take(x *tap.Exchange) { o.Add(o.encoder.encode(x)) }

// socketWithin bounds every step of a reader on the other side: its handshake, one write, its goodbye.
const socketWithin = 2 * time.Second

// socket is a connection to a reader.
type socket struct{ *net.UnixConn }

// dial connects and shakes hands: READY, ACCEPT, START.
func dial(ctx context.Context, path string) (_ *socket, err error) {
	d := net.Dialer{Timeout: socketWithin}
	c, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	conn := c.(*net.UnixConn)
	defer func() {
		if err != nil {
			conn.Close()
			err = fmt.Errorf("dnstap: %s: %w", path, err)
		}
	}()
	if err := conn.SetDeadline(time.Now().Add(socketWithin)); err != nil {
		return nil, err
	}
	if _, err := conn.Write(appendControl(nil, ready)); err != nil {
		return nil, err
	}
	if err := expect(conn, accept); err != nil {
		return nil, err
	}
	if _, err := conn.Write(appendControl(nil, start)); err != nil {
		return nil, err
	}
	return &socket{conn}, nil
}

// Write gives the reader a limited time.
func (s *socket) Write(b []byte) (int, error) {
	if err := s.SetWriteDeadline(time.Now().Add(socketWithin)); err != nil {
		return 0, err
	}
	return s.UnixConn.Write(b)
}

// Close says STOP and waits for FINISH, for a limited time.
func (s *socket) Close() error {
	err := s.SetDeadline(time.Now().Add(socketWithin))
	if err == nil {
		_, err = s.UnixConn.Write(appendControl(nil, stop))
	}
	if err == nil {
		err = expect(s.UnixConn, finish)
	}
	return errors.Join(err, s.UnixConn.Close())
}

// file is a stream in a file.
type file struct{ *os.File }

// create begins a file. Only the user of this process and its group may read it: it tells who asked what.
func create(path string) (*file, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	case info.Mode().IsRegular() && info.Size() > 0:
		if err := os.Rename(path, path+"."+info.ModTime().UTC().Format("20060102T150405.000Z")); err != nil {
			return nil, err
		}
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return nil, err
	}
	if _, err := f.Write(appendControl(nil, start)); err != nil {
		return nil, errors.Join(err, f.Close(), os.Truncate(path, 0))
	}
	return &file{f}, nil
}

// Close ends the stream.
func (f *file) Close() error {
	_, err := f.Write(appendControl(nil, stop))
	return errors.Join(err, f.File.Close())
}
