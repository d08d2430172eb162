package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/meridian-gtm/meridian"

// pure packages decide; they may not reach the world, so that every answer and every verdict replays from its inputs.
var pure = []string{"director", "geo", "health", "replication", "dnsserver/steer", "dnsserver/zone", "dnsserver/wire", "dnsserver/proxyproto", "dnsserver/traffic"}

// impure imports, with what they would bring in.
var impure = map[string]string{
	"net":          "sockets",
	"net/http":     "sockets",
	"os":           "files and environment",
	"os/exec":      "processes",
	"context":      "cancellation: a decision finishes at once",
	"log":          "output",
	"log/slog":     "output",
	"math/rand":    "answers that do not replay",
	"math/rand/v2": "answers that do not replay",
	"crypto/rand":  "answers that do not replay",
	"sync":         "shared state",
	"sync/atomic":  "shared state",
}

// allowed exceptions, with the reason.
var allowed = map[string]string{
	"dnsserver/zone os": "Load reads master files; everything after it is pure",
}

// layers lists what each package may import of the project itself; a name covers the packages below it. Arrows point
// inward: nothing below knows anything above.
var layers = map[string][]string{
	"geo":                  {},
	"keyfile":              {},
	"filewatch":            {},
	"geo/mmdb":             {"geo", "filewatch"},
	"health":               {},
	"health/probe":         {"health"},
	"replication":          {},
	"replication/disk":     {"replication"},
	"replication/gossip":   {"replication", "keyfile"},
	"dnsserver/zone":       {},
	"dnsserver/steer":      {"geo", "health", "replication"},
	"dnsserver/wire":       {"dnsserver/zone", "dnsserver/steer"},
	"dnsserver/proxyproto": {},
	"dnsserver/keypair":    {},
	"dnsserver/tap":        {"dnsserver/wire"},
	"dnsserver/dnstap":     {"dnsserver/tap", "dnsserver/wire"},
	"dnsserver/querylog":   {"dnsserver/tap", "dnsserver/wire", "dnsserver/steer"},
	"dnsserver/traffic":    {},
	"dnsserver":            {"keyfile", "dnsserver/proxyproto", "dnsserver/wire", "dnsserver/zone", "dnsserver/steer"},
	"config":               {"geo", "health", "dnsserver/zone", "dnsserver/steer"},
	"control":              {"health", "replication", "dnsserver/steer"},
	"node":                 {"filewatch", "geo", "health", "replication", "dnsserver", "config", "control"},
	"director":             {"config", "health", "dnsserver/steer"},
	"whatif":               {"config", "geo", "health", "dnsserver/steer"},
	"drill":                {"control", "health", "replication"},
	"drill/compose":        {"drill", "control"},
	"drill/sim":            {"geo", "health", "replication", "dnsserver/steer"},
	"demo":                 {"demo", "node", "control", "health", "replication/gossip", "geo/mmdb", "drill", "dnsserver/proxyproto"},
	"cmd":                  {"cmd/internal", "node", "control", "config", "demo", "drill", "director", "whatif", "health", "replication", "dnsserver/steer"},
	"bench":                {},
	"ci":                   {},
	"test/crdbgrammar":     {"demo"},
	"test/browser":         {"demo", "control"},
	"test/interop":         {},
	"deploy/compose":       {"geo/mmdb"},
	"test/compose":         {},
	"test/lab":             {},
}

// libraryRules keep an outside library's types where they belong.
var libraryRules = map[string]struct {
	only []string
	why  string
}{
	"github.com/miekg/dns":                  {[]string{"dnsserver", "config", "node", "demo", "drill"}, "the DNS library stays replaceable behind dnsserver"},
	"google.golang.org/protobuf":            {[]string{"dnsserver/dnstap"}, "dnstap is the one thing that is written in protocol buffers"},
	"github.com/hashicorp/memberlist":       {[]string{"replication/gossip"}, "memberlist is transport and hint, never truth"},
	"github.com/urfave/cli/v2":              {[]string{"cmd"}, "a command line context never leaves cmd"},
	"github.com/meridian-gtm/meridian/demo": {[]string{"demo", "cmd/demo", "cmd/shop"}, "the product never imports the demo"},
}

func TestImportsPointInward(t *testing.T) {
	for dir, imports := range projectImports(t) {
		may, known := layerOf(dir)
		if !known {
			t.Errorf("%s: no layer: add it to the table with what it may import", dir)
			continue
		}
		for path, file := range imports {
			if inner, ok := strings.CutPrefix(path, module+"/"); ok && !covered(inner, may) && !covered(inner, []string{dir}) {
				t.Errorf("%s: imports %s: %s may import only %v", file, inner, dir, may)
			}
			if why, bad := impure[path]; bad && slices.Contains(pure, dir) && allowed[dir+" "+path] == "" {
				t.Errorf("%s: imports %s (%s): %s is a pure package", file, path, why, dir)
			}
			for library, rule := range libraryRules {
				if (path == library || strings.HasPrefix(path, library+"/")) && !covered(dir, rule.only) {
					t.Errorf("%s: imports %s: %s", file, path, rule.why)
				}
			}
		}
	}
}

func TestEveryPackageSaysWhatItIsFor(t *testing.T) {
	for dir, files := range projectFiles(t) {
		if !slices.ContainsFunc(slices.Collect(maps.Values(files)), func(f *ast.File) bool { return f.Doc != nil }) {
			t.Errorf("%s: no package comment", dir)
		}
	}
}

func TestFileNamesSayWhatIsInside(t *testing.T) {
	banned := []string{"utils.go", "util.go", "helpers.go", "helper.go", "common.go", "misc.go"}
	for dir, files := range projectFiles(t) {
		for name := range files {
			if slices.Contains(banned, filepath.Base(name)) {
				t.Errorf("%s/%s: want the noun that someone would search for", dir, name)
			}
		}
	}
}

// layerOf returns what the package in dir may import: its own row, or that of the nearest folder above.
func layerOf(dir string) ([]string, bool) {
	for at := dir; at != "."; at = filepath.Dir(at) {
		if may, ok := layers[at]; ok {
			return may, true
		}
	}
	return nil, false
}

func covered(path string, by []string) bool {
	return slices.ContainsFunc(by, func(b string) bool { return path == b || strings.HasPrefix(path, b+"/") })
}

// projectImports maps each package's folder to its direct imports, tests left out, each with one file that has it.
func projectImports(t *testing.T) map[string]map[string]string {
	out := map[string]map[string]string{}
	for dir, files := range projectFiles(t) {
		out[dir] = map[string]string{}
		for name, f := range files {
			for _, spec := range f.Imports {
				path, err := strconv.Unquote(spec.Path.Value)
				if err != nil {
					t.Fatal(err)
				}
				out[dir][path] = name
			}
		}
	}
	return out
}

// projectFiles parses every file that is not a test, by folder.
func projectFiles(t *testing.T) map[string]map[string]*ast.File {
	t.Helper()
	out := map[string]map[string]*ast.File{}
	root := os.DirFS("..")
	err := fs.WalkDir(root, ".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "testdata" || path != "." && strings.HasPrefix(d.Name(), ".")):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		src, err := fs.ReadFile(root, path)
		if err != nil {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, src, parser.ImportsOnly|parser.ParseComments)
		if err != nil {
			return err
		}
		dir := filepath.ToSlash(filepath.Dir(path))
		if out[dir] == nil {
			out[dir] = map[string]*ast.File{}
		}
		out[dir][path] = f
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
