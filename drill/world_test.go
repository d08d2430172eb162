package drill

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestHook(t *testing.T) {
	dir := t.TempDir()
	script := filepath.Join(dir, "plug.sh")
	log := filepath.Join(dir, "log")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(script, []byte("#!/bin/sh\n"+text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	write(`case $1 in list) echo lose slow; echo cut-gossip;; *) echo "$@ to=$MERIDIAN_DRILL_TO delay=$MERIDIAN_DRILL_DELAY_MS" >>` + log + `;; esac`)
	h, err := NewHook(t.Context(), script)
	if err != nil {
		t.Fatal(err)
	}
	if got := h.Can(); !slices.Equal(got, []Kind{Lose, Slow, CutGossip}) {
		t.Errorf("can %v", got)
	}
	in, err := h.Inject(t.Context(), Fault{Kind: Slow, Site: "fra", Delay: 400 * ms, For: 90 * sec})
	if err != nil || in.At.IsZero() {
		t.Errorf("%+v, %v", in, err)
	}
	if err := h.Heal(t.Context(), in); err != nil {
		t.Error(err)
	}
	if _, err := h.Inject(t.Context(), Fault{Kind: CutGossip, To: "ams", For: sec}); err != nil {
		t.Error(err)
	}
	got, _ := os.ReadFile(log)
	if want := "inject slow fra 90 to= delay=400\nheal slow fra 90 to= delay=400\ninject cut-gossip - 1 to=ams delay=0\n"; string(got) != want {
		t.Errorf("the script was called with\n%s\nwant\n%s", got, want)
	}

	write(`echo "no such plug" >&2; exit 3`)
	if _, err := h.Inject(t.Context(), Fault{Kind: Lose, Site: "fra", For: sec}); err == nil || !strings.Contains(err.Error(), "no such plug") {
		t.Errorf("a script that fails: %v: want what it said", err)
	}
	for _, list := range []string{"echo lose teleport", "true", "exit 1"} {
		write(list)
		if _, err := NewHook(t.Context(), script); err == nil {
			t.Errorf("a script that lists with %q is accepted", list)
		}
	}
	if _, err := NewHook(t.Context(), filepath.Join(dir, "none")); err == nil {
		t.Error("a script that is not there is accepted")
	}
}

func TestManual(t *testing.T) {
	in, person := io.Pipe()
	var out strings.Builder
	m := NewManual(in, &out)
	go person.Write([]byte("\n"))
	before := time.Now()
	got, err := m.Inject(t.Context(), Fault{Kind: Lose, Site: "fra", For: time.Minute})
	if err != nil || got.At.Before(before) {
		t.Errorf("%+v, %v", got, err)
	}
	go person.Write([]byte("done\n"))
	if err := m.Heal(t.Context(), got); err != nil {
		t.Error(err)
	}
	if text := out.String(); !strings.Contains(text, "BREAK  fra: its VIP does not answer") || !strings.Contains(text, "PUT IT BACK  fra: its VIP") {
		t.Errorf("the person reads %q", text)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := m.Inject(over, got.Fault); err == nil {
		t.Error("an interrupted wait has no error")
	}
	person.Close()
	if err := m.Heal(t.Context(), got); err == nil {
		t.Error("nobody is there and it is no error")
	}
}

func TestDemoSpeaksToItsFaultControl(t *testing.T) {
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked = append(asked, strings.TrimSpace(r.Method+" "+r.URL.Path+" "+string(body)))
		switch r.Method + " " + r.URL.Path {
		case "GET /fleet":
			_ = json.NewEncoder(w).Encode(Description{Name: "www.shop.example", Pace: Fast, Kinds: []Kind{Lose}})
		case "POST /faults":
			w.WriteHeader(http.StatusCreated)
			io.WriteString(w, `{"id": 7, "kind": "lose"}`)
		case "DELETE /faults/7":
			io.WriteString(w, `{"healed": 1}`)
		case "DELETE /faults/8":
			w.WriteHeader(http.StatusNotFound)
		default:
			w.WriteHeader(http.StatusBadRequest)
			io.WriteString(w, `{"error": "no such site"}`)
		}
	}))
	defer server.Close()
	d, err := DialDemo(t.Context(), strings.TrimPrefix(server.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	if d.Description.Pace != Fast || !slices.Equal(d.Can(), []Kind{Lose}) {
		t.Errorf("%+v", d.Description)
	}
	in, err := d.Inject(t.Context(), Fault{Kind: Lose, Site: "fra", For: 36 * sec})
	if err != nil || in.ID != "7" {
		t.Errorf("%+v, %v: want fault 7", in, err)
	}
	if err := d.Heal(t.Context(), in); err != nil {
		t.Error(err)
	}
	if err := d.Heal(t.Context(), Injection{ID: "8"}); err != nil {
		t.Errorf("a fault that healed by itself: %v", err)
	}
	if err := d.Heal(t.Context(), Injection{ID: "9"}); err == nil || err.Error() != "no such site" {
		t.Errorf("%v: want what the fault control says", err)
	}
	if want := `POST /faults {"kind":"lose","site":"fra","for":"36s"}`; asked[1] != want {
		t.Errorf("asked %s: want %s", asked[1], want)
	}
	if _, err := d.Fleet(); err == nil {
		t.Error("a fleet without nodes is accepted")
	}
	if _, err := DialDemo(t.Context(), "nowhere"); err == nil {
		t.Error("an address without a port is accepted")
	}
}
