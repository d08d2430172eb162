package drill

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// Manual is the world in which a person breaks and heals.
type Manual struct {
	out   io.Writer
	lines chan string // what the person types; closed at the end of the input
}

// NewManual asks a person on out and reads from in what they type. The goroutine that reads ends with in.
func NewManual(in io.Reader, out io.Writer) *Manual {
	m := &Manual{out: out, lines: make(chan string)}
	go func() {
		defer close(m.lines)
		for scanner := bufio.NewScanner(in); scanner.Scan(); {
			m.lines <- scanner.Text()
		}
	}()
	return m
}

// Name implements [World].
func (m *Manual) Name() string { return "manual" }

// Can implements [World]. A person can do anything.
func (m *Manual) Can() []Kind { return Kinds() }

// manualPatience is how long a person has to do what they are asked.
const manualPatience = 10 * time.Minute

// Inject implements [World]: the fault acts from when the person says so.
func (m *Manual) Inject(ctx context.Context, f Fault) (Injection, error) {
	fmt.Fprintf(m.out, "\n>>> BREAK  %s\n>>> It must not last longer than %v, even if this program dies. Press Enter at the moment you do it: ", f, f.For)
	if err := m.enter(ctx); err != nil {
		return Injection{}, err
	}
	return Injection{Fault: f, At: time.Now()}, nil
}

// Heal implements [World]. An interrupted drill says what is to be put back although nobody may be reading.
func (m *Manual) Heal(ctx context.Context, in Injection) error {
	fmt.Fprintf(m.out, "\n>>> PUT IT BACK  %s\n>>> Press Enter when it is done: ", in.Fault)
	return m.enter(ctx)
}

func (m *Manual) enter(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, manualPatience)
	defer cancel()
	select {
	case _, ok := <-m.lines:
		if !ok {
			return errors.New("nobody answers: the input has ended")
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
