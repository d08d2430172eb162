package zone

import (
	"strings"

	"github.com/miekg/dns"
)

// maxNameOctets is the length limit of a domain name on the wire (RFC 1035 section 2.3.4).
const maxNameOctets = 255

// canonical returns the form in which names are compared and looked up: fully qualified, ASCII lower case, and
// escaped just as dns.UnpackDomainName escapes, so that it equals dns.CanonicalName of the same name taken from a
// message. It does not allocate when name has that form already.
func canonical(name string) string {
	name = dns.Fqdn(name)
	upper := false
	for i := range len(name) {
		switch c := name[i]; c {
		case '\\', '\'', '@', ';', '(', ')', '"':
			return dns.CanonicalName(reescape(name))
		default:
			if c <= ' ' || c > '~' {
				return dns.CanonicalName(reescape(name))
			}
			upper = upper || 'A' <= c && c <= 'Z'
		}
	}
	if upper {
		return dns.CanonicalName(name)
	}
	return name
}

// reescape takes name through the wire format, which knows one spelling only. What has no wire format stays.
func reescape(name string) string {
	var wire [maxNameOctets + 1]byte
	if _, err := dns.PackDomainName(name, wire[:], 0, nil, false); err != nil {
		return name
	}
	if again, _, err := dns.UnpackDomainName(wire[:], 0); err == nil {
		return again
	}
	return name
}

// validName tells whether name, fully qualified, is one that a message can carry.
func validName(name string) bool {
	var wire [maxNameOctets + 1]byte
	end, err := dns.PackDomainName(name, wire[:], 0, nil, false)
	return err == nil && end <= maxNameOctets
}

// parent strips the first label; the parent of the last label is the root, and of the root the root.
func parent(name string) string {
	for i := 0; i < len(name)-1; i++ {
		switch name[i] {
		case '\\':
			i++ // of \DDD, the two digits left are no dots
		case '.':
			return name[i+1:]
		}
	}
	return "."
}

// depth counts labels, without the root.
func depth(name string) int {
	n := 0
	for name != "." && name != "" {
		name = parent(name)
		n++
	}
	return n
}

// below tells whether name is at or below origin, both canonical.
func below(name, origin string) bool {
	cut := len(name) - len(origin)
	switch {
	case origin == ".":
		return true
	case cut < 0 || name[cut:] != origin:
		return false
	case cut == 0:
		return true
	case name[cut-1] != '.':
		return false
	}
	backslashes := 0
	for i := cut - 2; i >= 0 && name[i] == '\\'; i-- {
		backslashes++
	}
	return backslashes%2 == 0 // else the dot is part of a label
}

// isWildcard tells whether the first label is a lone asterisk (RFC 4592 section 2.1.1).
func isWildcard(name string) bool { return strings.HasPrefix(name, "*.") }

// compareNames orders canonical names as RFC 4034 section 6.1 does: by label from the right, as octets.
func compareNames(a, b string) int {
	la, lb := wireLabels(a), wireLabels(b)
	for len(la) > 0 && len(lb) > 0 {
		if c := strings.Compare(la[len(la)-1], lb[len(lb)-1]); c != 0 {
			return c
		}
		la, lb = la[:len(la)-1], lb[:len(lb)-1]
	}
	return len(la) - len(lb)
}

// wireLabels splits name and undoes the escapes.
func wireLabels(name string) []string {
	var labels []string
	var wire [maxNameOctets + 1]byte
	end, err := dns.PackDomainName(name, wire[:], 0, nil, false)
	if err != nil {
		return []string{name}
	}
	for at := 0; at < end && wire[at] != 0; at += 1 + int(wire[at]) {
		labels = append(labels, string(wire[at+1:at+1+int(wire[at])]))
	}
	return labels
}
