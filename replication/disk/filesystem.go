package disk

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// filesystem is what a Store needs of a directory. Its second implementation loses power in tests.
type filesystem interface {
	// read returns a whole file of at most MaxBytes, or an error that is fs.ErrNotExist.
	read(name string) ([]byte, error)
	// create makes an empty file, in place of any other of that name.
	create(name string) (file, error)
	rename(from, to string) error
	remove(name string) error
	// sync makes the directory's names durable.
	sync() error
}

type file interface {
	io.Writer
	Sync() error
	Close() error
}

// directory is a filesystem in the operating system's.
type directory string

func (d directory) read(name string) ([]byte, error) {
	f, err := os.Open(filepath.Join(string(d), name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, MaxBytes+1))
	if err == nil && len(b) > MaxBytes {
		err = fmt.Errorf("%s: more than %d bytes", name, MaxBytes)
	}
	return b, err
}

func (d directory) create(name string) (file, error) {
	return os.OpenFile(filepath.Join(string(d), name), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
}

func (d directory) rename(from, to string) error {
	return os.Rename(filepath.Join(string(d), from), filepath.Join(string(d), to))
}

func (d directory) remove(name string) error { return os.Remove(filepath.Join(string(d), name)) }

func (d directory) sync() error {
	f, err := os.Open(string(d))
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
