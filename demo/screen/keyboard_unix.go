//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package screen

import (
	"context"
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// readKeys passes on what is typed until ctx ends or the keyboard is gone. It never blocks in read: nothing could
// end that, and the terminal is to be given back with nobody reading from it.
func readKeys(ctx context.Context, in *os.File, keys chan<- []byte) {
	fd := int(in.Fd())
	for ctx.Err() == nil {
		var set unix.FdSet
		set.Set(fd)
		patience := unix.NsecToTimeval(int64(50e6))
		n, err := unix.Select(fd+1, &set, nil, nil, &patience)
		if errors.Is(err, unix.EINTR) || err == nil && n == 0 {
			continue
		}
		if err != nil {
			return
		}
		b := make([]byte, 64)
		if n, err = unix.Read(fd, b); errors.Is(err, unix.EINTR) || errors.Is(err, unix.EAGAIN) {
			continue
		}
		if err != nil || n <= 0 {
			return
		}
		select {
		case keys <- b[:n]:
		case <-ctx.Done():
		}
	}
}
