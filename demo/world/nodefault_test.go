package world

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// TestNodeFaults: faults of nodes are for who made the world to obey, and refused where nobody does.
func TestNodeFaults(t *testing.T) {
	w, err := New(nil, Options{AnyPort: true, NodeFaults: []Kind{KillNode}})
	if err != nil {
		t.Fatal(err)
	}
	if kinds := w.Kinds(); !slices.Contains(kinds, KillNode) || !slices.Contains(kinds, Lose) || slices.Contains(kinds, SwapKey) {
		t.Errorf("kinds %v: want kill-node and those of the world, not swap-key", kinds)
	}
	if _, err := w.Inject(Fault{Kind: SwapKey, Site: "eu-west"}); err == nil || !strings.Contains(err.Error(), "nobody here can do that") {
		t.Errorf("swap-key: %v: want a refusal", err)
	}
	if _, err := w.Inject(Fault{Kind: KillNode, Site: "eu-west", To: "x"}); err == nil {
		t.Error("kill-node with a use for to is accepted")
	}
	f, err := w.Inject(Fault{Kind: KillNode, Site: "eu-west"})
	if err != nil {
		t.Fatal(err)
	}
	n := w.Network()
	if !n.NodeFault(KillNode, "eu-west") || n.NodeFault(KillNode, "us-east") || n.NodeFault(SwapKey, "eu-west") {
		t.Error("kill-node at eu-west is not what the network tells")
	}
	if err := w.Heal(f.ID); err != nil || n.NodeFault(KillNode, "eu-west") {
		t.Errorf("healed: %v", err)
	}
}

func TestDescribe(t *testing.T) {
	for describe, want := range map[bool]int{true: http.StatusOK, false: http.StatusNotFound} {
		opt := Options{AnyPort: true}
		if describe {
			opt.Describe = func() any { return map[string]string{"name": "www.shop.example"} }
		}
		w, err := New(nil, opt)
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest(http.MethodGet, "http://localhost/fleet", nil)
		r.RemoteAddr = "127.0.0.1:1234"
		answer := httptest.NewRecorder()
		w.Control().ServeHTTP(answer, r)
		if answer.Code != want || describe && !strings.Contains(answer.Body.String(), "www.shop.example") {
			t.Errorf("described %v: %d %s: want %d", describe, answer.Code, answer.Body, want)
		}
	}
}
