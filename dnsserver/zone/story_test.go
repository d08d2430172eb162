package zone

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
	"github.com/rogpeppe/go-internal/txtar"
)

var update = flag.Bool("update", false, "rewrite the expectations in testdata; commit only what you can defend with an RFC")

// A story is a txtar file. Its comment has a line "origin NAME"; "zone" is the master file, "steer" has lines OWNER
// SERVICE, "queries" has lines "> NAME TYPE" each followed by what is expected, "faults" and "warnings" are what the
// load reports, and any other file can be included.
func TestStories(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(paths) == 0 {
		t.Fatal("no stories", err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			story, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			got := tell(t, story)
			if *update {
				if err := os.WriteFile(path, txtar.Format(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(txtar.Format(story)), string(txtar.Format(got))); diff != "" {
				t.Errorf("%s (-want +got):\n%s", path, diff)
			}
		})
	}
}

// tell plays a story and returns it with what came out.
func tell(t *testing.T, story *txtar.Archive) *txtar.Archive {
	t.Helper()
	files := fstest.MapFS{}
	src := Source{File: "zone", Steer: map[string]string{}}
	for line := range strings.Lines(string(story.Comment)) {
		if name, ok := strings.CutPrefix(line, "origin "); ok {
			src.Origin = strings.TrimSpace(name)
		}
	}
	for _, f := range story.Files {
		if f.Name == "steer" {
			for line := range strings.Lines(string(f.Data)) {
				owner, service, _ := strings.Cut(strings.TrimSpace(line), " ")
				src.Steer[owner] = service
			}
			continue
		}
		files[f.Name] = &fstest.MapFile{Data: f.Data, Mode: 0o644}
	}
	z, err := new(Loader).load(src, bytes.NewReader(files["zone"].Data), files)
	if err != nil && files["faults"] == nil {
		t.Fatalf("load: %v", err)
	}
	out := &txtar.Archive{Comment: story.Comment}
	for _, f := range story.Files {
		switch f.Name {
		case "queries":
			f.Data = ask(z, f.Data)
		case "faults":
			f.Data = nil
			if err != nil {
				f.Data = []byte(err.Error() + "\n")
			}
		case "warnings":
			f.Data = nil
			for _, line := range z.Warnings() {
				f.Data = append(f.Data, line+"\n"...)
			}
		}
		out.Files = append(out.Files, f)
	}
	return out
}

// ask keeps comments, blank lines and questions, and writes the answers anew.
func ask(z *Zone, script []byte) []byte {
	var out bytes.Buffer
	for lines := bufio.NewScanner(bytes.NewReader(script)); lines.Scan(); {
		line := lines.Text()
		if line == "" || line[0] == ';' {
			fmt.Fprintln(&out, line)
		} else if question, ok := strings.CutPrefix(line, "> "); ok {
			space := strings.LastIndexByte(question, ' ') // names may have escaped blanks
			name, qtype := question[:space], question[space+1:]
			t, ok := typeOf(qtype)
			if !ok {
				fmt.Fprintln(&out, "unknown type in", line)
			}
			fmt.Fprintf(&out, "%s\n%s", line, show(z.Lookup(canonical(name), t)))
		}
	}
	return out.Bytes()
}

// show writes a result as lines: the kind, and every record behind the name of its section.
func show(r Result) string {
	var out strings.Builder
	out.WriteString(r.Kind.String())
	if r.Kind == Steered {
		fmt.Fprintf(&out, " %s by %s", r.Owner, r.Service)
	}
	if r.Glue > 0 {
		fmt.Fprintf(&out, " glue %d", r.Glue)
	}
	out.WriteString("\n")
	section := func(name string, rrs []dns.RR) {
		for _, rr := range rrs {
			fmt.Fprintf(&out, "  %s %s\n", name, strings.ReplaceAll(rr.String(), "\t", " "))
		}
	}
	section("answer", r.Answer)
	section("authority", r.Authority)
	section("additional", r.Additional)
	if r.NegativeSOA != nil {
		section("negative", []dns.RR{r.NegativeSOA})
	}
	return out.String()
}
