package dnsserver

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meridian-gtm/meridian/dnsserver/wire"
	"github.com/meridian-gtm/meridian/keyfile"
)

// CookieOptions say how server cookies are made. The zero value makes them with a random key.
type CookieOptions struct {
	// Off makes the server one that does not know cookies.
	Off bool
	// Require answers UDP queries that have a cookie, but not a valid server cookie, with BADCOOKIE.
	Require bool
	// Keys are what cookies are made with; see [Server.SetCookieKeys].
	Keys CookieKeys
}

// CookieKeys are what server cookies are made with. Servers that clients may take for one another, those of an anycast
// address above all, need the same. The zero value stands for a random key of the server's own.
type CookieKeys struct {
	// Secrets make and check cookies as they are (RFC 9018 section 5): the first makes them, all check them.
	Secrets []wire.CookieSecret
	// Roots are keys of at least 16 octets that servers share for something else. Where there are no Secrets, they are
	// derived from these, new ones every day: the first makes cookies, all check them. A secret tells nothing about the
	// root.
	Roots [][]byte
}

// cookieSecretFormat is the format of a file of secrets: 32 hexadecimal digits, with or without 0x in front.
var cookieSecretFormat = keyfile.Format{
	Name: "32 hexadecimal digits",
	Decode: func(line string) ([]byte, error) {
		key, err := hex.DecodeString(strings.TrimPrefix(line, "0x"))
		if err != nil || len(key) != len(wire.CookieSecret{}) {
			return nil, errors.New("not 32 hexadecimal digits")
		}
		return key, nil
	},
}

// ReadCookieSecrets reads a file of [CookieKeys.Secrets], as other servers know them: one per line, of 32 hexadecimal
// digits with or without 0x in front. Empty lines, and whatever follows a "#", do not count. exposed tells that users
// other than the owner and its group can read the file.
func ReadCookieSecrets(path string) (secrets []wire.CookieSecret, exposed bool, err error) {
	keys, exposed, err := cookieSecretFormat.Read(path)
	for _, key := range keys {
		secrets = append(secrets, wire.CookieSecret(key))
	}
	return secrets, exposed, err
}

// minCookieRoot is the length of the shortest root, in octets: that of a secret.
const minCookieRoot = 16

func (k *CookieKeys) validate() error {
	var errs []error
	for i, root := range k.Roots {
		if len(root) < minCookieRoot {
			errs = append(errs, fmt.Errorf("cookie root %d: %d octets: want at least %d", i+1, len(root), minCookieRoot))
		}
	}
	return errors.Join(errs...)
}

// cookiePeriod is how long cookies are made with the same secret of a root. RFC 7873 section 7.1 wants at most 26 hours.
// Periods begin at the same moments everywhere, so that servers need not tell each other.
const cookiePeriod = 24 * time.Hour

// secrets returns what makes and checks cookies at a time. Those of roots are of the period that is, of the one in which
// the oldest cookie that is still accepted was made, and of the one that a server with a fast clock may be in.
func (k *CookieKeys) secrets(now time.Time) []wire.CookieSecret {
	if len(k.Secrets) > 0 {
		return k.Secrets
	}
	period := func(t time.Time) int64 { return t.Unix() / int64(cookiePeriod/time.Second) }
	periods := []int64{period(now)}
	for _, shift := range []time.Duration{-wire.CookieLife * time.Second, wire.CookieAhead * time.Second} {
		if p := period(now.Add(shift)); p != periods[0] {
			periods = append(periods, p)
		}
	}
	var secrets []wire.CookieSecret
	for _, p := range periods {
		for _, root := range k.Roots {
			secrets = append(secrets, deriveCookieSecret(root, p))
		}
	}
	return secrets
}

// deriveCookieSecret returns the secret of a root and period. All versions of the program must agree on it.
func deriveCookieSecret(root []byte, period int64) wire.CookieSecret {
	mac := hmac.New(sha256.New, root)
	fmt.Fprintf(mac, "meridian dns server cookies, period %d", period)
	return wire.CookieSecret(mac.Sum(nil))
}

// cookieTick is how fine the clock of cookies is. Timestamps count seconds.
const cookieTick = time.Second

// cookieClock keeps what cookies are made and checked with up to date. Readers load now, which stays nil where cookies
// are off.
type cookieClock struct {
	now atomic.Pointer[wire.Cookies]

	off, require bool
	random       []byte // root of a server that was given no keys

	mu   sync.Mutex // guards keys; not taken by readers
	keys CookieKeys
}

// begin takes the options of a new server, whose keys are valid.
func (c *cookieClock) begin(o CookieOptions) {
	c.off, c.require, c.random = o.Off, o.Require, make([]byte, sha256.Size)
	rand.Read(c.random)
	c.setKeys(o.Keys)
}

// setKeys takes other keys, at once.
func (c *cookieClock) setKeys(k CookieKeys) {
	if len(k.Secrets) == 0 && len(k.Roots) == 0 {
		k.Roots = [][]byte{c.random}
	}
	c.mu.Lock()
	c.keys = k
	c.mu.Unlock()
	c.tick(time.Now())
}

// tick moves the clock.
func (c *cookieClock) tick(now time.Time) {
	if c.off {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now.Store(&wire.Cookies{Now: uint32(now.Unix()), Secrets: c.keys.secrets(now), Require: c.require})
}

// run moves the clock until ctx ends.
func (c *cookieClock) run(ctx context.Context) error {
	ticker := time.NewTicker(cookieTick)
	defer ticker.Stop()
	for {
		select {
		case now := <-ticker.C:
			c.tick(now)
		case <-ctx.Done():
			return nil
		}
	}
}
