// Package cmdline holds what the project's commands share in reading their command line and in how they end.
package cmdline

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"
)

// Exit codes that scripts may rely on.
const (
	ExitOK     = 0
	ExitFailed = 1 // the command ran and the answer is no: refused, invalid, unreachable
	ExitUsage  = 2 // the command line is wrong
)

// UsageError is a mistake in the command line.
type UsageError struct{ Err error }

func (e UsageError) Error() string { return e.Err.Error() }

// Unwrap returns what is wrong.
func (e UsageError) Unwrap() error { return e.Err }

// Usagef makes a UsageError.
func Usagef(format string, args ...any) error { return UsageError{fmt.Errorf(format, args...)} }

// HintedError adds what to do next.
type HintedError struct {
	Err  error
	Hint string
}

func (e HintedError) Error() string { return e.Err.Error() }

// Unwrap returns what went wrong.
func (e HintedError) Unwrap() error { return e.Err }

// ErrSaid fails a command that has already printed why.
var ErrSaid = errors.New("said")

// Finish prints err as program's, with its hint, and returns the exit code. hint adds hints of the program's own; it
// may be nil.
func Finish(program string, err error, hint func(error) string, stderr io.Writer) int {
	if err == nil {
		return ExitOK
	}
	if errors.Is(err, ErrSaid) {
		return ExitFailed
	}
	fmt.Fprintf(stderr, "%s: %v\n", program, err)
	if _, ok := errors.AsType[UsageError](err); ok {
		fmt.Fprintf(stderr, "hint: see: %s help\n", program)
		return ExitUsage
	}
	if hinted, ok := errors.AsType[HintedError](err); ok {
		fmt.Fprintf(stderr, "hint: %s\n", hinted.Hint)
	} else if hint != nil && hint(err) != "" {
		fmt.Fprintf(stderr, "hint: %s\n", hint(err))
	}
	return ExitFailed
}

// Prepare sets up app so that it never exits by itself and every mistake in the command line is a UsageError.
func Prepare(app *cli.App) *cli.App {
	app.HideVersion = true
	app.ExitErrHandler = func(*cli.Context, error) {}
	onUsage := func(_ *cli.Context, err error, _ bool) error { return UsageError{err} }
	app.OnUsageError = onUsage
	setUsageErrors(app.Commands, onUsage)
	return app
}

func setUsageErrors(commands []*cli.Command, f cli.OnUsageErrorFunc) {
	for _, c := range commands {
		c.OnUsageError = f
		setUsageErrors(c.Subcommands, f)
	}
}

// FlagsFirst moves the flags of the command that args name before its positional arguments, because the flag parser
// stops at the first positional one and people write "drain fra --why ...".
func FlagsFirst(app *cli.App, args []string) []string {
	if len(args) < 2 {
		return args
	}
	out := []string{args[0]}
	rest := args[1:]
	commands := app.Commands
	var current *cli.Command
	for len(rest) > 0 {
		i := indexCommand(commands, rest[0])
		if i < 0 {
			break
		}
		current, commands = commands[i], commands[i].Subcommands
		out, rest = append(out, rest[0]), rest[1:]
	}
	if current == nil {
		return args
	}
	var positional []string
	for len(rest) > 0 {
		arg := rest[0]
		rest = rest[1:]
		switch {
		case arg == "--":
			positional = append(positional, rest...)
			rest = nil
		case !strings.HasPrefix(arg, "-") || arg == "-":
			positional = append(positional, arg)
		default:
			out = append(out, arg)
			if takesValue(current, arg) && len(rest) > 0 {
				out, rest = append(out, rest[0]), rest[1:]
			}
		}
	}
	if len(positional) == 0 {
		return out
	}
	return append(append(out, "--"), positional...)
}

func indexCommand(commands []*cli.Command, name string) int {
	for i, c := range commands {
		if c.HasName(name) {
			return i
		}
	}
	return -1
}

// takesValue reports whether arg is a flag whose value is the next argument.
func takesValue(c *cli.Command, arg string) bool {
	name := strings.TrimLeft(arg, "-")
	if strings.Contains(name, "=") {
		return false
	}
	for _, f := range c.Flags {
		for _, n := range f.Names() {
			if n == name {
				_, boolean := f.(*cli.BoolFlag)
				return !boolean
			}
		}
	}
	return false
}

// WriteJSON prints v for machines.
func WriteJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// WantArgs checks the number of positional arguments.
func WantArgs(c *cli.Context, names ...string) error {
	if c.NArg() == len(names) {
		return nil
	}
	if len(names) == 0 {
		return Usagef("%s: unexpected argument %q", c.Command.FullName(), c.Args().First())
	}
	return Usagef("%s: want %s, got %d arguments", c.Command.FullName(), strings.Join(names, " "), c.NArg())
}
