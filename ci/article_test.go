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
	rows := 0
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| step ") || strings.HasPrefix(line, "| question ") {
			continue
		}
		rows++
		tests := named.FindAllStringSubmatch(line, -1)
		if len(tests) == 0 {
			t.Errorf("%s: names no test: %s", articleMap, line)
		}
		for _, m := range tests {
			if dir, test := m[1], m[2]; !testSources(t, dir).has(test) {
				t.Errorf("%s: %s %s: want a test that exists", articleMap, dir, test)
			}
		}
	}
	if rows < 10 {
		t.Errorf("%s: %d rows: want 10 at least", articleMap, rows)
	}
}
