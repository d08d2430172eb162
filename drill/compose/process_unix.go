//go:build unix

package compose

import (
	"os/exec"
	"syscall"
)

// ownGroup keeps the interrupt of a terminal from a program.
func ownGroup(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// ownSession lets a program live on when the terminal and this process are gone.
func ownSession(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} }

// endSession ends a program of its own session, with all that it started. One that is over is no error.
func endSession(cmd *exec.Cmd) { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
