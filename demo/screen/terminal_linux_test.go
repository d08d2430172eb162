package screen

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// pty is a terminal and what stands before it: what the program wrote, and a keyboard.
type pty struct {
	keyboard *os.File // also where the output comes out
	terminal *os.File

	mu  sync.Mutex
	out bytes.Buffer
}

func openPTY(t *testing.T) *pty {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Skip(err)
	}
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(int(master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 30, Col: 100}); err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip(err)
	}
	p := &pty{keyboard: master, terminal: slave}
	read := make(chan struct{})
	go func() {
		defer close(read)
		b := make([]byte, 4096)
		for {
			n, err := master.Read(b)
			p.mu.Lock()
			p.out.Write(b[:n])
			p.mu.Unlock()
			if err != nil {
				return // EIO when the terminal is closed
			}
		}
	}()
	t.Cleanup(func() {
		slave.Close()
		<-read
		master.Close()
	})
	return p
}

func (p *pty) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

func (p *pty) waitFor(t *testing.T, part string) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !strings.Contains(p.text(), part) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 10 s: %q in %q", part, p.text())
		}
		<-time.After(5 * time.Millisecond)
	}
}

func env(pairs ...string) func(string) string {
	return func(name string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

// restored reports whether the terminal's modes are those of before and the screen was left.
func (p *pty) restored(t *testing.T, before *unix.Termios) {
	t.Helper()
	after, err := unix.IoctlGetTermios(int(p.terminal.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	if *after != *before {
		t.Errorf("terminal modes %+v: want those of before, %+v", after, before)
	}
	p.waitFor(t, leaveScreen)
}

func TestScreenOnATerminal(t *testing.T) {
	p := openPTY(t)
	before, err := unix.IoctlGetTermios(int(p.terminal.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var done []Action
	saw := make(chan struct{}, 16)
	run := make(chan error, 1)
	go func() {
		run <- Run(t.Context(), p.terminal, p.terminal, lostFrankfurt, func(a Action) {
			mu.Lock()
			defer mu.Unlock()
			done = append(done, a)
			saw <- struct{}{}
		}, Options{Every: 10 * time.Millisecond, Getenv: env("NO_COLOR", "1")})
	}()
	p.waitFor(t, "[q] quit")
	p.keyboard.WriteString("3") // also selects
	<-saw
	p.keyboard.WriteString("d")
	<-saw
	p.keyboard.WriteString("\x1b[Bs9h") // down wraps to the first; there is no ninth site
	<-saw
	<-saw
	p.waitFor(t, "> [1] us-east")
	p.keyboard.WriteString("\x03")
	if err := <-run; err != nil {
		t.Error(err)
	}
	want := []Action{{ToggleSite, 2}, {KillDirector, 2}, {SlowSite, 0}, {HealAll, 0}}
	mu.Lock()
	defer mu.Unlock()
	if len(done) != len(want) {
		t.Fatalf("did %+v: want %+v", done, want)
	}
	for i := range want {
		if done[i] != want[i] {
			t.Errorf("did %+v: want %+v", done, want)
		}
	}
	p.restored(t, before)
	if text := p.text(); strings.Contains(text, "\x1b[32m") || !strings.Contains(text, enterScreen) {
		t.Errorf("colour in spite of NO_COLOR, or no alternate screen: %q", text)
	}
}

func TestScreenIsLeftAfterAPanic(t *testing.T) {
	p := openPTY(t)
	before, err := unix.IoctlGetTermios(int(p.terminal.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	calls := 0
	func() {
		defer func() {
			if recover() == nil {
				t.Error("no panic")
			}
		}()
		Run(t.Context(), p.terminal, p.terminal, func() Facts {
			if calls++; calls > 2 {
				if term.IsTerminal(int(p.terminal.Fd())) {
					panic("facts")
				}
			}
			return Facts{Up: time.Duration(calls) * time.Second}
		}, func(Action) {}, Options{Every: time.Millisecond, Getenv: env()})
	}()
	p.restored(t, before)
}

func TestScreenEndsWithItsContext(t *testing.T) {
	p := openPTY(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	run := make(chan error, 1)
	go func() {
		run <- Run(ctx, p.terminal, p.terminal, lostFrankfurt, func(Action) {}, Options{Every: time.Millisecond, Getenv: env()})
	}()
	p.waitFor(t, "\x1b[32m")
	cancel(errors.New("over"))
	if err := <-run; err != nil {
		t.Error(err)
	}
	p.waitFor(t, leaveScreen)
}
