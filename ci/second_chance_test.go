package main

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
)

func TestSecondChance(t *testing.T) {
	const (
		flaky = "ok  \texample/a\t0.1s\n--- FAIL: TestX (0.25s)\n    x_test.go:87: late\nFAIL\nFAIL\texample/b\t6.367s\nFAIL\n"
		race  = "WARNING: DATA RACE\nRead at 0x00\n" + flaky
		panic = "panic: nil map\n\ngoroutine 7 [running]:\n" + flaky
		build = "FAIL\texample/c [build failed]\n" + flaky
		fatal = "fatal error: all goroutines are asleep - deadlock!\n" + flaky
	)
	for name, tt := range map[string]struct {
		outputs []string // of the failing runs, in turn
		passes  bool
		again   []string
	}{
		"passes":             {nil, true, nil},
		"fails once":         {[]string{flaky}, true, []string{"example/b"}},
		"fails twice":        {[]string{flaky, flaky}, false, []string{"example/b"}},
		"data race":          {[]string{race}, false, nil},
		"panic":              {[]string{panic}, false, nil},
		"deadlock":           {[]string{fatal}, false, nil},
		"does not compile":   {[]string{build}, false, nil},
		"nobody knows where": {[]string{"no space left on device\n"}, false, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var runs [][]string
			var said strings.Builder
			s := secondChance{out: &said}
			err := s.test([]string{"example/a", "example/b"}, func(out io.Writer, packages []string, more ...string) error {
				runs = append(runs, packages)
				if n := len(runs); n <= len(tt.outputs) {
					_, _ = io.WriteString(out, tt.outputs[n-1])
					return errors.New("exit status 1")
				}
				return nil
			})
			if (err == nil) != tt.passes {
				t.Errorf("error %v: want none: %v", err, tt.passes)
			}
			if len(runs) > 2 || len(runs) == 2 && !slices.Equal(runs[1], tt.again) || len(runs) == 1 && tt.again != nil {
				t.Errorf("ran %v: want %v again", runs, tt.again)
			}
			if tt.passes && !slices.Equal(s.passed, tt.again) {
				t.Errorf("unsteady %v: want %v", s.passed, tt.again)
			}
			if len(tt.outputs) > 0 && !strings.Contains(said.String(), tt.outputs[0]) {
				t.Errorf("the output is not shown: %q", said.String())
			}
		})
	}
}
