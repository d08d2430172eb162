package mmdb

import (
	"fmt"
	"path/filepath"
	"strings"
)

// String sums up for people which databases a world came from, and how old they are.
func (i Info) String() string {
	if len(i.Databases) == 0 {
		return "none"
	}
	var parts []string
	for _, d := range i.Databases {
		parts = append(parts, fmt.Sprintf("%s %s of %s", d.Role, filepath.Base(d.File), d.Built.UTC().Format("2006-01-02")))
	}
	return strings.Join(parts, ", ")
}
