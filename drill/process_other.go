//go:build !unix

package drill

import "os/exec"

// ownGroup does nothing: there is no such thing here.
func ownGroup(*exec.Cmd) {}
