package mmdb

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/maxmind/mmdbwriter"

	"github.com/meridian-gtm/meridian/filewatch"
	"github.com/meridian-gtm/meridian/geo"
)

// watched is a file under a running watcher, in a bubble of virtual time.
type watched struct {
	t     *testing.T
	name  string
	built time.Time // modification time given to the next version
	news  chan news
}

type news struct {
	world *geo.World
	info  Info
	err   error
}

var at = netip.MustParseAddr("192.0.2.1")

// watch runs test with a watcher on a City database that has New York at 192.0.2.1. Poll is 5 s, Retry 1 min.
func watch(t *testing.T, loaded bool, test func(w *watched)) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := &watched{t: t, name: filepath.Join(dir, "city.mmdb"), built: time.Now(), news: make(chan news, 100)}
		w.replace(cityAt(t, "New York"))
		files := Files{City: w.name}
		var info Info
		if loaded {
			var err error
			if _, info, err = Load(files); err != nil {
				t.Fatal(err)
			}
		}
		watcher := NewWatcher(files, info, func(world *geo.World, info Info, err error) {
			w.news <- news{world, info, err}
		}, filewatch.Options{})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- watcher.Run(ctx) }()
		synctest.Wait()
		test(w)
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("run ended with %v: want context canceled", err)
		}
	})
}

func cityAt(t *testing.T, name string) []byte {
	return database(t, mmdbwriter.Options{DatabaseType: "GeoLite2-City"},
		entry{"192.0.2.0/24", cityRecord("NA", "US", "NY", name, 40, -74)})
}

// write overwrites the file in place.
func (w *watched) write(content []byte) {
	w.t.Helper()
	if err := os.WriteFile(w.name, content, 0o600); err != nil {
		w.t.Fatal(err)
	}
	// The file system's clock is the real one and may not move between two writes.
	w.built = w.built.Add(time.Second)
	if err := os.Chtimes(w.name, w.built, w.built); err != nil {
		w.t.Fatal(err)
	}
}

// replace puts a new file in its place by rename.
func (w *watched) replace(content []byte) {
	w.t.Helper()
	next := w.name + ".next"
	if err := os.WriteFile(next, content, 0o600); err != nil {
		w.t.Fatal(err)
	}
	if err := os.Rename(next, w.name); err != nil {
		w.t.Fatal(err)
	}
}

// after lets time pass and returns what was told meanwhile.
func (w *watched) after(d time.Duration) []news {
	time.Sleep(d)
	synctest.Wait()
	var told []news
	for len(w.news) > 0 {
		told = append(told, <-w.news)
	}
	return told
}

// wantCity fails unless exactly one new world was told and has the city.
func (w *watched) wantCity(told []news, city string) {
	w.t.Helper()
	if len(told) != 1 || told[0].err != nil {
		w.t.Fatalf("told %+v: want one new world", told)
	}
	if got, _ := told[0].world.Lookup(at); got.City != city {
		w.t.Fatalf("192.0.2.1 is in %q: want %q", got.City, city)
	}
	if told[0].info.Digest != told[0].world.Digest() {
		w.t.Fatal("info is of another world")
	}
}

// wantFault fails unless exactly one error was told, without a world, with the file's name.
func (w *watched) wantFault(told []news) {
	w.t.Helper()
	if len(told) != 1 || told[0].err == nil || told[0].world != nil || !strings.Contains(told[0].err.Error(), w.name) {
		w.t.Fatalf("told %+v: want one error that names %s", told, w.name)
	}
}

func TestWatchUnchanged(t *testing.T) {
	watch(t, true, func(w *watched) {
		if told := w.after(time.Hour); len(told) != 0 {
			t.Fatalf("told %+v: want nothing", told)
		}
	})
}

func TestWatchLoadsFirst(t *testing.T) {
	watch(t, false, func(w *watched) {
		w.wantCity(w.after(0), "New York")
		if told := w.after(time.Hour); len(told) != 0 {
			t.Fatalf("told %+v: want nothing", told)
		}
	})
}

// A change is loaded once it was seen at rest: at the second look, 5..10 s later.
func TestWatchReplace(t *testing.T) {
	watch(t, true, func(w *watched) {
		for _, city := range []string{"Albany", "Buffalo", "Ithaca"} {
			w.replace(cityAt(t, city))
			if told := w.after(5 * time.Second); len(told) != 0 {
				t.Fatalf("told %+v at the first look: want nothing", told)
			}
			w.wantCity(w.after(5*time.Second), city)
		}
	})
}

func TestWatchSymlink(t *testing.T) {
	watch(t, true, func(w *watched) {
		target := filepath.Join(filepath.Dir(w.name), "v2.mmdb")
		if err := os.WriteFile(target, cityAt(t, "Albany"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(target, w.name+".next"); err != nil {
			t.Skip(err)
		}
		if err := os.Rename(w.name+".next", w.name); err != nil {
			t.Fatal(err)
		}
		w.wantCity(w.after(10*time.Second), "Albany")
	})
}

// A file that grows from look to look is not read before it rests.
func TestWatchHalfWritten(t *testing.T) {
	watch(t, true, func(w *watched) {
		whole := cityAt(t, "Albany")
		for part := 1; part < 8; part++ {
			w.write(whole[:len(whole)*part/8])
			if told := w.after(5 * time.Second); len(told) != 0 {
				t.Fatalf("told %+v after %d/8: want nothing", told, part)
			}
		}
		w.write(whole)
		w.wantCity(w.after(10*time.Second), "Albany")
	})
}

// A writer that stalls half-way is reported once, the old world stays, and the whole file is taken when it is there.
func TestWatchBroken(t *testing.T) {
	watch(t, true, func(w *watched) {
		whole := cityAt(t, "Albany")
		w.write(whole[:len(whole)/2])
		w.wantFault(w.after(10 * time.Second))
		if told := w.after(50 * time.Second); len(told) != 0 {
			t.Fatalf("told %+v within a minute of the failure: want nothing", told)
		}
		w.wantFault(w.after(15 * time.Second)) // tried again
		w.write(whole)
		w.wantCity(w.after(10*time.Second), "Albany")
		if told := w.after(time.Hour); len(told) != 0 {
			t.Fatalf("told %+v after the recovery: want nothing", told)
		}
	})
}

func TestWatchRemoved(t *testing.T) {
	watch(t, true, func(w *watched) {
		if err := os.Remove(w.name); err != nil {
			t.Fatal(err)
		}
		w.wantFault(w.after(10 * time.Second))
		w.replace(cityAt(t, "Albany"))
		w.wantCity(w.after(10*time.Second), "Albany")
	})
}

// A load that is under way ends with its context.
func TestLoadCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err := load(ctx, Files{City: file(t, cityAt(t, "Albany"))})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v: want context canceled", err)
	}
}
