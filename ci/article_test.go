package main

import (
	"os"
	"strings"
	"testing"
)

const articleMap = "../docs/article-map.md"

// Every row of docs/article-map.md names tests, and all of them exist.
func TestArticleMapNamesTests(t *testing.T) {
	text, err := os.ReadFile(articleMap)
	if err != nil {
		t.Fatal(err)
	}
	namedTests(t, articleMap, string(text))
	rows := 0
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| step ") || strings.HasPrefix(line, "| question ") {
			continue
		}
		rows++
		if !named.MatchString(line) {
			t.Errorf("%s: names no test: %s", articleMap, line)
		}
	}
	if rows < 10 {
		t.Errorf("%s: %d rows: want 10 at least", articleMap, rows)
	}
}
