package terminal

import (
	"bytes"
	"testing"
)

func TestTableIgnoresColour(t *testing.T) {
	var b bytes.Buffer
	table := NewTable(&b, "A", "B")
	table.Row(Paint(true).Good("up"), "x")
	table.Row("unknown", "y")
	table.Flush()
	if want := "A        B\n\x1b[32mup\x1b[0m       x\nunknown  y\n"; b.String() != want {
		t.Errorf("got %q\nwant %q", b.String(), want)
	}
}
