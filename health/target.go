package health

import "strconv"

// Family is an IP address family, 4 or 6. A and AAAA are separate targets with separate health.
type Family uint8

// The two address families.
const (
	V4 Family = 4
	V6 Family = 6
)

// String returns "v4" or "v6".
func (f Family) String() string { return "v" + strconv.Itoa(int(f)) }

// Target is one thing that is probed: a check against a site's VIP of one family. It is comparable and used as
// a map key.
type Target struct {
	Site   string `json:"site"`
	Check  string `json:"check"`
	Family Family `json:"family"`
}

// String returns "site/check/v4".
func (t Target) String() string { return t.Site + "/" + t.Check + "/" + t.Family.String() }

// Compare orders targets by site, check, family.
func (t Target) Compare(u Target) int {
	switch {
	case t.Site != u.Site:
		return cmpString(t.Site, u.Site)
	case t.Check != u.Check:
		return cmpString(t.Check, u.Check)
	default:
		return int(t.Family) - int(u.Family)
	}
}

func cmpString(a, b string) int {
	if a < b {
		return -1
	}
	return 1
}
