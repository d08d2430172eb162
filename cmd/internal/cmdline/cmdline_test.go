package cmdline

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
)

func TestFinish(t *testing.T) {
	hint := func(err error) string {
		if err.Error() == "known" {
			return "turn it off and on"
		}
		return ""
	}
	for _, tt := range []struct {
		err    error
		code   int
		stderr string
	}{
		{nil, ExitOK, ""},
		{errors.New("x"), ExitFailed, "tool: x\n"},
		{errors.New("known"), ExitFailed, "tool: known\nhint: turn it off and on\n"},
		{fmt.Errorf("y: %w", HintedError{errors.New("known"), "z"}), ExitFailed, "tool: y: known\nhint: z\n"},
		{Usagef("want %d", 3), ExitUsage, "tool: want 3\nhint: see: tool help\n"},
		{fmt.Errorf("already: %w", ErrSaid), ExitFailed, ""},
	} {
		var stderr bytes.Buffer
		if code := Finish("tool", tt.err, hint, &stderr); code != tt.code || stderr.String() != tt.stderr {
			t.Errorf("%v: exit %d, %q: want %d, %q", tt.err, code, stderr.String(), tt.code, tt.stderr)
		}
	}
}
