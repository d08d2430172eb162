package disk

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/meridian-gtm/meridian/replication"
)

func records(t testing.TB, version uint64, n int) []replication.Record {
	t.Helper()
	var out []replication.Record
	for i := range n {
		r, err := replication.NewOverride(replication.Override{
			Site: fmt.Sprintf("site-%d", i), Action: replication.Drain, Who: "ada", Why: "disk swap", Created: 1,
		}, "node-1", replication.Version{Major: version})
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, r)
	}
	return out
}

func section(content string) map[string][]byte {
	return map[string][]byte{"verdicts": []byte(content), "empty": {}}
}

// summary renders what matters of a Loaded, for comparison.
func summary(l Loaded) string {
	var out []string
	for _, r := range l.Records {
		out = append(out, fmt.Sprintf("%s@%d", r.Key, r.Version.Major))
	}
	return fmt.Sprintf("%v %q", out, l.Sections["verdicts"])
}

func mustOpen(t *testing.T, dir string) (*Store, Loaded) {
	t.Helper()
	s, loaded, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s, loaded
}

func TestSaveAndOpen(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "on the way")
	s, loaded := mustOpen(t, dir)
	if len(loaded.Alarms) > 0 || len(loaded.Records) > 0 || len(loaded.Sections) > 0 {
		t.Errorf("new directory: got %+v", loaded)
	}
	if now := uint64(time.Now().Unix()); loaded.Epoch < now-60 || loaded.Epoch > now || s.Epoch() != loaded.Epoch {
		t.Errorf("first epoch %d (%d), unix time %d", loaded.Epoch, s.Epoch(), now)
	}
	epoch := loaded.Epoch
	for version := range uint64(5) {
		want := records(t, version+1, int(version))
		if err := s.Save(want, section(fmt.Sprint(version))); err != nil {
			t.Fatal(err)
		}
		s.Close()
		s, loaded = mustOpen(t, dir)
		if len(loaded.Alarms) > 0 {
			t.Error(loaded.Alarms)
		}
		if got, want := summary(loaded), summary(Loaded{Records: want, Sections: section(fmt.Sprint(version))}); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if loaded.Epoch <= epoch {
			t.Errorf("epoch %d after %d", loaded.Epoch, epoch)
		}
		epoch = loaded.Epoch
	}
	if info, err := os.Stat(filepath.Join(dir, slots[0])); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v: want mode 0600", info, err)
	}
	if _, err := os.Stat(filepath.Join(dir, temporary)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("temporary file is left: %v", err)
	}
}

func TestOneProcessPerDirectory(t *testing.T) {
	dir := t.TempDir()
	s, _ := mustOpen(t, dir)
	_, _, err := Open(dir)
	if !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), fmt.Sprintf("process id %d", os.Getpid())) {
		t.Errorf("second open: got %v", err)
	}
	s.Close()
	if err := s.Save(nil, nil); !errors.Is(err, os.ErrClosed) {
		t.Errorf("save after close: got %v", err)
	}
	mustOpen(t, dir)
}

func TestOpenRefusesWhatIsNoDirectory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Open(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v", err)
	}
}

// One byte of the newest generation goes bad, or its end is missing, at every place. The older generation is there,
// every undamaged record of the newest too, an alarm tells, and after the boot all is well again.
func TestDamagedGeneration(t *testing.T) {
	l := newLossyFS()
	s, _ := open("d", l, time.Unix(5, 0))
	older, newest := records(t, 1, 2), records(t, 2, 3)
	if err := s.Save(older, section("older")); err != nil {
		t.Fatal(err)
	}
	if err := s.Save(newest, section("newest")); err != nil {
		t.Fatal(err)
	}
	whole := l.names[slots[s.slot]].data

	check := func(what string, damaged []byte) {
		t.Helper()
		found := l.afterLoss()[0]
		found.names[slots[s.slot]].data = damaged
		s2, loaded := open("d", found, time.Unix(5, 0))
		if len(loaded.Alarms) == 0 {
			t.Errorf("%s: no alarm", what)
		}
		got := map[string]uint64{}
		fresh := 0
		for _, r := range loaded.Records {
			got[r.Key] = max(got[r.Key], r.Version.Major)
			if r.Version.Major == 2 {
				fresh++
			}
		}
		for _, r := range older {
			if got[r.Key] == 0 {
				t.Errorf("%s: %q is lost", what, r.Key)
			}
		}
		if strings.HasPrefix(what, "flip in record") && fresh < len(newest)-1 {
			t.Errorf("%s: only %d of %d records salvaged", what, fresh, len(newest))
		}
		if v := string(loaded.Sections["verdicts"]); v != "older" && v != "newest" {
			t.Errorf("%s: section %q", what, v)
		}
		if loaded.Epoch < s.Epoch() {
			t.Errorf("%s: epoch %d after %d", what, loaded.Epoch, s.Epoch())
		}
		s2.Close()
		if _, again := open("d", found, time.Unix(5, 0)); len(again.Alarms) > 0 || summary(again) != summary(loaded) {
			t.Errorf("%s: second boot: %v, %s", what, again.Alarms, summary(again))
		}
	}
	body := bytes.Index(whole, newest[0].Body) // well inside the first record
	for i := range whole {
		damaged := bytes.Clone(whole)
		damaged[i] ^= 0x10
		what := fmt.Sprintf("flip at %d", i)
		if i >= body && i < body+len(newest[0].Body) {
			what = fmt.Sprintf("flip in record at %d", i)
		}
		check(what, damaged)
		check(fmt.Sprintf("cut at %d", i), whole[:i])
	}

	t.Run("both", func(t *testing.T) {
		found := l.afterLoss()[0]
		for _, name := range slots {
			found.names[name].data = []byte("not a snapshot at all")
		}
		_, loaded := open("d", found, time.Unix(7_000, 0))
		if len(loaded.Alarms) < 2 || len(loaded.Records) != 0 || loaded.Epoch != 7_000 {
			t.Errorf("got %+v", loaded)
		}
	})
}

