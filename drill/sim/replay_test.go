package sim

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Scenarios that once broke an invariant hold now.
func TestRegressions(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d scenarios: %v", len(files), err)
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			s, err := Parse(string(text))
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range Run(s, Options{}).Violations {
				t.Error(v)
			}
		})
	}
}
