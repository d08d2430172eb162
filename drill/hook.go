package drill

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"
)

// hookWithin is how long a script may take.
const hookWithin = 30 * time.Second

// Hook is a world of real sites that a program breaks and heals:
//
//	SCRIPT list                        prints the kinds of faults that it can make, one a line
//	SCRIPT inject KIND SITE SECONDS    breaks; must see to it that the fault ends after SECONDS by itself
//	SCRIPT heal KIND SITE SECONDS      heals; a fault that is over is no error
//
// SITE is "-" for a fault between all sites. MERIDIAN_DRILL_TO, MERIDIAN_DRILL_DELAY_MS and MERIDIAN_DRILL_PERCENT
// hold the rest. Any exit code but 0 is an error whose text is what the script wrote to its standard error.
type Hook struct {
	script string
	kinds  []Kind
}

// NewHook asks a script what it can do.
func NewHook(ctx context.Context, script string) (*Hook, error) {
	h := &Hook{script: script}
	out, err := h.call(ctx, nil, "list")
	if err != nil {
		return nil, err
	}
	for _, word := range strings.Fields(out) {
		if !slices.Contains(Kinds(), Kind(word)) {
			return nil, fmt.Errorf("hook %s: lists %q: want some of %v", script, word, Kinds())
		}
		h.kinds = append(h.kinds, Kind(word))
	}
	if len(h.kinds) == 0 {
		return nil, fmt.Errorf("hook %s: lists nothing: want some of %v", script, Kinds())
	}
	return h, nil
}

// Name implements [World].
func (h *Hook) Name() string { return "hook" }

// Can implements [World].
func (h *Hook) Can() []Kind { return slices.Clone(h.kinds) }

// Inject implements [World].
func (h *Hook) Inject(ctx context.Context, f Fault) (Injection, error) {
	at := time.Now()
	_, err := h.call(ctx, f.environment(), "inject", string(f.Kind), f.place(), f.limit())
	return Injection{Fault: f, At: at}, err
}

// Heal implements [World].
func (h *Hook) Heal(ctx context.Context, in Injection) error {
	_, err := h.call(ctx, in.Fault.environment(), "heal", string(in.Fault.Kind), in.Fault.place(), in.Fault.limit())
	return err
}

func (f Fault) place() string {
	if f.Site == "" {
		return "-"
	}
	return f.Site
}

func (f Fault) limit() string { return strconv.FormatInt(int64(f.For/time.Second), 10) }

func (f Fault) environment() []string {
	return []string{
		"MERIDIAN_DRILL_TO=" + f.To,
		"MERIDIAN_DRILL_DELAY_MS=" + strconv.FormatInt(f.Delay.Milliseconds(), 10),
		"MERIDIAN_DRILL_PERCENT=" + strconv.Itoa(f.Percent),
	}
}

func (h *Hook) call(ctx context.Context, environment []string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, hookWithin)
	defer cancel()
	cmd := exec.CommandContext(ctx, h.script, args...)
	cmd.Env = append(os.Environ(), environment...)
	cmd.WaitDelay = time.Second
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		if ctx.Err() == context.DeadlineExceeded {
			err = fmt.Errorf("no end within %v", hookWithin)
		}
		return "", fmt.Errorf("hook %s %s: %w: %s", h.script, strings.Join(args, " "), err, strings.TrimSpace(errs.String()))
	}
	return out.String(), nil
}
