package screen

import (
	"bufio"
	"context"
	"os"
	"testing"
	"time"
)

// TestPlainLines: where there is no terminal, every change is one line, once.
func TestPlainLines(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	ctx, end := context.WithCancel(t.Context())
	defer end()
	frames := []Facts{
		{Now: noon, Events: []Event{{1, noon, "one"}}},
		{Now: noon, Events: []Event{{1, noon, "one"}, {2, noon, "two"}}},
		{Now: noon},
		{Now: noon, Events: []Event{{2, noon, "two"}, {3, noon, "three"}}},
	}
	run := make(chan error, 1)
	go func() {
		defer w.Close()
		run <- Run(ctx, w, w, func() Facts {
			f := frames[0]
			if len(frames) > 1 {
				frames = frames[1:]
			}
			return f
		}, func(Action) {}, Options{Every: time.Millisecond})
	}()
	s := bufio.NewScanner(r)
	for _, want := range []string{"12:00:00  one", "12:00:00  two", "12:00:00  three"} {
		if !s.Scan() || s.Text() != want {
			t.Fatalf("line %q: want %q", s.Text(), want)
		}
	}
	end()
	if err := <-run; err != nil {
		t.Error(err)
	}
	if s.Scan() {
		t.Errorf("one line too many: %q", s.Text())
	}
}
