//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// process is a server that runs.
type process struct {
	cmd    *exec.Cmd
	pids   []int // of it and its children when it was ready
	exited chan struct{}
	log    string
}

// startProcess starts a program on one core; its output goes to a file.
func startProcess(core int, log, program string, args ...string) (*process, error) {
	out, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	// taskset replaces itself by the program, which sees the one core from its first instruction.
	cmd := exec.Command("taskset", append([]string{"-c", strconv.Itoa(core), program}, args...)...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM} // if this program is killed
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, pids: []int{cmd.Process.Pid}, exited: make(chan struct{}), log: log}
	go func() {
		_ = cmd.Wait() // how it ends is not ours to judge
		close(p.exited)
	}()
	return p, nil
}

// waitReady calls ready until it says so, and fails when the process ends or ten seconds have passed.
func (p *process) waitReady(ready func() bool) error {
	deadline := time.After(10 * time.Second)
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for !ready() {
		select {
		case <-p.exited:
			return fmt.Errorf("ended at its start, see %s", p.log)
		case <-deadline:
			return fmt.Errorf("not ready in 10 s, see %s", p.log)
		case <-poll.C:
		}
	}
	p.pids = tree(p.cmd.Process.Pid)
	return nil
}

// stop ends the process and the children that it had, with force if need be.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.exited:
	case <-time.After(5 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.exited
	}
	for _, pid := range p.pids[1:] {
		_ = syscall.Kill(pid, syscall.SIGKILL) // its parent is gone; so is it, as a rule
	}
}

// usage is what a process and its children have used.
type usage struct {
	user, system time.Duration
	memory       int // octets, memory that is shared counted by its part
}

func (p *process) usage() (u usage, err error) {
	for _, pid := range p.pids {
		user, system, err := cpuTime(pid)
		if err != nil {
			return usage{}, err
		}
		u.user += user
		u.system += system
		u.memory += memory(pid)
	}
	return u, nil
}

// tree returns a process and all below it.
func tree(pid int) []int {
	pids := []int{pid}
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, file := range files {
		children, _ := os.ReadFile(file)
		for _, field := range strings.Fields(string(children)) {
			if child, err := strconv.Atoi(field); err == nil {
				pids = append(pids, tree(child)...)
			}
		}
	}
	return pids
}

// cpuTime reads /proc/PID/stat, see proc(5). It counts in ticks, a hundred a second on all Linux systems.
func cpuTime(pid int) (user, system time.Duration, err error) {
	const tick = 10 * time.Millisecond
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0, err
	}
	// The name of the program may hold anything, also blanks and parentheses.
	_, rest, ok := strings.Cut(string(text[strings.LastIndexByte(string(text), ')'):]), ") ")
	fields := strings.Fields(rest)
	if !ok || len(fields) < 13 {
		return 0, 0, fmt.Errorf("/proc/%d/stat: %q: want 13 fields and more", pid, text)
	}
	utime, err1 := strconv.Atoi(fields[11])
	stime, err2 := strconv.Atoi(fields[12])
	return time.Duration(utime) * tick, time.Duration(stime) * tick, errors.Join(err1, err2)
}

// memory returns the proportional set size; 0 if it cannot be read.
func memory(pid int) int {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) >= 2 && fields[0] == "Pss:" {
			kilobytes, _ := strconv.Atoi(fields[1])
			return kilobytes << 10
		}
	}
	return 0
}

// pin binds the calling thread to one core.
func pin(core int) error {
	var set unix.CPUSet
	set.Set(core)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("core %d: %w", core, err)
	}
	return nil
}
