package wire

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/meridian-gtm/meridian/dnsserver/zone"
)

var update = flag.Bool("update", false, "rewrite the expectations in testdata; commit only what you can defend with an RFC")

// A story is a txtar file. Its comment has a line "origin NAME"; "zone" is the master file; "steer" has lines OWNER
// SERVICE, of the services that newSnapshot makes; "queries" has lines "> NAME TYPE" with what else the query has, each
// followed by the answer: RCODE and flags, then a line per record behind the name of its section. Both paths have to
// answer so.
func TestStories(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(paths) == 0 {
		t.Fatal("no stories", err)
	}
	plan := newSnapshot(t).Plan
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			story, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			got := tell(t, story, &Snapshot{Plan: plan})
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
func tell(t *testing.T, story *txtar.Archive, snap *Snapshot) *txtar.Archive {
	t.Helper()
	src := zone.Source{File: filepath.Join(t.TempDir(), "zone"), Steer: map[string]string{}}
	for line := range strings.Lines(string(story.Comment)) {
		if name, ok := strings.CutPrefix(line, "origin "); ok {
			src.Origin = strings.TrimSpace(name)
		}
	}
	for _, f := range story.Files {
		switch f.Name {
		case "steer":
			for line := range strings.Lines(string(f.Data)) {
				owner, service, _ := strings.Cut(strings.TrimSpace(line), " ")
				src.Steer[owner] = service
			}
		case "zone":
			if err := os.WriteFile(src.File, f.Data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	z, err := zone.Load(src)
	if err != nil {
		t.Fatal(err)
	}
	if snap.Zones, err = zone.NewSet([]*zone.Zone{z}); err != nil {
		t.Fatal(err)
	}
	o := Options{NSID: "fra-1", Version: "meridian"}
	fast, slow := newResponder(t, o), newResponder(t, o)
	slow.interpret = true

	out := &txtar.Archive{Comment: story.Comment}
	for _, f := range story.Files {
		if f.Name == "queries" {
			var text bytes.Buffer
			for lines := bufio.NewScanner(bytes.NewReader(f.Data)); lines.Scan(); {
				line := lines.Text()
				if line == "" || line[0] == ';' {
					fmt.Fprintln(&text, line)
				} else if question, ok := strings.CutPrefix(line, "> "); ok {
					got := say(t, fast, snap, question)
					if other := say(t, slow, snap, question); other != got {
						t.Errorf("%s: compiled\n%sslow\n%s", line, got, other)
					}
					fmt.Fprintf(&text, "%s\n%s", line, got)
				}
			}
			f.Data = text.Bytes()
		}
		out.Files = append(out.Files, f)
	}
	return out
}

// say asks a question in a story's words and returns the answer in its words.
func say(t *testing.T, r *Responder, snap *Snapshot, question string) string {
	t.Helper()
	req, tr := storyQuery(t, question)
	answer, _ := r.Respond(snap, testCookies, req, resolver, tr, 0, make([]byte, MaxSize))
	if answer == nil {
		return "silence\n"
	}
	m := new(dns.Msg)
	if err := m.Unpack(answer); err != nil {
		t.Fatalf("%s: %v", question, err)
	}
	if m.Id != binary.BigEndian.Uint16(req) || !m.Response || m.RecursionAvailable || m.AuthenticatedData ||
		m.CheckingDisabled || m.Zero {
		t.Errorf("%s: header is %v", question, m.MsgHdr)
	}
	text := render(m)
	if len(m.Question) == 0 {
		text = strings.Replace(text, "\n", ", no question\n", 1)
	}
	return text
}

// storyQuery reads "NAME TYPE" and any of rd, ad, cd, z, opcode=N, tcp, and what brings an OPT: edns=VERSION, size=N,
// flags=0xN, nsid, ecs=PREFIX, option=CODE:HEX. Without a name the query is a header alone.
func storyQuery(t *testing.T, question string) (req []byte, tr Transport) {
	t.Helper()
	f := strings.Fields(question)
	m := &dns.Msg{MsgHdr: dns.MsgHdr{Id: 0x1234}}
	if len(f) > 1 && !strings.Contains(f[0], "=") {
		qtype, ok := dns.StringToType[f[1]]
		if !ok {
			n, err := strconv.ParseUint(strings.TrimPrefix(f[1], "TYPE"), 10, 16)
			if err != nil {
				t.Fatalf("%s: unknown type", question)
			}
			qtype = uint16(n)
		}
		m.Question = []dns.Question{{Name: f[0], Qtype: qtype, Qclass: dns.ClassINET}}
		f = f[2:]
	}
	opt := &dns.OPT{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeOPT, Class: 1232}}
	edns, flags := false, uint64(0)
	for _, word := range f {
		key, value, _ := strings.Cut(word, "=")
		number, numberErr := strconv.ParseUint(value, 0, 16)
		switch key {
		case "rd":
			m.RecursionDesired = true
		case "ad":
			m.AuthenticatedData = true
		case "cd":
			m.CheckingDisabled = true
		case "z":
			m.Zero = true
		case "tcp":
			tr = TCP
		case "opcode":
			m.Opcode = int(number)
		case "edns", "size", "flags", "nsid", "ecs", "option":
			edns = true
		default:
			t.Fatalf("%s: unknown word %q", question, word)
		}
		switch key {
		case "opcode", "edns", "size", "flags":
			if numberErr != nil {
				t.Fatalf("%s: %v", question, numberErr)
			}
		}
		switch key {
		case "edns":
			opt.SetVersion(uint8(number))
		case "size":
			opt.SetUDPSize(uint16(number))
		case "flags":
			flags = number
		case "nsid":
			opt.Option = append(opt.Option, &dns.EDNS0_NSID{Code: dns.EDNS0NSID})
		case "ecs":
			var with dns.Msg
			withECS(value)(&with)
			opt.Option = append(opt.Option, with.IsEdns0().Option...)
		case "option":
			code, data, _ := strings.Cut(value, ":")
			n, err := strconv.ParseUint(code, 10, 16)
			octets, hexErr := hex.DecodeString(data)
			if err != nil || hexErr != nil {
				t.Fatalf("%s: want option=CODE:HEX", question)
			}
			opt.Option = append(opt.Option, &dns.EDNS0_LOCAL{Code: uint16(n), Data: octets})
		}
	}
	if edns {
		opt.Hdr.Ttl |= uint32(flags)
		m.Extra = append(m.Extra, opt)
	}
	req, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return req, tr
}
