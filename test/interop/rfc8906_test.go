package interop

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// The tests that RFC 8906 section 8 gives to operators, with the program that it gives them for.
func TestRFC8906(t *testing.T) {
	bin := locate(t, "dig", packages["dig"])
	script, err := os.ReadFile("testdata/rfc8906.txt")
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	asked, title, command, out := 0, "", "", ""
	for line := range strings.Lines(string(script)) {
		line = strings.TrimSuffix(line, "\n")
		options, ask := strings.CutPrefix(line, "> ")
		unwanted, not := strings.CutPrefix(line, "not ")
		switch {
		case line == "":
		case line[0] == ';':
			title = line[2:]
		case ask:
			asked++
			command, out = options, dig(t, bin, w, options)
		case not && strings.Contains(out, unwanted):
			t.Errorf("%s: dig %s: want no %q in\n%s", title, command, unwanted, out)
		case !not && !strings.Contains(out, line):
			t.Errorf("%s: dig %s: want %q in\n%s", title, command, line, out)
		}
	}
	if asked != 18 {
		t.Errorf("%d commands, want the 18 of the section", asked)
	}
}

func dig(t *testing.T, bin string, w *world, options string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	args := append([]string{"@" + shopAddr.String(), "-p", w.portString()},
		strings.Fields(strings.ReplaceAll(options, "$ZONE", "shop.example."))...)
	out, err := exec.CommandContext(ctx, bin, args...).CombinedOutput()
	if err != nil {
		t.Errorf("dig %s: %v", options, err)
	}
	return string(out)
}
