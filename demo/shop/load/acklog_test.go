package load

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/meridian-gtm/meridian/demo/shop/invariant"
)

func TestAckLogSurvivesACrash(t *testing.T) {
	path := filepath.Join(t.TempDir(), "acked.jsonl")
	log, err := OpenAckLog(path)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if err := log.Add(invariant.Ack{ID: "eu-west-a", Key: "eu-west.k", Total: 100}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	// The crash comes in the middle of a line.
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteString(`{"id":"eu-west-b","ke`)
	f.Close()
	if all, err := ReadAckLog(path); err != nil || len(all) != 20 {
		t.Errorf("read while half a line is there: %d, %v: want 20", len(all), err)
	}
	if log, err = OpenAckLog(path); err != nil {
		t.Fatal(err)
	}
	last := invariant.Ack{ID: "eu-west-c", Key: "eu-west.l", Total: 7}
	if err := log.Add(last); err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	all, err := ReadAckLog(path)
	if err != nil || len(all) != 21 {
		t.Fatalf("after the crash: %d, %v: want 21", len(all), err)
	}
	if diff := cmp.Diff(last, all[20]); diff != "" {
		t.Error(diff)
	}
}

func TestReadAckLogRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"not JSON": "eu-west-a\n", "no id": `{"total_minor":1}` + "\n", "unknown field": `{"id":"a","discount":1}` + "\n", "empty line": "\n",
	} {
		path := filepath.Join(t.TempDir(), "acked.jsonl")
		if err := os.WriteFile(path, []byte(`{"id":"a","total_minor":1}`+"\n"+text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadAckLog(path); err == nil || !strings.Contains(err.Error(), "line 2") {
			t.Errorf("%s: %v: want line 2 named", name, err)
		}
		if log, err := OpenAckLog(path); err == nil {
			log.Close()
			t.Errorf("%s: opened to append to", name)
		}
	}
	if all, err := ReadAckLog(filepath.Join(t.TempDir(), "nothing")); err == nil {
		t.Errorf("a log that is not there: %d orders", len(all))
	}
}

func FuzzReadAcks(f *testing.F) {
	f.Add(`{"id":"a","key":"eu-west.k","total_minor":1}` + "\n")
	f.Add("{\"id\":\"a\"}\n{\"id\"")
	f.Fuzz(func(t *testing.T, text string) {
		all, end, err := readAcks(strings.NewReader(text))
		if err != nil {
			return
		}
		if end > int64(len(text)) || strings.Count(text[:end], "\n") != len(all) || strings.Contains(text[end:], "\n") {
			t.Errorf("%q: %d orders that end at %d", text, len(all), end)
		}
	})
}
