package world

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// TestControl injects from another process's side and watches the world obey.
func TestControl(t *testing.T) {
	w := startWorld(t)
	c := NewClient(w.ControlAddr())
	f, err := c.Inject(t.Context(), Fault{Kind: Lose, Site: "eu-west", Refuse: true, For: 30 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "lost", func() bool { return !w.status("eu-west").Reachable })
	list, err := c.Faults(t.Context())
	if err != nil || len(list) != 1 || list[0].ID != f.ID || !list[0].Refuse || list[0].For != 30*time.Second || time.Until(list[0].Until) > 30*time.Second {
		t.Errorf("faults: %+v, %v", list, err)
	}
	status, err := c.Status(t.Context())
	if err != nil || len(status) != 3 || status[1].Site != "eu-west" || status[1].Reachable || len(status[1].Replicas) != 2 {
		t.Errorf("status: %+v, %v", status, err)
	}
	if err := c.Heal(t.Context(), f.ID); err != nil {
		t.Error(err)
	}
	if err := c.Heal(t.Context(), f.ID); !errors.Is(err, ErrNoFault) {
		t.Errorf("healed twice: %v: want ErrNoFault", err)
	}
	slow, err := c.Inject(t.Context(), Fault{Kind: Slow, Site: "us-east"})
	if err != nil || slow.Delay != DefaultDelay || slow.For != DefaultFor {
		t.Errorf("defaults: %+v, %v", slow, err)
	}
	if n, err := c.HealAll(t.Context()); err != nil || n != 1 || len(w.Faults()) != 0 {
		t.Errorf("healed %d, %v, left %v", n, err, w.Faults())
	}
	if _, err := c.Inject(t.Context(), Fault{Kind: Lose, Site: "mars"}); err == nil || !strings.Contains(err.Error(), `site "mars": want one of us-east, eu-west, ap-south`) {
		t.Errorf("unknown site: %v", err)
	}
}

func TestInjectRefuses(t *testing.T) {
	w, err := New(nil, Options{AnyPort: true})
	if err != nil {
		t.Fatal(err)
	}
	for want, f := range map[string]Fault{
		`kind "melt"`:                  {Kind: "melt", Site: "eu-west"},
		`site ""`:                      {Kind: Lose},
		"for 2h0m0s":                   {Kind: Lose, Site: "eu-west", For: 2 * time.Hour},
		"for -1s":                      {Kind: Lose, Site: "eu-west", For: -time.Second},
		"delay 1m0s":                   {Kind: Slow, Site: "eu-west", Delay: time.Minute},
		"delay: only":                  {Kind: Lose, Site: "eu-west", Delay: time.Second},
		"percent 96":                   {Kind: Lossy, Site: "eu-west", Percent: 96},
		"percent: only":                {Kind: Slow, Site: "eu-west", Percent: 5},
		"refuse: only":                 {Kind: Slow, Site: "eu-west", Refuse: true},
		`to "x"`:                       {Kind: Errors, Site: "eu-west", To: "x"},
		`to "mars": want one of`:       {Kind: CutPath, Site: "eu-west", To: "mars"},
		`to "eu-west": want another`:   {Kind: CutGossip, Site: "eu-west", To: "eu-west"},
		`to "us-east": want another`:   {Kind: CutGossip, To: "us-east"},
		"want one of eu-west-a, eu-we": {Kind: KillDirector, Site: "eu-west", To: "us-east-a"},
		"want one of eu-west-1, eu-we": {Kind: KillReplica, Site: "eu-west", To: "3"},
	} {
		if _, err := w.Inject(f); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v: want %q", f, err, want)
		}
	}
	if len(w.Faults()) != 0 {
		t.Errorf("refused faults are active: %v", w.Faults())
	}
}

func TestGossipAllowed(t *testing.T) {
	w, err := New(nil, Options{AnyPort: true})
	if err != nil {
		t.Fatal(err)
	}
	n := w.Network()
	for _, pair := range [][2]string{{"us-east", "eu-west"}, {"eu-west", "us-east"}} {
		f, err := w.Inject(Fault{Kind: CutGossip, Site: pair[0], To: pair[1]})
		if err != nil {
			t.Fatal(err)
		}
		if f.ID != 1 {
			t.Errorf("the same cut from the other side is another fault: %+v", f)
		}
	}
	if n.GossipAllowed("us-east", "eu-west") || n.GossipAllowed("eu-west", "us-east") || !n.GossipAllowed("us-east", "ap-south") || !n.GossipAllowed("eu-west", "eu-west") {
		t.Error("a cut between two sites lets through what it should not, or holds up others")
	}
	w.HealAll()
	if !n.GossipAllowed("us-east", "eu-west") {
		t.Error("healed, and still cut")
	}
}

func TestControlServesThisMachineOnly(t *testing.T) {
	w, err := New(nil, Options{AnyPort: true})
	if err != nil {
		t.Fatal(err)
	}
	const good = `{"kind":"lose","site":"eu-west","for":"1s"}`
	for name, c := range map[string]struct {
		remote, host, origin, contentType, body string
		status                                  int
	}{
		"local":            {"127.0.0.1:1", "127.0.0.1:8082", "", "application/json", good, 201},
		"by name":          {"[::1]:1", "localhost:8082", "", "application/json", good, 201},
		"another machine":  {"192.0.2.1:1", "127.0.0.1:8082", "", "application/json", good, 403},
		"rebound name":     {"127.0.0.1:1", "shop.example:8082", "", "application/json", good, 403},
		"page":             {"127.0.0.1:1", "127.0.0.1:8082", "http://shop.example", "application/json", good, 403},
		"form":             {"127.0.0.1:1", "127.0.0.1:8082", "", "text/plain", good, 415},
		"unknown field":    {"127.0.0.1:1", "127.0.0.1:8082", "", "application/json", `{"kindd":"lose"}`, 400},
		"not a duration":   {"127.0.0.1:1", "127.0.0.1:8082", "", "application/json", `{"kind":"lose","site":"eu-west","for":"soon"}`, 400},
		"something absurd": {"127.0.0.1:1", "127.0.0.1:8082", "", "application/json", strings.Repeat("[", 5000), 400},
	} {
		r := httptest.NewRequest("POST", "/faults", strings.NewReader(c.body))
		r.RemoteAddr, r.Host = c.remote, c.host
		r.Header.Set("Content-Type", c.contentType)
		if c.origin != "" {
			r.Header.Set("Origin", c.origin)
		}
		rec := httptest.NewRecorder()
		w.Control().ServeHTTP(rec, r)
		if rec.Code != c.status {
			t.Errorf("%s: %d: want %d\n%s", name, rec.Code, c.status, rec.Body)
		}
	}
	rec := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodDelete, "/faults/x", nil)
	r.RemoteAddr, r.Host = "127.0.0.1:1", "localhost"
	w.Control().ServeHTTP(rec, r)
	if rec.Code != 404 {
		t.Errorf("fault x: %d: want 404", rec.Code)
	}
}
