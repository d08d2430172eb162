//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package screen

import (
	"context"
	"os"
)

// readKeys passes on what is typed until ctx ends or the keyboard is gone. The goroutine that reads ends with the
// next key or with the process: here nothing can end a read.
func readKeys(ctx context.Context, in *os.File, keys chan<- []byte) {
	typed := make(chan []byte)
	go func() {
		defer close(typed)
		for {
			b := make([]byte, 64)
			n, err := in.Read(b)
			if err != nil {
				return
			}
			select {
			case typed <- b[:n]:
			case <-ctx.Done():
				return
			}
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return
		case b, ok := <-typed:
			if !ok {
				return
			}
			select {
			case keys <- b:
			case <-ctx.Done():
			}
		}
	}
}
