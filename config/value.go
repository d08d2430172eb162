package config

import (
	"cmp"
	"math"
	"net/netip"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Names are parts of record keys, log lines and URLs, so they are plain.
var namePattern = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,62}$`)

const nameWant = "a name: 1..63 of a-z 0-9 . _ - beginning with a letter or digit"

// The readers below store what stands at c, or report it and leave *into as it was: a default stays, and a bad
// value causes no second fault.

// scalar returns the text at c.
func (c cursor) scalar(want string) (string, bool) {
	if c.node.Kind != yaml.ScalarNode || c.absent() {
		c.refuse("%s", want)
		return "", false
	}
	return c.node.Value, true
}

// text reads printable text of low to high bytes.
func (c cursor) text(into *string, low, high int) {
	want := "text of " + span(low, high, strconv.Itoa) + " bytes, printable"
	s, ok := c.scalar(want)
	if !ok {
		return
	}
	if len(s) < low || len(s) > high || strings.ContainsFunc(s, func(r rune) bool { return !strconv.IsPrint(r) }) {
		c.refuse("%s", want)
		return
	}
	*into = s
}

// name reads a name of the operator's choice.
func (c cursor) name(into *string) {
	s, ok := c.scalar(nameWant)
	if !ok {
		return
	}
	if !namePattern.MatchString(s) {
		c.refuse("%s", nameWant)
		return
	}
	*into = s
}

// flag reads true or false.
func (c cursor) flag(into *bool) {
	switch c.node.Value {
	case "true", "false":
		*into = c.node.Value == "true"
	default:
		c.refuse("true or false")
	}
}

// choice reads one of a few words.
func choice[T ~string](c cursor, into *T, choices ...T) {
	words := make([]string, len(choices))
	for i, word := range choices {
		words[i] = string(word)
	}
	s, ok := c.scalar(oneOf(words))
	if !ok {
		return
	}
	if !slices.Contains(words, s) {
		c.refuse("%s", oneOf(words)+didYouMean(s, words))
		return
	}
	*into = T(s)
}

// integer reads a whole number in low..high.
func integer[T ~int | ~int64 | ~uint16 | ~uint32](c cursor, into *T, low, high T) {
	want := span(low, high, func(v T) string { return strconv.FormatInt(int64(v), 10) })
	s, ok := c.scalar(want)
	if !ok {
		return
	}
	v, err := strconv.ParseInt(s, 10, 64)
	if err != nil || v < int64(low) || v > int64(high) {
		c.refuse("%s", want)
		return
	}
	*into = T(v)
}

// degrees reads an angle in -limit..limit.
func (c cursor) degrees(into *float64, limit float64) {
	want := span(-limit, limit, func(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }) + " degrees"
	s, ok := c.scalar(want)
	if !ok {
		return
	}
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(v) || math.Abs(v) > limit {
		c.refuse("%s", want)
		return
	}
	*into = v
}

// duration reads a time span like 500ms, 2s or 14d in low..high.
func (c cursor) duration(into *time.Duration, low, high time.Duration) {
	want := "a duration in " + span(low, high, formatDuration)
	s, ok := c.scalar(want)
	if !ok {
		return
	}
	v, ok := parseDuration(s)
	if !ok || v < low || v > high {
		c.refuse("%s", want)
		return
	}
	*into = v
}

// seconds reads a duration of whole seconds in 1s..24h, as a DNS TTL.
func (c cursor) seconds(into *uint32) {
	const want = "whole seconds in 1s..1d"
	s, ok := c.scalar(want)
	if !ok {
		return
	}
	v, ok := parseDuration(s)
	if !ok || v < time.Second || v > 24*time.Hour || v%time.Second != 0 {
		c.refuse(want)
		return
	}
	*into = uint32(v / time.Second)
}

// addr reads an address that one host can have.
func (c cursor) addr(into *netip.Addr, want string, fits func(netip.Addr) bool) {
	s, ok := c.scalar(want)
	if !ok {
		return
	}
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" || a.Is4In6() || a.IsUnspecified() || a.IsMulticast() ||
		a == netip.AddrFrom4([4]byte{255, 255, 255, 255}) || !fits(a) {
		c.refuse("%s", want)
		return
	}
	*into = a
}

// addrPort reads "address:port" with a port of at least low. An address of no host in particular, 0.0.0.0 or ::,
// is accepted where wildcard is set.
func (c cursor) addrPort(into *netip.AddrPort, low uint16, wildcard bool) {
	want := "address:port like 192.0.2.1:53 or [2001:db8::1]:53, port " + span(int(low), 65535, strconv.Itoa)
	s, ok := c.scalar(want)
	if !ok {
		return
	}
	ap, err := netip.ParseAddrPort(s)
	if err != nil || ap.Addr().Is4In6() || ap.Addr().IsMulticast() || ap.Port() < low {
		c.refuse("%s", want)
		return
	}
	if !wildcard && ap.Addr().IsUnspecified() {
		c.refuse("the address of one host")
		return
	}
	*into = ap
}

// prefix reads a network. Host bits are refused: whoever sets them means another network, or one host.
func (c cursor) prefix(into *netip.Prefix) {
	const want = "a network like 192.0.2.0/24 or 2001:db8::/32"
	s, ok := c.scalar(want)
	if !ok {
		return
	}
	p, err := netip.ParsePrefix(s)
	switch {
	case err != nil || p.Addr().Is4In6():
		c.refuse(want)
	case p != p.Masked():
		c.refuse("no host bits, as in %s", p.Masked())
	default:
		*into = p
	}
}

// span writes a range as faults state it.
func span[T any](low, high T, format func(T) string) string { return format(low) + ".." + format(high) }

const day = 24 * time.Hour

// parseDuration reads what time.ParseDuration reads, and whole days in front: "14d", "1d12h".
func parseDuration(s string) (time.Duration, bool) {
	var days time.Duration
	if number, rest, found := strings.Cut(s, "d"); found {
		n, err := strconv.ParseUint(number, 10, 15)
		if err != nil {
			return 0, false
		}
		if days = time.Duration(n) * day; rest == "" {
			return days, true
		}
		s = rest
		if s[0] < '0' || s[0] > '9' {
			return 0, false
		}
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 || d > math.MaxInt64-days {
		return 0, false
	}
	return days + d, true
}

// formatDuration writes d with the fewest units: "500ms", "2s", "1h30m", "14d".
func formatDuration(d time.Duration) string {
	if d >= day && d%day == 0 {
		return strconv.FormatInt(int64(d/day), 10) + "d"
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// file reads a path. A relative one is meant from the directory of the configuration.
func (r *reader) file(c cursor, into *string) {
	var written string
	if c.text(&written, 0, 4096); written == "" {
		*into = ""
		return
	}
	*into = written
	if !filepath.IsAbs(written) {
		*into = filepath.Join(r.dir, written)
	}
	r.config.written[*into] = filepath.Clean(written)
}

// byName sorts what the file may name in any order.
func byName[T any](s []T, name func(T) string) {
	slices.SortFunc(s, func(a, b T) int { return cmp.Compare(name(a), name(b)) })
}
