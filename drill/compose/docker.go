package compose

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// callWithin is how long one call of the command line may take.
const callWithin = time.Minute

// docker is the program of the command line.
type docker string

// call runs the program and returns what it printed. Its complaint is the error.
func (d docker) call(ctx context.Context, stdin string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	cmd := d.command(ctx, args...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.WaitDelay = strings.NewReader(stdin), &out, &errs, time.Second
	if err := cmd.Run(); err != nil {
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			err = fmt.Errorf("no end within %v", callWithin)
		}
		return "", fmt.Errorf("%s %s: %w", d, args[0], complaint(err, errs.String()))
	}
	return out.String(), nil
}

// command makes a command that an interrupt of the terminal does not reach: a drill that ends has to heal.
func (d docker) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, string(d), args...)
	ownGroup(cmd)
	return cmd
}

// complaint adds what a program said last to how it ended.
func complaint(err error, said string) error {
	said = strings.TrimSpace(said)
	if said == "" {
		return err
	}
	return fmt.Errorf("%w: %s", err, said[strings.LastIndexByte(said, '\n')+1:])
}

// within runs a program beside a container, in its network, with no rights but the one to filter packets there.
func (d docker) within(ctx context.Context, container, image, stdin, program string, args ...string) error {
	_, err := d.call(ctx, stdin, append([]string{
		"run", "--rm", "--interactive", "--network", container, "--user", "0:0", "--read-only", "--cap-drop", "ALL", "--cap-add", "NET_ADMIN",
		"--security-opt", "no-new-privileges", "--memory", "64m", "--pull", "never", "--entrypoint", program, image,
	}, args...)...)
	return err
}
