//go:build unix

package drill

import (
	"os/exec"
	"syscall"
)

// ownGroup keeps the interrupt of a terminal from a program: it is told by the drill when to end.
func ownGroup(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }
