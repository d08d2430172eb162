package node

import (
	"runtime/debug"
)

// Version identifies this program.
type Version struct {
	Version string `json:"version"` // module version, or the commit it was built from; "devel" when neither is known
	Go      string `json:"go"`
}

// BuildVersion reads what the linker recorded.
func BuildVersion() Version {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return Version{Version: "devel"}
	}
	v := Version{Version: info.Main.Version, Go: info.GoVersion}
	if v.Version != "" && v.Version != "(devel)" {
		return v
	}
	v.Version = "devel"
	var revision, modified string
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			revision = s.Value
		case "vcs.modified":
			modified = s.Value
		}
	}
	if len(revision) >= 12 {
		v.Version = "devel-" + revision[:12]
		if modified == "true" {
			v.Version += "-dirty"
		}
	}
	return v
}
