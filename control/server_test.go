package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/meridian-gtm/meridian/replication"
)

// scripted is a backend that answers what the test wants and remembers what it was asked.
type scripted struct {
	Journal
	query  ExplainQuery
	top    TopQuery
	change Change
	refuse string
	err    error
}

func (s *scripted) Status(context.Context) (*Status, error) {
	return &Status{Node: "fra-1", Sites: []SiteStatus{{Site: "fra"}}, Members: []Member{{Node: "fra-1"}}}, s.err
}

func (s *scripted) Explain(_ context.Context, q ExplainQuery) (*Explanation, error) {
	s.query = q
	return &Explanation{Name: q.Name, Type: q.Type}, s.err
}

func (s *scripted) Top(_ context.Context, q TopQuery) (*Top, error) {
	s.top = q
	return &Top{By: q.By, Items: []TopItem{{Key: "x", Count: 7, Share: 1}}}, s.err
}

func (s *scripted) Queries(context.Context) (*Queries, error) {
	return &Queries{Counts: []QueryCount{{Client: netip.MustParsePrefix("192.0.2.0/24"), Service: "shop", Count: 9}}}, s.err
}

func (s *scripted) Apply(_ context.Context, c Change) (*Outcome, error) {
	s.change = c
	return &Outcome{Applied: s.refuse == "", Refused: s.refuse, Override: c.Override}, s.err
}

func (s *scripted) Reload(context.Context) (*ReloadResult, error) {
	return &ReloadResult{Hash: "abc"}, s.err
}

func (s *scripted) Events(after uint64) ([]Event, <-chan struct{}, bool) { return s.After(after) }

func start(t *testing.T, b Backend) (*Client, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, l, NewHandler(b, nil, nil)) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	c, err := NewClient(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return c, "http://" + l.Addr().String()
}

func TestClientAndServerAgree(t *testing.T) {
	b := &scripted{}
	c, _ := start(t, b)
	s, err := c.Status(t.Context())
	if err != nil || s.Node != "fra-1" {
		t.Fatalf("status = %+v, %v", s, err)
	}
	want := ExplainQuery{Name: "www.shop.example", Type: "AAAA", Client: netip.MustParsePrefix("192.0.2.0/24")}
	if _, err := c.Explain(t.Context(), want); err != nil || b.query != want {
		t.Fatalf("explain asked %+v, %v; want %+v", b.query, err, want)
	}
	most := TopQuery{By: ByClient, Limit: 3}
	if top, err := c.Top(t.Context(), most); err != nil || b.top != most || top.By != ByClient || len(top.Items) != 1 {
		t.Fatalf("top asked %+v, got %+v, %v; want %+v", b.top, top, err, most)
	}
	if q, err := c.Queries(t.Context()); err != nil || len(q.Counts) != 1 || q.Counts[0].Count != 9 || q.Counts[0].Client.Bits() != 24 {
		t.Fatalf("queries = %+v, %v", q, err)
	}
	change := Change{Override: replication.Override{Site: "fra", Action: replication.Drain, Why: "disk"}, DryRun: true}
	if o, err := c.Apply(t.Context(), change); err != nil || !o.Applied || b.change != change {
		t.Fatalf("apply sent %+v, got %+v, %v", b.change, o, err)
	}
	b.refuse = "shop v4 would be empty"
	if o, err := c.Apply(t.Context(), change); err != nil || o.Refused != b.refuse {
		t.Fatalf("refused apply = %+v, %v: want the outcome, not an error", o, err)
	}
	b.err = fmt.Errorf("%w: site %q", ErrInvalid, "nowhere")
	if _, err := c.Apply(t.Context(), change); err == nil || !strings.Contains(err.Error(), `site "nowhere"`) {
		t.Fatalf("apply error = %v: want the server's words", err)
	}
	b.err = fmt.Errorf("drain of fra: %w, and later", ErrSuperseded)
	if _, err := c.Apply(t.Context(), change); !errors.Is(err, ErrSuperseded) {
		t.Fatalf("superseded apply = %v: want ErrSuperseded", err)
	}
	var unreachable *UnreachableError
	gone, err := NewClient("127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := gone.Status(t.Context()); !errors.As(err, &unreachable) {
		t.Fatalf("status of nobody = %v: want UnreachableError", err)
	}
}

