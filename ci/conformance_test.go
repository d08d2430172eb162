package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const conformance = "../docs/conformance.md"

// sources has what a page may name of one package's tests.
type sources struct {
	functions map[string]bool     // tests and fuzz targets
	texts     map[string][]string // string literals, by function
	stories   []string            // files of testdata, without their endings
}

// testSources reads the tests of a package.
func testSources(t *testing.T, dir string) sources {
	t.Helper()
	s := sources{functions: map[string]bool{}, texts: map[string][]string{}}
	files, err := filepath.Glob(filepath.Join("..", dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Recv != nil || !strings.HasPrefix(fn.Name.Name, "Test") && !strings.HasPrefix(fn.Name.Name, "Fuzz") {
				continue
			}
			s.functions[fn.Name.Name] = true
			ast.Inspect(fn, func(n ast.Node) bool {
				if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
					text, err := strconv.Unquote(lit.Value)
					if err != nil {
						t.Fatal(err)
					}
					s.texts[fn.Name.Name] = append(s.texts[fn.Name.Name], text)
				}
				return true
			})
		}
	}
	paths, err := filepath.Glob(filepath.Join("..", dir, "testdata", "*.txtar"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		s.stories = append(s.stories, strings.TrimSuffix(filepath.Base(path), ".txtar"))
	}
	return s
}

// has tells whether a test exists, and its subtest: a story of that name, or a text of its source that begins so.
func (s sources) has(test string) bool {
	function, sub, isSub := strings.Cut(test, "/")
	if !s.functions[function] {
		return false
	}
	begins := func(text string) bool { return strings.HasPrefix(text, sub) }
	return !isSub || slices.Contains(s.stories, sub) || slices.ContainsFunc(s.texts[function], begins)
}

// named finds PACKAGE Test[/subtest] in the text of a page.
var named = regexp.MustCompile("`([a-z/]+) ((?:Test|Fuzz)[^`]*)`")

// namedTests returns what a page names, all of which has to exist.
func namedTests(t *testing.T, page, text string) map[string]bool {
	t.Helper()
	packages, names := map[string]sources{}, map[string]bool{}
	for _, m := range named.FindAllStringSubmatch(text, -1) {
		dir, test := m[1], m[2]
		if _, ok := packages[dir]; !ok {
			packages[dir] = testSources(t, dir)
		}
		if names[dir+" "+test] = true; !packages[dir].has(test) {
			t.Errorf("%s: %s %s: want a test, and a subtest, that exists", page, dir, test)
		}
	}
	return names
}

// Every test that docs/conformance.md names exists, every row of its first table names one, and it leaves out no story
// of an RFC and no fuzz target of the DNS server.
func TestConformanceNamesTests(t *testing.T) {
	text, err := os.ReadFile(conformance)
	if err != nil {
		t.Fatal(err)
	}
	names := namedTests(t, conformance, string(text))
	_, table, ok := strings.Cut(string(text), "## What is done")
	table, _, ended := strings.Cut(table, "\n## ")
	if !ok || !ended {
		t.Fatalf("%s: no table", conformance)
	}
	rows := 0
	for i, line := range strings.Split(table, "\n") {
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| RFC ") {
			continue
		}
		rows++
		if !named.MatchString(line) {
			t.Errorf("%s: row %d of the table names no test: %s", conformance, i, line)
		}
	}
	if rows < 40 {
		t.Errorf("%s: %d rows", conformance, rows)
	}
	for dir := range projectFiles(t) {
		if dir != "dnsserver" && !strings.HasPrefix(dir, "dnsserver/") {
			continue
		}
		s := testSources(t, dir)
		for _, story := range s.stories {
			if strings.HasPrefix(story, "rfc") && !names[dir+" TestStories/"+story] {
				t.Errorf("%s: want story %s of %s", conformance, story, dir)
			}
		}
		for function := range s.functions {
			if strings.HasPrefix(function, "Fuzz") && !names[dir+" "+function] {
				t.Errorf("%s: want target %s of %s", conformance, function, dir)
			}
		}
	}
}

// Every RFC that the DNS server's code cites is in docs/conformance.md.
func TestConformanceKnowsRFCs(t *testing.T) {
	text, err := os.ReadFile(conformance)
	if err != nil {
		t.Fatal(err)
	}
	cited := map[string]string{}
	for dir, files := range projectFiles(t) {
		if dir != "dnsserver" && !strings.HasPrefix(dir, "dnsserver/") {
			continue
		}
		for name := range files {
			src, err := os.ReadFile(filepath.Join("..", name))
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range regexp.MustCompile(`RFC (\d{3,5})`).FindAllSubmatch(src, -1) {
				cited[string(m[1])] = name
			}
		}
	}
	if len(cited) < 20 {
		t.Fatalf("%d RFCs cited", len(cited))
	}
	for _, rfc := range slices.Sorted(maps.Keys(cited)) {
		if !regexp.MustCompile(`\b` + rfc + `\b`).Match(text) {
			t.Errorf("%s: want RFC %s, which %s cites", conformance, rfc, cited[rfc])
		}
	}
}
