package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// Fault is one thing that is wrong with a configuration.
type Fault struct {
	File  string `json:"file"`           // as given to Load; "override" for a value of a flag or the environment
	Line  int    `json:"line,omitempty"` // 1 or more; 0 = not known, or an override
	Path  string `json:"path,omitempty"` // in the document: "services.shop.policy.geo.rules[1].to"; "" = all of it
	Value string `json:"value"`          // what stands there, shortened, or what is wrong: "missing", "unknown key"
	Want  string `json:"want,omitempty"` // what would be accepted
}

// String returns "file:line: path: value: want ...".
func (f Fault) String() string {
	var b strings.Builder
	b.WriteString(f.File)
	if f.Line > 0 {
		fmt.Fprintf(&b, ":%d", f.Line)
	}
	for _, part := range []string{f.Path, f.Value} {
		if part != "" {
			b.WriteString(": ")
			b.WriteString(part)
		}
	}
	if f.Want != "" {
		b.WriteString(": want ")
		b.WriteString(f.Want)
	}
	return b.String()
}

// Faults is the error of a configuration that cannot be used: every reason why, in the order of the file.
type Faults []Fault

// Error returns one fault per line.
func (fs Faults) Error() string {
	lines := make([]string, len(fs))
	for i, f := range fs {
		lines[i] = f.String()
	}
	return strings.Join(lines, "\n")
}

// sort puts the faults of one file in reading order; those of overrides come first.
func (fs Faults) sort() {
	slices.SortStableFunc(fs, func(a, b Fault) int { return a.Line - b.Line })
}

// show returns a node as a fault quotes it: scalars as written, anything else by its shape.
func show(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "*" + quote(n.Value)
	}
	if n.Tag == "!!null" {
		return "nothing"
	}
	return quote(n.Value)
}

// quote returns s bare when it is a plain word and quoted when it is not, cut to fit on a line.
func quote(s string) string {
	const most = 64
	if len(s) > most {
		cut := most
		for cut > 0 && !utf8.RuneStart(s[cut]) {
			cut--
		}
		s = s[:cut] + "..."
	}
	odd := func(r rune) bool { return r == '"' || r == utf8.RuneError || unicode.IsSpace(r) || !unicode.IsPrint(r) }
	if s == "" || strings.ContainsFunc(s, odd) {
		return strconv.Quote(s)
	}
	return s
}

// oneOf lists the choices of a fault: "a, b or c".
func oneOf(choices []string) string {
	switch len(choices) {
	case 0:
		return "nothing"
	case 1:
		return choices[0]
	}
	last := len(choices) - 1
	return strings.Join(choices[:last], ", ") + " or " + choices[last]
}

// didYouMean returns ` (did you mean "x"?)` for the choice nearest to word, "" when none is near.
func didYouMean(word string, choices []string) string {
	if len(word) > 64 {
		return ""
	}
	best, least := "", 1+len(word)/3 // a third of the letters may be wrong
	for _, choice := range choices {
		if d := editDistance(strings.ToLower(word), choice); d < least {
			best, least = choice, d
		}
	}
	if best == "" {
		return ""
	}
	return " (did you mean " + strconv.Quote(best) + "?)"
}

// editDistance counts the bytes to insert, delete, replace or swap with their neighbour to make b of a (optimal
// string alignment).
func editDistance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(last[j]+cost, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
