package screen

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"
)

// Options of Run; the zero value is right for a program that was started by hand.
type Options struct {
	Every  time.Duration       // between frames; default 200 ms
	Plain  bool                // print lines even on a terminal
	Getenv func(string) string // for NO_COLOR and TERM; default os.Getenv
}

// Run shows facts until the user quits or ctx ends, and returns nil then. facts and do are called from Run's own
// goroutine, one at a time, and should not take long. The keyboard is read only when in and out are terminals.
func Run(ctx context.Context, in, out *os.File, facts func() Facts, do func(Action), opt Options) error {
	if opt.Every == 0 {
		opt.Every = 200 * time.Millisecond
	}
	if opt.Getenv == nil {
		opt.Getenv = os.Getenv
	}
	tick := time.NewTicker(opt.Every)
	defer tick.Stop()
	if opt.Plain || !term.IsTerminal(int(out.Fd())) || opt.Getenv("TERM") == "dumb" {
		return printLines(ctx, out, facts, tick.C)
	}

	s := &screen{out: out, colour: opt.Getenv("NO_COLOR") == "", facts: facts, do: do}
	// The deferred calls give the terminal back, also when facts or do panic.
	defer s.leave()
	if err := s.enter(); err != nil {
		return err
	}
	var keys chan []byte
	if term.IsTerminal(int(in.Fd())) {
		before, err := term.MakeRaw(int(in.Fd()))
		if err != nil {
			return fmt.Errorf("screen: raw keyboard: %w", err)
		}
		defer term.Restore(int(in.Fd()), before)
		keys = make(chan []byte)
		reading, end := context.WithCancel(ctx)
		var reader sync.WaitGroup
		defer reader.Wait()
		defer end()
		reader.Go(func() { readKeys(reading, in, keys) })
	}
	for {
		if err := s.paint(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case b := <-keys:
			if s.obey(decode(b)) {
				return nil
			}
		}
	}
}

func printLines(ctx context.Context, out io.Writer, facts func() Facts, tick <-chan time.Time) error {
	var prev Facts
	for {
		now := facts()
		for _, line := range Lines(prev, now) {
			if _, err := fmt.Fprintln(out, line); err != nil {
				return fmt.Errorf("screen: %w", err)
			}
		}
		if len(now.Events) == 0 {
			now.Events = prev.Events // what was printed stays printed
		}
		prev = now
		select {
		case <-ctx.Done():
			return nil
		case <-tick:
		}
	}
}

// screen is a terminal while a frame is on it.
type screen struct {
	out      *os.File
	colour   bool
	facts    func() Facts
	do       func(Action)
	selected int
	sites    int    // in the last frame
	last     string // what is on the screen
}

// Control sequences of xterm that every terminal of today knows.
const (
	enterScreen = "\x1b[?1049h\x1b[?25l\x1b[2J" // alternate screen, no cursor, empty
	leaveScreen = "\x1b[0m\x1b[?25h\x1b[?1049l"
	frameStart  = "\x1b[?2026h\x1b[H" // synchronized update where known, cursor home
	frameEnd    = "\x1b[J\x1b[?2026l"
	lineEnd     = "\x1b[K\r\n" // raw mode does not return the carriage by itself
)

func (s *screen) enter() error {
	if _, err := s.out.WriteString(enterScreen); err != nil {
		return fmt.Errorf("screen: %w", err)
	}
	return nil
}

func (s *screen) leave() { s.out.WriteString(leaveScreen) }

// paint draws what changed.
func (s *screen) paint() error {
	width, height, err := term.GetSize(int(s.out.Fd()))
	if err != nil || width <= 0 || height <= 0 {
		width, height = 80, 24
	}
	f := s.facts()
	s.sites = len(f.Sites)
	s.selected = min(s.selected, max(0, s.sites-1))
	f.Selected = s.selected
	frame := strings.Join(fit(f, width, height, s.colour), lineEnd) + frameEnd
	if frame == s.last {
		return nil
	}
	s.last = frame
	if _, err := s.out.WriteString(frameStart + frame); err != nil {
		return fmt.Errorf("screen: %w", err)
	}
	return nil
}

// fit renders f in at most height lines: the oldest events go first.
func fit(f Facts, width, height int, colour bool) []string {
	lines := func() []string { return strings.Split(strings.TrimSuffix(Render(f, width, colour), "\n"), "\n") }
	all := lines()
	if over := len(all) - height; over > 0 {
		f.Events = f.Events[min(over, len(f.Events)):]
		all = lines()
	}
	return all[:min(len(all), height)]
}

// obey passes actions on and reports whether one of them ends the screen.
func (s *screen) obey(actions []Action) (end bool) {
	for _, a := range actions {
		switch a.Do {
		case quit:
			return true
		case next:
			s.selected = (s.selected + 1) % max(1, s.sites)
		case previous:
			s.selected = (s.selected + max(1, s.sites) - 1) % max(1, s.sites)
		case ToggleSite:
			if a.Site < s.sites {
				s.selected = a.Site
				s.do(a)
			}
		case KillDirector, SlowSite:
			if s.sites > 0 {
				a.Site = s.selected
				s.do(a)
			}
		default:
			s.do(a)
		}
	}
	return false
}
