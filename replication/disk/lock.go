package disk

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// ErrInUse is wrapped by [Open] when another process has the data directory open.
var ErrInUse = errors.New("in use by another process")

// acquire locks the directory for this process. The kernel drops the lock with the process, so that a crash leaves
// nothing to clean up; the file stays, because removing it would let two processes lock two files.
func acquire(dir string) (*os.File, error) {
	path := filepath.Join(dir, "lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		// A lock file on a file system that has become read-only can still be locked.
		var readErr error
		if f, readErr = os.Open(path); readErr != nil {
			return nil, err
		}
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer f.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("flock %s: %w", path, err)
		}
		if b, _ := io.ReadAll(io.LimitReader(f, 32)); len(b) > 0 {
			return nil, fmt.Errorf("%w, process id %s", ErrInUse, strings.TrimSpace(string(b)))
		}
		return nil, ErrInUse
	}
	// The process id only makes another's error clearer; failing to write it, on a full disk, is no fault.
	if f.Truncate(0) == nil {
		_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	return f, nil
}
