package geo

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ParseCIDRMap reads an operator's CIDR map: what the operator knows better than the databases. One network a line,
// a prefix and then at least one key=value; # before a word begins a comment; a value with blanks stands in double
// quotes, which have no escapes:
//
//	192.0.2.0/24      label=office sites=fra,lon asn=64500
//	198.51.100.0/25   continent=NA country=US subdivision=NY city="New York" lat=40.7128 lon=-74.0060
//	2001:db8:7::/48   label=lab   # whatever the databases say of the place stays
//
// The keys are continent (AF AN AS EU NA OC SA), country (two capitals, ISO 3166-1), subdivision (1-3 capitals or
// digits, ISO 3166-2 without the country), city, asn (1..4294967295), label, sites (names in order of preference,
// comma separated), and lat with lon (degrees). A key that is not given leaves what the databases say: a network
// that moved needs its lat and lon as well as its city. Of nested networks the longest alone speaks.
//
// The networks come back in the order that [Builder.Add] wants. The error joins every fault, each as
// "FILE:LINE: PREFIX: ...: want ...".
func ParseCIDRMap(file string, text []byte) ([]Network, error) {
	var (
		networks []Network
		faults   []error
		lineOf   = map[netip.Prefix]int{}
	)
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		fault := func(format string, args ...any) {
			faults = append(faults, fmt.Errorf("%s:%d: "+format, append([]any{file, number}, args...)...))
		}
		words, err := splitWords(line)
		if err != nil {
			fault("%w", err)
			continue
		}
		if len(words) == 0 {
			continue
		}
		prefix, err := parsePrefix(words[0])
		if err != nil {
			fault("%w", err)
		} else if first, ok := lineOf[prefix]; ok {
			fault("%s: already on line %d: want each prefix once", prefix, first)
		} else {
			lineOf[prefix] = number
		}
		place, errs := parsePlace(words[1:])
		for _, err := range errs {
			fault("%s: %w", words[0], err)
		}
		networks = append(networks, Network{prefix, place})
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	slices.SortFunc(networks, func(a, b Network) int { return a.Prefix.Compare(b.Prefix) })
	return networks, nil
}

// splitWords cuts a line at blanks outside quotes, takes the quotes away and drops the comment.
func splitWords(line string) ([]string, error) {
	var (
		words  []string
		word   strings.Builder
		inWord bool
		quoted bool
	)
	if !utf8.ValidString(line) {
		return nil, fmt.Errorf("%q: want UTF-8 text", strings.TrimSpace(line))
	}
	end := func() {
		if inWord {
			words = append(words, word.String())
		}
		word.Reset()
		inWord = false
	}
scan:
	for _, c := range line {
		switch {
		case c == '"':
			quoted, inWord = !quoted, true
		case c == '\n', !quoted && unicode.IsSpace(c):
			end()
		case c == '#' && !quoted && !inWord:
			break scan
		default:
			word.WriteRune(c)
			inWord = true
		}
	}
	if quoted {
		return nil, errors.New(`open quote: want a closing " on the same line`)
	}
	end()
	return words, nil
}

func parsePrefix(s string) (netip.Prefix, error) {
	prefix, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		return prefix, fmt.Errorf("%q: want an IPv4 or IPv6 prefix, ADDRESS/BITS", s)
	case prefix.Addr().Is4In6():
		return prefix, fmt.Errorf("%s: want the IPv4 prefix, not its 4-in-6 form", s)
	case prefix != prefix.Masked():
		return prefix, fmt.Errorf("%s: host bits set: want %s", s, prefix.Masked())
	}
	return prefix, nil
}

// parsePlace reads the key=value words of a line.
func parsePlace(words []string) (Place, []error) {
	var (
		place Place
		errs  []error
		seen  = map[string]bool{}
	)
	if len(words) == 0 {
		errs = append(errs, errors.New("no key: want at least one key=value"))
	}
	for _, word := range words {
		key, value, ok := strings.Cut(word, "=")
		switch {
		case !ok:
			errs = append(errs, fmt.Errorf("%q: want key=value", word))
			continue
		case seen[key]:
			errs = append(errs, fmt.Errorf("%s: given twice: want each key once", key))
			continue
		}
		seen[key] = true
		if err := place.set(key, value); err != nil {
			errs = append(errs, err)
		}
	}
	if seen["lat"] != seen["lon"] {
		errs = append(errs, errors.New("lat, lon: one without the other: want both or neither"))
	}
	return place, errs
}

// set parses value into the field that key names.
func (p *Place) set(key, value string) error {
	good, want := false, ""
	switch key {
	case "continent":
		p.Continent = value
		good = slices.Contains([]string{"AF", "AN", "AS", "EU", "NA", "OC", "SA"}, value)
		want = "AF, AN, AS, EU, NA, OC or SA"
	case "country":
		p.Country = value
		good = len(value) == 2 && strings.Trim(value, capitals) == ""
		want = "two capital letters (ISO 3166-1)"
	case "subdivision":
		p.Subdivision = value
		good = len(value) >= 1 && len(value) <= 3 && strings.Trim(value, capitals+digits) == ""
		want = "1 to 3 capital letters or digits (ISO 3166-2 without the country)"
	case "city":
		p.City = value
		good, want = isName(value), wantName
	case "label":
		p.Label = value
		good, want = isName(value), wantName
	case "sites":
		p.Sites = value
		good = areSites(value)
		want = "site names, each once, with commas and no blanks between"
	case "asn":
		n, err := strconv.ParseUint(value, 10, 32)
		p.ASN = uint32(n)
		good = err == nil && n > 0
		want = "1..4294967295"
	case "lat":
		p.Located = true
		p.Coord.Lat, good = parseDegrees(value, 90)
		want = "degrees, -90..90"
	case "lon":
		p.Located = true
		p.Coord.Lon, good = parseDegrees(value, 180)
		want = "degrees, -180..180"
	default:
		return fmt.Errorf("%q: unknown key: want continent, country, subdivision, city, asn, label, sites, lat or lon", key)
	}
	if !good {
		return fmt.Errorf("%s: %q: want %s", key, value, want)
	}
	return nil
}

const (
	capitals = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	digits   = "0123456789"
)

// maxName is the longest city or label in bytes: they show up in every trace.
const maxName = 100

const wantName = "1..100 bytes of text"

func isName(s string) bool {
	return s != "" && len(s) <= maxName && !strings.ContainsFunc(s, unicode.IsControl)
}

func areSites(list string) bool {
	seen := map[string]bool{}
	for site := range strings.SplitSeq(list, ",") {
		if site == "" || seen[site] || strings.ContainsFunc(site, func(c rune) bool { return c <= ' ' }) {
			return false
		}
		seen[site] = true
	}
	return true
}

func parseDegrees(s string, limit float64) (float64, bool) {
	f, err := strconv.ParseFloat(s, 64)
	return f, err == nil && f >= -limit && f <= limit // not-a-number is not
}