func TestDamageOfOlderGenerationAddsNothing(t *testing.T) {
	l := newLossyFS()
	s, _ := open("d", l, time.Unix(5, 0))
	for v := range uint64(2) {
		if err := s.Save(records(t, v+1, 2), nil); err != nil {
			t.Fatal(err)
		}
	}
	older := l.names[slots[1-s.slot]]
	older.data[len(older.data)-1] ^= 1
	_, loaded := open("d", l, time.Unix(5, 0))
	if len(loaded.Alarms) != 1 || summary(loaded) != summary(Loaded{Records: records(t, 2, 2)}) {
		t.Errorf("got %s, alarms %v", summary(loaded), loaded.Alarms)
	}
}

func TestSaveSaysWhy(t *testing.T) {
	for err, want := range map[error]error{
		&os.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}: ErrFull,
		&os.PathError{Op: "write", Path: "x", Err: syscall.EDQUOT}: ErrFull,
		&os.PathError{Op: "open", Path: "x", Err: syscall.EROFS}:   ErrReadOnly,
		&os.PathError{Op: "open", Path: "x", Err: syscall.EACCES}:  ErrReadOnly,
		errInjected: errInjected,
	} {
		if got := classify(err); !errors.Is(got, want) || !errors.Is(got, err) {
			t.Errorf("%v: got %v, want %v", err, got, want)
		}
	}
}

func TestReadOnlyDirectory(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("permissions do not bind root")
	}
	dir := t.TempDir()
	s, _ := mustOpen(t, dir)
	if err := s.Save(records(t, 1, 1), nil); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Chmod(dir, 0o700) })
	if err := s.Save(records(t, 2, 1), nil); !errors.Is(err, ErrReadOnly) {
		t.Errorf("save: got %v", err)
	}
	s.Close()
	_, loaded := mustOpen(t, dir)
	if len(loaded.Records) != 1 || !slices.ContainsFunc(loaded.Alarms, func(e error) bool { return errors.Is(e, ErrNotDurable) }) {
		t.Errorf("open: got %+v", loaded)
	}
}

func TestSaveRefusesOversize(t *testing.T) {
	s, _ := mustOpen(t, t.TempDir())
	many := map[string][]byte{}
	for i := range MaxSections + 1 {
		many[fmt.Sprint(i)] = nil
	}
	for name, sections := range map[string]map[string][]byte{
		"sections":     many,
		"section":      {"verdicts": make([]byte, MaxSectionBytes+1)},
		"section name": {strings.Repeat("n", MaxSectionName+1): nil},
		"no name":      {"": nil},
		"file":         {"a": make([]byte, MaxSectionBytes), "b": make([]byte, MaxSectionBytes)},
	} {
		if err := s.Save(nil, sections); err == nil || !strings.Contains(err.Error(), "want") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range []snapshot{
		{generation: 1, epoch: 2},
		{generation: 7, epoch: 1_800_000_000, sections: section("x"), records: records(f, 1, 2)},
	} {
		b, err := s.encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add(b[:len(b)-40])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := decode(b)
		again, encodeErr := s.encode()
		if encodeErr != nil {
			t.Fatalf("what was read (%v) does not encode: %v", err, encodeErr)
		}
		back, decodeErr := decode(again)
		if decodeErr != nil || back.generation != s.generation || len(back.records) != len(s.records) ||
			len(back.sections) != len(s.sections) {
			t.Fatalf("read %+v, then %+v, %v", s, back, decodeErr)
		}

		// Behind the hash, which stops nearly all that the fuzzer makes up.
		var body snapshot
		_ = body.decodeBody(b)
	})
}
