package drill

import (
	"os"
	"strings"
	"testing"
)

// TestDocsTellOfEveryDrill: each drill that the demo can play was played for the documentation, and passed.
func TestDocsTellOfEveryDrill(t *testing.T) {
	b, err := os.ReadFile("../docs/drills.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(b), "<!-- generated:")
	text, _, _ = strings.Cut(text, "<!-- end -->")
	for _, s := range Catalogue() {
		played := strings.Contains(text, "\n| "+s.ID+" | passed")
		if can := len(s.Missing(DemoKinds())) == 0; played != can {
			t.Errorf("%s: the demo can play it: %v; docs/drills.md has it passed: %v", s.ID, can, played)
		}
	}
	for _, h := range DefaultMix() {
		if h.Share <= 0 {
			t.Errorf("habit %q has no share", h.Name)
		}
	}
}