func TestExplainDefaultsToTheCaller(t *testing.T) {
	b := &scripted{}
	c, _ := start(t, b)
	if _, err := c.Explain(t.Context(), ExplainQuery{Name: "x.example"}); err != nil {
		t.Fatal(err)
	}
	if want := netip.MustParsePrefix("127.0.0.1/32"); b.query.Client != want || b.query.Type != "A" {
		t.Fatalf("explain asked %+v: want client %v, type A", b.query, want)
	}
}

func TestWebPagesAreKeptOut(t *testing.T) {
	h := NewHandler(&scripted{}, nil, nil)
	tests := []struct {
		name, method, host, origin, contentType string
		want                                    int
	}{
		{"read on loopback", "GET", "127.0.0.1:8053", "", "", 200},
		{"read on localhost", "GET", "localhost:8053", "", "", 200},
		{"read on ::1", "GET", "[::1]:8053", "", "", 200},
		{"rebound name", "GET", "evil.example:8053", "", "", 403},
		{"other address", "GET", "192.0.2.1:8053", "", "", 403},
		{"change", "POST", "127.0.0.1:8053", "", "application/json", 200},
		{"change from a page", "POST", "127.0.0.1:8053", "https://evil.example", "application/json", 403},
		{"form post", "POST", "127.0.0.1:8053", "", "text/plain", 415},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path, body := "/v1/status", ""
			if tt.method == "POST" {
				path, body = "/v1/overrides", `{"override":{"site":"fra"}}`
			}
			r := httptest.NewRequest(tt.method, path, strings.NewReader(body))
			r.Host = tt.host
			if tt.origin != "" {
				r.Header.Set("Origin", tt.origin)
			}
			if tt.contentType != "" {
				r.Header.Set("Content-Type", tt.contentType)
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != tt.want {
				t.Errorf("status %d, want %d: %s", w.Code, tt.want, w.Body)
			}
		})
	}
}

func TestBadBodiesAreRefused(t *testing.T) {
	_, base := start(t, &scripted{})
	for _, body := range []string{"", "{", `{"overide":{}}`, `{"override":{"site":1}}`, strings.Repeat(" ", maxBody+1) + "{}"} {
		resp, err := http.Post(base+"/v1/overrides", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusBadRequest {
			t.Errorf("body %.20q: status %d, want 400", body, resp.StatusCode)
		}
	}
}

func TestEventsResumeAndFollow(t *testing.T) {
	b := &scripted{}
	c, _ := start(t, b)
	for i := range 3 {
		b.Add(Event{Kind: "verdict", Text: fmt.Sprint(i + 1)})
	}
	var got []uint64
	err := c.Events(t.Context(), 1, false, func(e Event) error { got = append(got, e.ID); return nil })
	if err != nil || fmt.Sprint(got) != "[2 3]" {
		t.Fatalf("after 1: %v, %v", got, err)
	}
	// The first event read is what makes the second one happen: it can only arrive by following.
	enough := errors.New("enough")
	err = c.Events(t.Context(), 2, true, func(e Event) error {
		if e.ID == 3 {
			b.Add(Event{Kind: "mode"})
			return nil
		}
		return enough
	})
	if !errors.Is(err, enough) {
		t.Fatalf("follow = %v", err)
	}
}

func TestJournalSaysWhenEventsAreGone(t *testing.T) {
	var j Journal
	for range journalSize + 10 {
		j.Add(Event{})
	}
	if _, _, reset := j.After(0); reset {
		t.Error("a new reader is told of a reset: want what is held")
	}
	if events, _, reset := j.After(1); !reset || len(events) == 0 || events[len(events)-1].ID != journalSize+10 {
		t.Errorf("reader at 1: reset %t, %d events", reset, len(events))
	}
	if _, _, reset := j.After(journalSize + 9); reset {
		t.Error("reader near the end is reset")
	}
	if events, _, reset := j.After(1 << 40); !reset || len(events) == 0 {
		t.Error("reader of an earlier boot is not reset")
	}
}

func TestParseClient(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.7":        "192.0.2.7/32",
		"192.0.2.0/24":     "192.0.2.0/24",
		"2001:db8::/32":    "2001:db8::/32",
		"::ffff:192.0.2.1": "192.0.2.1/32",
	} {
		if got, err := ParseClient(in); err != nil || got.String() != want {
			t.Errorf("ParseClient(%q) = %v, %v; want %s", in, got, err, want)
		}
	}
	for _, in := range []string{"", "x", "192.0.2.1/24", "192.0.2.0/33"} {
		if _, err := ParseClient(in); !errors.Is(err, ErrInvalid) {
			t.Errorf("ParseClient(%q) = %v; want ErrInvalid", in, err)
		}
	}
}
