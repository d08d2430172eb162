//go:build !unix

package compose

import "os/exec"

func ownGroup(*exec.Cmd) {}

func ownSession(*exec.Cmd) {}

// endSession ends a program. One that is over is no error.
func endSession(cmd *exec.Cmd) { _ = cmd.Process.Kill() }
