package replication

import "time"

// Limits of a record. They bound what one node can make another hold, and are the same on the wire and on disk.
const (
	MaxNameBytes     = 63                                             // node, site or service name
	MaxKeyBytes      = 200                                            // record key
	MaxBodyBytes     = 64 << 10                                       // record body
	MaxOverrideBytes = 8 << 10                                        // body of an override: its longest texts with every byte escaped
	MaxRecords       = 10_000                                         // keys that a State holds; new keys beyond are refused
	MaxRecordBytes   = 36 + MaxKeyBytes + MaxNameBytes + MaxBodyBytes // encoded record
)

const (
	// MaxFuture is how far ahead of the local clock an override's clock may be. What is further ahead is parked:
	// merged, it would win against every override that a node with a right clock can make.
	MaxFuture = time.Minute

	// Horizon is how long a record is kept after its Expires, and how long after it one is still accepted. Because
	// both are the same, what everybody has forgotten nobody takes back from a node that was away.
	Horizon = 7 * 24 * time.Hour

	// GoneAfter is how long a node must be silent before its evidence and applied records are forgotten.
	GoneAfter = 10 * time.Minute
)

// ValidName reports whether s can name a node, a site or a service in a key: 1..63 letters, digits, "-", "_" and
// ".", beginning with a letter or a digit.
func ValidName(s string) bool {
	if len(s) == 0 || len(s) > MaxNameBytes {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case i > 0 && (c == '-' || c == '_' || c == '.'):
		default:
			return false
		}
	}
	return true
}
