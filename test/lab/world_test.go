package lab

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const (
	// project keeps the laboratory apart from a demo that somebody is looking at.
	project = "meridian-lab"
	// subnet is the half of 198.18.0.0/15 that the demo does not take.
	subnet = "198.19"
	// advert is the time between two adverts of a director.
	advert = 100 * time.Millisecond
)

// world is the containers, up.
type world struct {
	env []string
}

// takes is what the lab may need: ten minutes for the drills, and as much again for images that are built for the first time.
const takes = 30 * time.Minute

// up brings the world up and takes it down at the end of the test. It skips the test where no engine answers, and where
// the test would be ended before the world is taken down.
func up(t *testing.T) *world {
	t.Helper()
	if end, ok := t.Deadline(); ok && time.Until(end) < takes {
		t.Skipf("NO DRILL IS PLAYED ON CONTAINERS: %v are left for it: want -timeout %v or more", time.Until(end).Round(time.Second), takes)
	}
	asking, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if out, err := exec.CommandContext(asking, "docker", "version").CombinedOutput(); err != nil {
		t.Skipf("NO DRILL IS PLAYED ON CONTAINERS: NO DOCKER ENGINE ANSWERS HERE: %v: %s", err, lastLine(out))
	}
	ports, err := freePorts()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{env: append(os.Environ(), "DEMO_NET="+subnet, "DEMO_DNS="+ports, "DEMO_TRAVELER="+ports+"4", "DEMO_ADVERT="+advert.String())}
	if exec.CommandContext(t.Context(), "docker", "buildx", "version").Run() != nil {
		// The classic builder compiles again what another build is compiling: one after the other takes it from its cache.
		w.env = append(w.env, "DOCKER_BUILDKIT=0", "COMPOSE_BAKE=false", "COMPOSE_PARALLEL_LIMIT=1")
	}
	w.run(t, 20*time.Minute, filepath.Join(folder, "standin"))
	w.compose(t, 2*time.Minute, "down", "--volumes", "--remove-orphans", "--timeout", "1") // what a test that was cut short left
	t.Cleanup(func() {
		if t.Failed() {
			out, _ := w.command(context.Background(), "docker", w.args("logs", "--no-color", "--tail", "15")...).CombinedOutput()
			t.Logf("%s", out)
		}
		if out, err := w.command(context.Background(), "docker", w.args("down", "--volumes", "--remove-orphans", "--timeout", "1")...).CombinedOutput(); err != nil {
			t.Errorf("down: %v\n%s", err, out)
		}
	})
	start := time.Now()
	w.compose(t, 20*time.Minute, "build")
	built := time.Now()
	w.env = append(w.env, "COMPOSE_PARALLEL_LIMIT=-1")
	w.compose(t, 8*time.Minute, "up", "--wait", "--wait-timeout", "420")
	t.Logf("built in %v, up in %v", built.Sub(start).Round(time.Second), time.Since(built).Round(time.Second))
	return w
}

const folder = "../../deploy/compose"

// args are those of docker for a command of Compose.
func (w *world) args(args ...string) []string {
	return append([]string{"compose", "--project-name", project, "--file", filepath.Join(folder, "compose.yaml"), "--profile", "postgres"}, args...)
}

func (w *world) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env, cmd.WaitDelay = w.env, time.Second
	return cmd
}

// run runs a program that must succeed and returns its output.
func (w *world) run(t *testing.T, within time.Duration, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	var out, errs bytes.Buffer
	cmd := w.command(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, out.String(), errs.String())
	}
	return out.String()
}

func (w *world) compose(t *testing.T, within time.Duration, args ...string) string {
	t.Helper()
	return w.run(t, within, "docker", w.args(args...)...)
}

// leader returns the region whose database takes writes.
func (w *world) leader(t *testing.T, regions []string) string {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(time.Second) {
		for _, r := range regions {
			out, err := w.command(t.Context(), "docker", w.args(
				"exec", "--no-TTY", r+"-db", "psql", "--host", "/tmp", "--username", "postgres", "--tuples-only", "--no-align", "--command", "SELECT pg_is_in_recovery()")...).Output()
			if err == nil && strings.TrimSpace(string(out)) == "f" {
				return r
			}
		}
		if time.Now().After(deadline) {
			t.Fatal("no database takes writes")
		}
	}
}

// freePorts returns digits that make four free ports with 1, 2, 3 (DNS) and 4 (the traveler) after them.
func freePorts() (string, error) {
	for n := 530; n < 600; n += 10 {
		free := true
		for i := 1; i <= 4 && free; i++ {
			addr := fmt.Sprintf("127.0.0.1:%d%d", n, i)
			tcp, err := net.Listen("tcp", addr)
			if err != nil {
				free = false
				continue
			}
			tcp.Close()
			udp, err := net.ListenPacket("udp", addr)
			if err != nil {
				free = false
				continue
			}
			udp.Close()
		}
		if free {
			return fmt.Sprint(n), nil
		}
	}
	return "", fmt.Errorf("no four free ports in a row between 5301 and 5904")
}

func lastLine(b []byte) string {
	text := strings.TrimSpace(string(b))
	return text[strings.LastIndexByte(text, '\n')+1:]
}
