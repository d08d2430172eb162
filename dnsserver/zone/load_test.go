package zone

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/miekg/dns"
)

const apexRecords = "$TTL 300\n@ SOA ns.example.net. host.example.net. 1 7200 900 1209600 60\n  NS ns.example.org.\n"

// write makes a file below dir and returns its path.
func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLoadIncludesBelowDirectory(t *testing.T) {
	dir := t.TempDir()
	file := write(t, dir, "zones/shop.zone", apexRecords+"$INCLUDE sub/hosts.zone\n$INCLUDE link.zone\n")
	write(t, dir, "zones/sub/hosts.zone", "www A 192.0.2.80\n")
	write(t, dir, "zones/real.zone", "api A 192.0.2.81\n")
	if err := os.Symlink("real.zone", filepath.Join(dir, "zones/link.zone")); err != nil {
		t.Skip(err)
	}
	z, err := Load(Source{Origin: "Shop.Example", File: file})
	if err != nil {
		t.Fatal(err)
	}
	for _, qname := range []string{"www.shop.example.", "api.shop.example."} {
		if r := z.Lookup(qname, dns.TypeA); r.Kind != Success {
			t.Errorf("%s: %v", qname, r.Kind)
		}
	}
	if z.Origin() != "shop.example." || z.Serial() != 1 {
		t.Errorf("origin %q, serial %d", z.Origin(), z.Serial())
	}
}

// TestLoadStaysInDirectory tries the ways out: nothing of the file outside may show, not even in an error.
func TestLoadStaysInDirectory(t *testing.T) {
	dir := t.TempDir()
	outside := write(t, dir, "secret", "hunter2 A 192.0.2.1\n")
	file := write(t, dir, "zones/shop.zone", apexRecords+
		"$INCLUDE "+outside+"\n$INCLUDE ../secret\n$INCLUDE escape\n$INCLUDE dir/secret\n$INCLUDE pipe\n$INCLUDE sub/../../secret\n")
	if err := errors.Join(
		os.Symlink("../secret", filepath.Join(dir, "zones/escape")),
		os.Symlink(dir, filepath.Join(dir, "zones/dir")),
	); err != nil {
		t.Skip(err)
	}
	if runtime.GOOS == "linux" {
		if err := syscall.Mkfifo(filepath.Join(dir, "zones/pipe"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, err := Load(Source{Origin: "shop.example.", File: file})
	if err == nil {
		t.Fatal("loaded")
	}
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != 6 {
		t.Errorf("%d faults, want 6:\n%v", len(lines), err)
	}
	for i, line := range lines {
		if want := file + ":" + string(rune('4'+i)) + ": $INCLUDE: "; !strings.HasPrefix(line, want) {
			t.Errorf("fault %q, want it to begin with %q", line, want)
		}
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("shows a file outside: %v", err)
	}
}

func TestLoadNamesIncludedFile(t *testing.T) {
	dir := t.TempDir()
	file := write(t, dir, "shop.zone", apexRecords+"$INCLUDE sub/hosts.zone\n")
	write(t, dir, "sub/hosts.zone", "\n\nwww A 192.0.2.256\n")
	_, err := Load(Source{Origin: "shop.example.", File: file})
	want := filepath.Join(dir, "sub/hosts.zone") + ":3: www.shop.example. A: "
	if err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("error %v, want prefix %q", err, want)
	}
}

func TestLoadMissing(t *testing.T) {
	_, err := Load(Source{Origin: "shop.example.", File: filepath.Join(t.TempDir(), "none.zone")})
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v, want fs.ErrNotExist", err)
	}
	if _, err := Load(Source{Origin: "shop.example.", File: t.TempDir()}); err == nil {
		t.Error("a directory was loaded")
	}
}

func TestLoadOrigin(t *testing.T) {
	for _, origin := range []string{"", "..", "a..b", strings.Repeat("a", 64), strings.Repeat("a.", 128)} {
		if _, err := new(Loader).load(Source{Origin: origin, File: "zone"}, strings.NewReader(apexRecords), nil); err == nil {
			t.Errorf("origin %q was taken", origin)
		}
	}
}

// TestLoadCapsFaults gives a zone the wrong origin.
func TestLoadCapsFaults(t *testing.T) {
	text := apexRecords + "$ORIGIN other.example.\n" + strings.Repeat("x A 192.0.2.1\n", maxFaults+50)
	_, err := new(Loader).load(Source{Origin: "shop.example.", File: "zone"}, strings.NewReader(text), nil)
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != maxFaults+1 || lines[maxFaults] != "zone: 50 more faults" {
		t.Errorf("%d lines, the last %q", len(lines), lines[len(lines)-1])
	}
}

// TestLoadRRsetLimit wants RRsets that can be sent.
func TestLoadRRsetLimit(t *testing.T) {
	var text strings.Builder
	text.WriteString(apexRecords)
	for i := range 6000 {
		fmt.Fprintf(&text, "many A 198.51.%d.%d\n", i>>8, i&255)
	}
	_, err := new(Loader).load(Source{Origin: "shop.example.", File: "zone"}, strings.NewReader(text.String()), nil)
	if err == nil || !strings.HasPrefix(err.Error(), "zone:4: many.shop.example. A: rrset of 6000 records") {
		t.Errorf("error %v", err)
	}
}

// TestLoadReadError passes on what the disk says, after the faults before it.
func TestLoadReadError(t *testing.T) {
	broken := errors.New("input/output error")
	r := &failing{text: apexRecords + "www A x\n", err: broken}
	_, err := new(Loader).load(Source{Origin: "shop.example.", File: "zone"}, r, nil)
	if err == nil || !strings.Contains(err.Error(), "zone:4: www.shop.example. A") || !strings.Contains(err.Error(), broken.Error()) {
		t.Errorf("error %v", err)
	}
}

type failing struct {
	text string
	err  error
}

func (f *failing) Read(p []byte) (int, error) {
	if f.text == "" {
		return 0, f.err
	}
	n := copy(p, f.text)
	f.text = f.text[n:]
	return n, nil
}

// TestLoadLongEntry bounds what one unclosed parenthesis can swallow.
func TestLoadLongEntry(t *testing.T) {
	text := apexRecords + "www TXT (\n" + strings.Repeat("; a comment that goes on and on\n", maxEntryOctets/32+1)
	_, err := new(Loader).load(Source{Origin: "shop.example.", File: "zone"}, strings.NewReader(text), nil)
	if err == nil || !strings.HasPrefix(err.Error(), "zone:4: entry longer than 1048576 octets") {
		t.Errorf("error %v", err)
	}
}
