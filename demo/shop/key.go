package shop

import (
	"crypto/rand"
	"fmt"
	"strings"
)

// Key is an idempotency key: "<home region>.<random>".
type Key struct{ Region, Random string }

// NewKey makes a fresh key for a form served in region.
func NewKey(region string) Key { return Key{Region: region, Random: rand.Text()} }

// String returns the key as clients send it.
func (k Key) String() string { return k.Region + "." + k.Random }

// ParseKey reads a key: a region name, a dot, and 8..64 letters, digits, dashes or underscores.
func ParseKey(s string) (Key, error) {
	region, random, found := strings.Cut(s, ".")
	ok := found && validRegion(region) && len(random) >= 8 && len(random) <= 64
	for _, c := range []byte(random) {
		ok = ok && (c == '-' || c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z')
	}
	if !ok {
		return Key{}, &InvalidError{fmt.Sprintf("idempotency key %.80q: want <home region>.<8..64 of A-Z a-z 0-9 - _>", s)}
	}
	return Key{region, random}, nil
}

// newID makes an id of a row whose home is region.
func newID(region string) string { return region + "-" + strings.ToLower(rand.Text()[:16]) }
