package compose

import (
	"fmt"
	"os/exec"
	"strconv"
	"time"
)

// rescue brings containers back when a fault's time is over, and lives on when the drill dies: it is a shell that sleeps, in
// a session of its own.
type rescue struct {
	cmd   *exec.Cmd
	ended chan struct{}
}

// rescueAfter starts a rescue that will call the command line.
func (d docker) rescueAfter(lasts time.Duration, args ...string) (*rescue, error) {
	seconds := strconv.FormatInt(int64((lasts+time.Second-1)/time.Second), 10)
	cmd := exec.Command("sh", append([]string{"-c", `sleep "$1"; shift; exec "$@"`, "meridian-drill", seconds, string(d)}, args...)...)
	ownSession(cmd)
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("nobody would bring the containers back if the drill died: %w", err)
	}
	r := &rescue{cmd: cmd, ended: make(chan struct{})}
	go func() {
		defer close(r.ended)
		_ = cmd.Wait() // it was ended, or has done what it was for
	}()
	return r, nil
}

// dismiss ends a rescue that is not needed.
func (r *rescue) dismiss() {
	select {
	case <-r.ended: // its number may be another process's by now
	default:
		endSession(r.cmd)
		<-r.ended
	}
}
