package lab

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"syscall"
)

// pageSize is the room of a full disk, in octets: the least that a tmpfs can have.
const pageSize = 4096

// canFillDisk says that this process may mount: a disk that is really full needs a file system of its own.
func canFillDisk() bool {
	dir, err := os.MkdirTemp("", "meridian-mount-")
	if err != nil {
		return false
	}
	defer os.Remove(dir)
	if os.Geteuid() != 0 || syscall.Mount("none", dir, "tmpfs", 0, "size=4k") != nil {
		return false
	}
	return syscall.Unmount(dir, 0) == nil
}

// fillDisk puts a file system without room over a directory. What is open in the directory stays as it is.
func fillDisk(dir string) error {
	if err := syscall.Mount("none", dir, "tmpfs", 0, "size=4k,mode=0700"); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "no-room"), bytes.Repeat([]byte{'x'}, pageSize), 0o600)
}

// emptyDisk takes it away. It is no error that there is none.
func emptyDisk(dir string) error {
	err := syscall.Unmount(dir, syscall.MNT_DETACH)
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.EPERM) {
		return nil
	}
	return err
}
