package gossip

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"

	"github.com/hashicorp/memberlist"

	"github.com/meridian-gtm/meridian/keyfile"
)

// MaxKeys is how many keys a keyring has at most.
const MaxKeys = keyfile.MaxKeys

// keyringFormat is the format of a keyring file: keys in base64, of 16, 24 or 32 bytes; the first is the primary one.
var keyringFormat = keyfile.Format{
	Name: "base64",
	Decode: func(line string) ([]byte, error) {
		key, err := base64.StdEncoding.Strict().DecodeString(line)
		if err != nil {
			return nil, errors.New("not base64")
		}
		return key, checkKey(key)
	},
}

// ReadKeyring reads a keyring file; see [ParseKeyring]. exposed tells that users other than the owner and its group
// can read the file, which deserves a warning.
func ReadKeyring(path string) (keys [][]byte, exposed bool, err error) {
	return keyringFormat.Read(path)
}

// ParseKeyring reads one key per line in base64, of 16, 24 or 32 bytes; the first is the primary one. Empty lines, and
// whatever follows a "#", do not count. All faults are reported, joined, with their lines and without the keys.
//
// To change the key of a fleet, put the new key last everywhere and reload, then put it first everywhere and reload,
// then remove the old one.
func ParseKeyring(text []byte) ([][]byte, error) { return keyringFormat.Parse(text) }

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
