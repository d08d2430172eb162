package keyfile

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// words are keys that are written as they are.
var words = Format{Name: "words", Decode: func(line string) ([]byte, error) {
	if strings.Contains(line, " ") {
		return nil, errors.New("more than one word")
	}
	return []byte(line), nil
}}

func TestParse(t *testing.T) {
	for name, tt := range map[string]struct{ in, want, err string }{
		"one":               {in: "swordfish\n", want: "swordfish"},
		"no newline at end": {in: "swordfish", want: "swordfish"},
		"comments":          {in: "# the fleet's\n\n  one  # primary\r\n\t\n#\ntwo\n", want: "one two"},
		"empty":             {in: "", err: "no key: want at least one line of words"},
		"only comments":     {in: "# nothing\n", err: "no key: want at least one line of words"},
		"twice":             {in: "one\ntwo\none\n", err: "line 3: same key as in line 1"},
		"two faults":        {in: "a b\none\n\nc d\n", err: "line 1: more than one word\nline 4: more than one word"},
		"too many":          {in: numbers(MaxKeys + 1), err: "17 keys: want at most 16"},
		"as many as may be": {in: numbers(MaxKeys), want: strings.TrimSpace(strings.ReplaceAll(numbers(MaxKeys), "\n", " "))},
		"too long":          {in: strings.Repeat("#\n", maxBytes), err: "more than 65536 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			keys, err := words.Parse([]byte(tt.in))
			if got := string(bytes.Join(keys, []byte(" "))); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if got := fmt.Sprint(err); tt.err != "" && got != tt.err || tt.err == "" && err != nil {
				t.Errorf("got %q, want %q", got, tt.err)
			}
		})
	}
}

func numbers(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintln(&b, i)
	}
	return b.String()
}

func TestRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(path, []byte("swordfish\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for mode, want := range map[os.FileMode]bool{0o600: false, 0o640: false, 0o644: true} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		keys, exposed, err := words.Read(path)
		if len(keys) != 1 || exposed != want || err != nil {
			t.Errorf("mode %o: got %q, exposed %v, %v; want exposed %v", mode, keys, exposed, err, want)
		}
	}
	if err := os.WriteFile(path, []byte("a b"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := words.Read(path); err == nil || err.Error() != path+": line 1: more than one word" {
		t.Errorf("got %v, want the path and the line", err)
	}
	if err := os.WriteFile(path, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := words.Read(path); err == nil || err.Error() != path+": more than 65536 bytes" {
		t.Errorf("got %v, want the path and the limit", err)
	}
	if _, _, err := words.Read(path + ".missing"); !os.IsNotExist(err) {
		t.Errorf("missing: got %v", err)
	}
}

// Whatever is in a file, there are as many keys as may be, each once, or an error.
func FuzzParse(f *testing.F) {
	f.Add([]byte("one # first\n\ntwo\n"))
	f.Add([]byte("one\r\none\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		keys, err := words.Parse(text)
		if (err == nil) != (len(keys) > 0) || len(keys) > MaxKeys {
			t.Fatalf("%d keys, %v", len(keys), err)
		}
		seen := map[string]bool{}
		for _, k := range keys {
			if seen[string(k)] || len(k) == 0 || bytes.ContainsAny(k, "#\n ") {
				t.Fatalf("key %q", k)
			}
			seen[string(k)] = true
		}
	})
}
