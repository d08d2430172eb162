// Package keyfile reads files of secret keys, one per line. What a line holds is the caller's to say; comments, limits,
// and that no error shows a key, are the same for all of them.
package keyfile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// Limits of a file.
const (
	MaxKeys  = 16
	maxBytes = 64 << 10
)

// Format says what a line holds.
type Format struct {
	// Name is how the key is written, for errors: "base64".
	Name string
	// Decode returns the key of a line, which has no blanks at its ends. Its errors must not quote the line.
	Decode func(line string) ([]byte, error)
}

// Read reads the file at path; see [Format.Parse]. exposed tells that users other than the owner and its group can read
// it, which deserves a warning.
func (f Format) Read(path string) (keys [][]byte, exposed bool, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, false, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, false, err
	}
	text, err := io.ReadAll(io.LimitReader(file, maxBytes+1))
	if err != nil {
		return nil, false, err
	}
	if keys, err = f.Parse(text); err != nil {
		return nil, false, fmt.Errorf("%s: %w", path, err)
	}
	return keys, info.Mode().Perm()&0o004 != 0, nil
}

// Parse reads one key per line, 1 to [MaxKeys] and each once. Empty lines, and whatever follows a "#", do not count. All
// faults are reported, joined, with their lines and without the keys.
func (f Format) Parse(text []byte) ([][]byte, error) {
	if len(text) > maxBytes {
		return nil, fmt.Errorf("more than %d bytes", maxBytes)
	}
	var keys [][]byte
	var faults []error
	seen := make(map[string]int)
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		line, _, _ = strings.Cut(line, "#")
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		key, err := f.Decode(line)
		if first, twice := seen[string(key)]; err == nil && twice {
			err = fmt.Errorf("same key as in line %d", first)
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("line %d: %w", n, err))
			continue
		}
		seen[string(key)] = n
		keys = append(keys, key)
	}
	if len(faults) == 0 && len(keys) == 0 {
		faults = append(faults, fmt.Errorf("no key: want at least one line of %s", f.Name))
	}
	if len(keys) > MaxKeys {
		faults = append(faults, fmt.Errorf("%d keys: want at most %d", len(keys), MaxKeys))
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return keys, nil
}
