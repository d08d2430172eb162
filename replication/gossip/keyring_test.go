package gossip

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/memberlist"
)

func key(size int, fill byte) []byte { return bytes.Repeat([]byte{fill}, size) }

func TestParseKeyring(t *testing.T) {
	b64 := base64.StdEncoding.EncodeToString
	a, b, c := b64(key(16, 1)), b64(key(24, 2)), b64(key(32, 3))
	for name, tt := range map[string]struct {
		in   string
		want int    // keys
		err  string // in the error
	}{
		"one":               {in: a + "\n", want: 1},
		"no newline at end": {in: a, want: 1},
		"three sizes":       {in: a + "\n" + b + "\n" + c + "\n", want: 3},
		"comments":          {in: "# the fleet's\n\n  " + a + "  # primary\r\n\t\n#\n" + b + "\n", want: 2},
		"empty":             {in: "", err: "no key"},
		"only comments":     {in: "# nothing\n", err: "no key"},
		"wrong size":        {in: a + "\n" + b64(key(20, 1)), err: "line 2: key of 20 bytes: want 16, 24 or 32"},
		"not base64":        {in: "swordfish!\n", err: "line 1: not base64"},
		"url base64":        {in: strings.Repeat("_", 22) + "==\n", err: "line 1: not base64"},
		"twice":             {in: a + "\n" + b + "\n" + a + "\n", err: "line 3: same key as in line 1"},
		"two faults":        {in: "x\n" + a + "\ny\n", err: "line 1: not base64\nline 3: not base64"},
		"too long":          {in: strings.Repeat("#\n", 64<<10), err: "more than 65536 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			keys, err := ParseKeyring([]byte(tt.in))
			if len(keys) != tt.want || (tt.err == "") != (err == nil) || (err != nil && !strings.Contains(err.Error(), tt.err)) {
				t.Errorf("got %d keys, %v; want %d, %q", len(keys), err, tt.want, tt.err)
			}
			if tt.want > 0 && !bytes.Equal(keys[0], key(16, 1)) {
				t.Errorf("primary is %x, want the first", keys[0])
			}
			if err != nil && (strings.Contains(err.Error(), "swordfish") || strings.Contains(err.Error(), a)) {
				t.Errorf("the error shows a key: %v", err)
			}
		})
	}

	var many strings.Builder
	for i := range MaxKeys + 1 {
		fmt.Fprintln(&many, b64(key(16, byte(i+1))))
	}
	if _, err := ParseKeyring([]byte(many.String())); err == nil || !strings.Contains(err.Error(), "17 keys: want at most 16") {
		t.Errorf("many keys: got %v", err)
	}
}

func TestReadKeyring(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gossip.keys")
	text := base64.StdEncoding.EncodeToString(testKey) + "\n"
	for mode, want := range map[os.FileMode]bool{0o600: false, 0o640: false, 0o644: true} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		keys, exposed, err := ReadKeyring(path)
		if len(keys) != 1 || exposed != want || err != nil {
			t.Errorf("mode %o: got %d keys, exposed %v, %v; want exposed %v", mode, len(keys), exposed, err, want)
		}
	}
	if err := os.WriteFile(path, []byte("?"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := ReadKeyring(path); err == nil || !strings.Contains(err.Error(), "gossip.keys: line 1") {
		t.Errorf("got %v, want the path and the line", err)
	}
	if _, _, err := ReadKeyring(path + ".missing"); !os.IsNotExist(err) {
		t.Errorf("missing: got %v", err)
	}
}

// Whatever is replaced by whatever, the ring is exactly the new one, its first key first, and at no moment empty.
func TestReplaceKeys(t *testing.T) {
	ring, err := memberlist.NewKeyring(nil, key(16, 1))
	if err != nil {
		t.Fatal(err)
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() { // a packet being decrypted meanwhile reads the keys
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
			}
			for _, k := range ring.GetKeys() {
				if len(k) != 16 {
					t.Errorf("key of %d bytes", len(k))
				}
			}
		}
	}()
	for range 500 {
		var want [][]byte
		for _, i := range rand.Perm(6)[:1+rand.IntN(4)] {
			want = append(want, key(16, byte(i)))
		}
		if err := replaceKeys(ring, want); err != nil {
			t.Fatal(err)
		}
		got := ring.GetKeys()
		if len(got) != len(want) || !bytes.Equal(got[0], want[0]) {
			t.Fatalf("got %x, want %x", got, want)
		}
		for _, k := range want {
			if !bytes.Contains(bytes.Join(got, nil), k) {
				t.Fatalf("got %x, want %x", got, want)
			}
		}
	}
	close(stop)
	<-stopped
}

func TestSetKeysRefuses(t *testing.T) {
	g, err := New(&owner{}, options(0))
	if err != nil {
		t.Fatal(err)
	}
	if err := g.SetKeys(nil); err == nil {
		t.Error("an encrypted node gave up its keys")
	}
	if err := g.SetKeys([][]byte{{1}}); err == nil {
		t.Error("a key of one byte was taken")
	}
	opts := options(0)
	opts.Keyring = nil
	if g, err = New(&owner{}, opts); err != nil {
		t.Fatal(err)
	}
	if err := g.SetKeys([][]byte{testKey}); err == nil || !strings.Contains(err.Error(), "restart") {
		t.Errorf("an unencrypted node took keys: %v", err)
	}
}

func FuzzParseKeyring(f *testing.F) {
	f.Add([]byte("MDEyMzQ1Njc4OWFiY2RlZg== # primary\n\n#\nMDEyMzQ1Njc4OWFiY2RlZg==\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		keys, err := ParseKeyring(text)
		if err != nil {
			if keys != nil {
				t.Error("keys in spite of an error")
			}
			return
		}
		if err := checkKeys(keys); err != nil {
			t.Error(err)
		}
	})
}
