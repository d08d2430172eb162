//go:build linux

package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A process is measured with its children and ended with them.
func TestProcess(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	p, err := startProcess(0, log, "/bin/sh", "-c", "echo started; sleep 1000 & wait")
	if err != nil {
		t.Fatal(err)
	}
	ended := false
	defer func() {
		if !ended {
			p.stop()
		}
	}()
	if err := p.waitReady(func() bool { return len(tree(p.cmd.Process.Pid)) == 2 }); err != nil {
		t.Fatal(err)
	}
	if _, err := p.usage(); err != nil || len(p.pids) != 2 {
		t.Errorf("%v, %v", p.pids, err)
	}
	p.stop()
	ended = true
	for deadline := time.Now().Add(5 * time.Second); syscall.Kill(p.pids[1], 0) == nil; {
		if time.Now().After(deadline) {
			t.Fatal("the child still runs")
		}
	}
	if text, _ := os.ReadFile(log); string(text) != "started\n" {
		t.Errorf("log: %q", text)
	}
}

// A server that ends at its start is an error at once, and not after ten seconds.
func TestProcessEnds(t *testing.T) {
	p, err := startProcess(0, filepath.Join(t.TempDir(), "log"), "/bin/false")
	if err != nil {
		t.Fatal(err)
	}
	defer p.stop()
	if err := p.waitReady(func() bool { return false }); err == nil || !strings.Contains(err.Error(), "ended at its start") {
		t.Errorf("got %v", err)
	}
}

func TestCPUTime(t *testing.T) {
	begin, _, err := cpuTime(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(5 * time.Second); ; {
		now, _, err := cpuTime(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		if now > begin {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("no time in user space in 5 s")
		}
	}
}
