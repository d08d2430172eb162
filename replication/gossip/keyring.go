package gossip

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/hashicorp/memberlist"
)

// Limits of a keyring.
const (
	MaxKeys         = 16
	maxKeyringBytes = 64 << 10
)

// ReadKeyring reads a keyring file; see [ParseKeyring]. exposed tells that users other than the owner and its group
// can read the file, which deserves a warning.
func ReadKeyring(path string) (keys [][]byte, exposed bool, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, false, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, false, err
	}
	text, err := io.ReadAll(io.LimitReader(f, maxKeyringBytes+1))
	if err != nil {
		return nil, false, err
	}
	if keys, err = ParseKeyring(text); err != nil {
		return nil, false, fmt.Errorf("%s: %w", path, err)
	}
	return keys, info.Mode().Perm()&0o004 != 0, nil
}

// ParseKeyring reads one key per line in base64, of 16, 24 or 32 bytes; the first is the primary one. Empty lines, and
// whatever follows a "#", do not count. All faults are reported, joined, with their lines and without the keys.
//
// To change the key of a fleet, put the new key last everywhere and reload, then put it first everywhere and reload,
// then remove the old one.
func ParseKeyring(text []byte) ([][]byte, error) {
	if len(text) > maxKeyringBytes {
		return nil, fmt.Errorf("keyring of more than %d bytes", maxKeyringBytes)
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
		key, err := base64.StdEncoding.Strict().DecodeString(line)
		if err == nil {
			err = checkKey(key)
		} else {
			err = errors.New("not base64")
		}
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
		faults = append(faults, errors.New("no key: want at least one line of base64"))
	}
	if len(keys) > MaxKeys {
		faults = append(faults, fmt.Errorf("%d keys: want at most %d", len(keys), MaxKeys))
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return keys, nil
}

func checkKey(key []byte) error {
	switch len(key) {
	case 16, 24, 32:
		return nil
	}
	return fmt.Errorf("key of %d bytes: want 16, 24 or 32", len(key))
}

func checkKeys(keys [][]byte) error {
	if len(keys) == 0 || len(keys) > MaxKeys {
		return fmt.Errorf("%d keys: want 1..%d", len(keys), MaxKeys)
	}
	var faults []error
	for i, key := range keys {
		if err := checkKey(key); err != nil {
			faults = append(faults, fmt.Errorf("key %d: %w", i+1, err))
		}
	}
	return errors.Join(faults...)
}

// SetKeys replaces the keyring of a running node: the first key encrypts from now on, all decrypt, others no longer do.
// A node that began without encryption cannot take keys, nor one that encrypts give them up.
func (g *Gossip) SetKeys(keys [][]byte) error {
	if g.keyring == nil {
		return errors.New("gossip: keyring: this node runs unencrypted: restart it to encrypt")
	}
	if err := checkKeys(keys); err != nil {
		return fmt.Errorf("gossip: keyring: %w", err)
	}
	g.keyringMu.Lock()
	defer g.keyringMu.Unlock()
	if err := replaceKeys(g.keyring, keys); err != nil {
		return fmt.Errorf("gossip: keyring: %w", err)
	}
	return nil
}

// replaceKeys installs keys before it removes any, so that no moment is without a common key. Removing a key from
// the middle of a memberlist.Keyring moves keys that packets are being decrypted with; removing the last one does
// not. Using the kept keys in reverse order brings those to be removed to the end.
func replaceKeys(ring *memberlist.Keyring, keys [][]byte) error {
	for _, key := range keys {
		if err := ring.AddKey(bytes.Clone(key)); err != nil {
			return err
		}
	}
	obsolete := func(key []byte) bool {
		return !slices.ContainsFunc(keys, func(keep []byte) bool { return bytes.Equal(key, keep) })
	}
	if !slices.ContainsFunc(ring.GetKeys(), obsolete) {
		return ring.UseKey(keys[0])
	}
	for _, key := range slices.Backward(keys) {
		if err := ring.UseKey(key); err != nil {
			return err
		}
	}
	for {
		installed := ring.GetKeys()
		last := installed[len(installed)-1]
		if !obsolete(last) {
			return nil
		}
		if err := ring.RemoveKey(last); err != nil {
			return err
		}
	}
}
