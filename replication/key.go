package replication

import "strings"

// overridePrefix begins the keys of overrides.
const overridePrefix = "override/"

// everyService stands in an override's key for Service "". No service can be named so.
const everyService = "*"

// EvidenceKey is the key of a node's evidence: "evidence/NODE".
func EvidenceKey(node string) string { return "evidence/" + node }

// AppliedKey is the key of what a node says about itself: "applied/NODE".
func AppliedKey(node string) string { return "applied/" + node }

// OverrideKey is the key of an operator's decision: "override/SERVICE/SITE/ACTION", with "*" for every service.
func OverrideKey(service, site string, action Action) string {
	if service == "" {
		service = everyService
	}
	return overridePrefix + service + "/" + site + "/" + string(action)
}

// Key is the key under which o is replicated.
func (o Override) Key() string { return OverrideKey(o.Service, o.Site, o.Action) }

// KindOf returns the kind that a key belongs to, or 0 when no kind has such keys.
func KindOf(key string) Kind {
	switch {
	case strings.HasPrefix(key, "evidence/"):
		return KindEvidence
	case strings.HasPrefix(key, "applied/"):
		return KindApplied
	case strings.HasPrefix(key, overridePrefix):
		return KindOverride
	}
	return 0
}

// NodeOf returns the node whose evidence or applied record key names, or "" for any other key.
func NodeOf(key string) string {
	if node, ok := strings.CutPrefix(key, "evidence/"); ok {
		return node
	}
	if node, ok := strings.CutPrefix(key, "applied/"); ok {
		return node
	}
	return ""
}

// String returns "evidence", "applied", "override" or "unknown".
func (k Kind) String() string {
	switch k {
	case KindEvidence:
		return "evidence"
	case KindApplied:
		return "applied"
	case KindOverride:
		return "override"
	}
	return "unknown"
}
