package world

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/meridian-gtm/meridian/demo/shop"
)

// eventually polls ok until it holds, for far longer than it should take.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not within 20 s: %s", what)
		}
		pause(context.Background(), 5*time.Millisecond)
	}
}

type testWorld struct {
	*World
	t      *testing.T
	end    context.CancelFunc
	done   chan error
	mu     sync.Mutex
	events []string
}

// startWorld runs a world on free ports. When the test is over it checks that nothing of it is left.
func startWorld(t *testing.T) *testWorld {
	t.Helper()
	return startWorldOn(t, Choose)
}

func startWorldOn(t *testing.T, choose func(Group) (Addresses, error)) *testWorld {
	t.Helper()
	before := runtime.NumGoroutine()
	store, err := shop.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "shop.db"), []string{"us-east", "eu-west", "ap-south"}, shop.Catalog())
	if err != nil {
		t.Fatal(err)
	}
	tw := &testWorld{t: t, done: make(chan error, 1)}
	tw.World, err = newWorld(store, Options{
		AnyPort: true, Check: 50 * time.Millisecond, Drain: 3 * time.Second,
		RoundTrips: RoundTrips{{"us-east", "eu-west"}: 20 * time.Millisecond},
		Notify: func(e Event) {
			tw.mu.Lock()
			defer tw.mu.Unlock()
			tw.events = append(tw.events, e.Text)
		},
	}, choose)
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(context.Background())
	tw.end = end
	go func() { tw.done <- tw.Run(ctx) }()
	t.Cleanup(func() {
		end()
		if err := <-tw.done; err != nil {
			t.Errorf("run: %v", err)
		}
		if err := store.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		for _, s := range tw.sites {
			for _, addr := range append([]string{s.vip.real.String()}, s.replicas[0].real.String(), s.replicas[1].real.String()) {
				ln, err := net.Listen("tcp", addr)
				if err != nil {
					t.Errorf("after the end: %v", err)
					continue
				}
				ln.Close()
			}
		}
		deadline := time.Now().Add(10 * time.Second)
		for runtime.NumGoroutine() > before {
			if time.Now().After(deadline) {
				stacks := make([]byte, 1<<20)
				t.Fatalf("goroutines left:\n%s", stacks[:runtime.Stack(stacks, true)])
			}
			pause(context.Background(), 5*time.Millisecond)
		}
	})
	select {
	case <-tw.Ready():
	case <-time.After(20 * time.Second):
		t.Fatalf("not ready: %+v", tw.Status())
	}
	return tw
}

func (w *testWorld) saw(part string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.ContainsFunc(w.events, func(e string) bool { return strings.Contains(e, part) })
}

func (w *testWorld) inject(f Fault) Fault {
	w.t.Helper()
	f, err := w.Inject(f)
	if err != nil {
		w.t.Fatal(err)
	}
	return f
}

// get asks a site's VIP as somebody on this machine does (from "") or as somebody at another site does.
func (w *testWorld) get(from, site, path string, patience time.Duration) (*http.Response, string, error) {
	named, real, _ := w.VIP(site)
	addr := real.String()
	tr := &http.Transport{DisableKeepAlives: true}
	if from != "" {
		tr.DialContext, addr = w.Network().Dialer(from), named.String()
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", "http://"+addr+path, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp, string(b), err
}

const patient, impatient = 10 * time.Second, 150 * time.Millisecond

func (w *testWorld) works(from, site string) bool {
	resp, _, err := w.get(from, site, "/", patient)
	return err == nil && resp.StatusCode == 200
}

func (w *testWorld) status(site string) SiteStatus {
	all := w.Status()
	return all[slices.IndexFunc(all, func(s SiteStatus) bool { return s.Site == site })]
}

func (w *testWorld) conns(site string) (n int) {
	for _, d := range w.status(site).Directors {
		n += d.Conns
	}
	return n
}

// TestWorld: every site serves through its first director, both replicas take part, and pages say who served them.
func TestWorld(t *testing.T) {
	w := startWorld(t)
	for _, s := range Sites() {
		seen := map[string]bool{}
		for range 8 {
			resp, body, err := w.get("", s.Name, "/", patient)
			if err != nil {
				t.Fatal(err)
			}
			_, real, _ := w.VIP(s.Name)
			h := resp.Header
			director := h.Get("Shop-Director") // the second one for moments, when this process was starved
			if h.Get("Shop-Region") != s.Name || !strings.HasPrefix(director, s.Name+"-") || h.Get("Shop-Vip") != real.String() {
				t.Fatalf("%s: served by %v", s.Name, h)
			}
			for _, want := range []string{"director <b>" + director + "</b>", "VIP <b>" + real.String() + "</b>"} {
				if !strings.Contains(body, want) {
					t.Fatalf("%s: no %q on the page", s.Name, want)
				}
			}
			seen[h.Get("Shop-Replica")] = true
		}
		if len(seen) != 2 {
			t.Errorf("%s: replicas that served: %v: want both", s.Name, seen)
		}
	}
	eventually(t, "the first director is master", func() bool {
		st := w.status("eu-west")
		return st.Reachable && st.Holder == "eu-west-a" && st.Directors[0].State == "master" && st.Directors[1].State == "backup" &&
			st.Replicas[0].Up && st.Replicas[1].Up
	})
}

// TestOneLoopbackAddress: on a machine without 127.0.x.y, dialers go by the addresses that DNS gives, curl by those
// of the note.
func TestOneLoopbackAddress(t *testing.T) {
	w := startWorldOn(t, chooseOne)
	for _, s := range Sites() {
		named, real, _ := w.VIP(s.Name)
		if named.Addr() != s.addr(octetVIP) || named.Port() != w.Port() || real.Addr() != home {
			t.Fatalf("VIP %s bound at %s", named, real)
		}
		if note := strings.Join(w.Notes(), "\n"); !strings.Contains(note, named.String()+" is "+real.String()) {
			t.Errorf("note %q does not say where %s is", note, named)
		}
		for _, from := range []string{"", "us-east"} {
			if resp, _, err := w.get(from, s.Name, "/", patient); err != nil || resp.Header.Get("Shop-Region") != s.Name {
				t.Errorf("%s from %q: %v, %v", s.Name, from, resp, err)
			}
		}
	}
	w.inject(Fault{Kind: Lose, Site: "eu-west"})
	eventually(t, "lost", func() bool { return !w.status("eu-west").Reachable })
	if _, _, err := w.get("us-east", "eu-west", "/", impatient); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("lost: %v: want a timeout", err)
	}
}

// TestReplicaTakesDirectorsOnly: who does not speak the PROXY protocol is not let in by a guess.
func TestReplicaTakesDirectorsOnly(t *testing.T) {
	w := startWorld(t)
	c, err := net.Dial("tcp", w.site("eu-west").replicas[0].real.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, "GET / HTTP/1.0\r\n\r\n")
	if b, _ := io.ReadAll(c); strings.Contains(string(b), "200 OK") {
		t.Errorf("a plain client got\n%s", b)
	}
}

// TestLoseSite: what the world does to its own dialers happens to everybody else on the machine too.
func TestLoseSite(t *testing.T) {
	w := startWorld(t)
	for _, refuse := range []bool{false, true} {
		f := w.inject(Fault{Kind: Lose, Site: "eu-west", Refuse: refuse})
		for _, from := range []string{"", "us-east", "eu-west"} {
			eventually(t, fmt.Sprintf("eu-west lost (refuse %v) from %q", refuse, from), func() bool {
				_, _, err := w.get(from, "eu-west", "/", impatient)
				if refuse {
					return errors.Is(err, syscall.ECONNREFUSED)
				}
				return errors.Is(err, context.DeadlineExceeded)
			})
		}
		if !w.works("eu-west", "us-east") {
			t.Error("eu-west lost: us-east does not work")
		}
		if err := w.Heal(f.ID); err != nil {
			t.Fatal(err)
		}
		eventually(t, "eu-west back", func() bool {
			_, _, err := w.get("", "eu-west", "/", impatient)
			return err == nil
		})
	}
}

// TestLossCutsConnections: a connection from before the loss does not go on.
func TestLossCutsConnections(t *testing.T) {
	w := startWorld(t)
	_, real, _ := w.VIP("eu-west")
	c, err := net.Dial("tcp", real.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	eventually(t, "connection forwarded", func() bool { return w.conns("eu-west") == 1 })
	w.inject(Fault{Kind: Lose, Site: "eu-west"})
	c.SetReadDeadline(time.Now().Add(patient))
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("read after the loss: %v: want a reset", err)
	}
}

func TestFaultHealsByItself(t *testing.T) {
	w := startWorld(t)
	w.inject(Fault{Kind: Lose, Site: "eu-west", For: 200 * time.Millisecond})
	eventually(t, "lost", func() bool { return !w.status("eu-west").Reachable })
	eventually(t, "back", func() bool { return w.works("", "eu-west") })
	if len(w.Faults()) != 0 || !w.saw("healed by itself: lost") {
		t.Errorf("faults %v, events %q", w.Faults(), w.events)
	}
}

// TestKillDirector: the standby takes the VIP, the second death leaves a silent VIP, and who restarts removes what
// it left behind and gets the VIP by its priority.
func TestKillDirector(t *testing.T) {
	w := startWorld(t)
	eventually(t, "eu-west-a holds the VIP", func() bool { return w.status("eu-west").Holder == "eu-west-a" })
	first := w.inject(Fault{Kind: KillDirector, Site: "eu-west"})
	if first.To != "eu-west-a" {
		t.Fatalf("killed %q: want the holder, eu-west-a", first.To)
	}
	eventually(t, "eu-west-b holds the VIP", func() bool { return w.status("eu-west").Holder == "eu-west-b" })
	eventually(t, "served by eu-west-b", func() bool {
		resp, _, err := w.get("us-east", "eu-west", "/", impatient)
		return err == nil && resp.Header.Get("Shop-Director") == "eu-west-b"
	})
	if st := w.status("eu-west").Directors[0].State; st != "dead" {
		t.Errorf("eu-west-a is %q: want dead", st)
	}

	second := w.inject(Fault{Kind: KillDirector, Site: "eu-west"})
	if second.To != "eu-west-b" {
		t.Fatalf("killed %q: want eu-west-b", second.To)
	}
	eventually(t, "nobody holds the VIP", func() bool { return w.status("eu-west").Holder == "" })
	if _, _, err := w.get("", "eu-west", "/", impatient); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("VIP of two dead directors: %v: want silence", err)
	}
	if _, err := w.Inject(Fault{Kind: KillDirector, Site: "eu-west"}); err == nil {
		t.Error("killed a third of two directors")
	}

	if err := w.Heal(second.ID); err != nil {
		t.Fatal(err)
	}
	eventually(t, "eu-west-b serves again", func() bool { return w.works("", "eu-west") })
	if !w.saw("eu-west-b removed the stale VIP") {
		t.Errorf("no word of the stale VIP: %q", w.events)
	}
	if n := w.HealAll(); n != 1 {
		t.Errorf("healed %d: want 1", n)
	}
	eventually(t, "eu-west-a preempts", func() bool {
		resp, _, err := w.get("", "eu-west", "/", patient)
		return err == nil && resp.Header.Get("Shop-Director") == "eu-west-a"
	})
}

// TestKillReplica: the other replica serves every request, before and after the directors noticed; without any, the
// VIP refuses.
func TestKillReplica(t *testing.T) {
	w := startWorld(t)
	w.inject(Fault{Kind: KillReplica, Site: "eu-west", To: "1"})
	eventually(t, "eu-west-1 out", func() bool { return !w.status("eu-west").Replicas[0].Up })
	for range 4 {
		if resp, _, err := w.get("", "eu-west", "/", patient); err != nil || resp.Header.Get("Shop-Replica") != "eu-west-2" {
			t.Fatalf("with one replica: %v, %v", resp, err)
		}
	}
	w.inject(Fault{Kind: KillReplica, Site: "eu-west"})
	eventually(t, "no replica left", func() bool {
		_, _, err := w.get("us-east", "eu-west", "/", patient)
		return err != nil
	})
	w.HealAll()
	eventually(t, "both replicas back", func() bool { st := w.status("eu-west"); return st.Replicas[0].Up && st.Replicas[1].Up })
	if !w.works("", "eu-west") {
		t.Error("replicas are back, the site does not work")
	}
}

// TestErrors: the failure that a director's check does not see.
func TestErrors(t *testing.T) {
	w := startWorld(t)
	w.inject(Fault{Kind: Errors, Site: "ap-south"})
	for _, path := range []string{"/", "/healthz", "/api/v1/products"} {
		resp, _, err := w.get("us-east", "ap-south", path, patient)
		if err != nil || resp.StatusCode != 500 {
			t.Errorf("%s: %v, %v: want 500", path, resp, err)
		}
	}
	if resp, _, err := w.get("", "ap-south", "/readyz", patient); err != nil || resp.StatusCode != 200 {
		t.Errorf("readyz: %v, %v: want 200", resp, err)
	}
	if !w.works("", "us-east") {
		t.Error("us-east does not work")
	}
}

func TestSlow(t *testing.T) {
	w := startWorld(t)
	const delay = 300 * time.Millisecond
	w.inject(Fault{Kind: Slow, Site: "eu-west", Delay: delay})
	start := time.Now()
	if !w.works("", "eu-west") {
		t.Fatal("a slow site does not work")
	}
	if took := time.Since(start); took < delay {
		t.Errorf("answered in %v: want %v or more", took, delay)
	}
}

func TestLossy(t *testing.T) {
	w := startWorld(t)
	w.inject(Fault{Kind: Lossy, Site: "eu-west", Percent: 95})
	eventually(t, "a request that is lost once", func() bool {
		_, _, err := w.get("us-east", "eu-west", "/", impatient)
		return errors.Is(err, context.DeadlineExceeded)
	})
	if !w.works("eu-west", "us-east") {
		t.Error("us-east does not work")
	}
}

// TestPathCut: one datacenter cannot reach another's VIP; everybody else can, and so can it in the other direction.
func TestPathCut(t *testing.T) {
	w := startWorld(t)
	w.inject(Fault{Kind: CutPath, Site: "us-east", To: "eu-west"})
	if _, _, err := w.get("us-east", "eu-west", "/", impatient); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("over the cut path: %v: want a timeout", err)
	}
	for _, p := range [][2]string{{"eu-west", "us-east"}, {"ap-south", "eu-west"}, {"us-east", "us-east"}, {"", "eu-west"}} {
		if !w.works(p[0], p[1]) {
			t.Errorf("%q to %q does not work", p[0], p[1])
		}
	}
}

func TestDialTakesARoundTrip(t *testing.T) {
	w := startWorld(t)
	named, _, _ := w.VIP("eu-west")
	start := time.Now()
	c, err := w.Network().Dialer("us-east")(t.Context(), "tcp", named.String())
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	if took := time.Since(start); took < 20*time.Millisecond {
		t.Errorf("connected in %v: want 20 ms or more", took)
	}
}

// TestConnectionsDrainAtTheEnd: when the world ends, its VIPs close first, and who is connected is still served.
func TestConnectionsDrainAtTheEnd(t *testing.T) {
	w := startWorld(t)
	_, real, _ := w.VIP("eu-west")
	c, err := net.Dial("tcp", real.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	eventually(t, "connection forwarded", func() bool { return w.conns("eu-west") == 1 })
	w.end()
	eventually(t, "VIP closed", func() bool {
		late, err := net.Dial("tcp", real.String())
		if err == nil {
			late.Close()
		}
		return errors.Is(err, syscall.ECONNREFUSED)
	})
	c.SetDeadline(time.Now().Add(patient))
	io.WriteString(c, "GET / HTTP/1.0\r\n\r\n")
	if b, err := io.ReadAll(c); err != nil || !strings.HasPrefix(string(b), "HTTP/1.0 200 OK") {
		t.Errorf("request of a connected client: %q, %v", b, err)
	}
}

func TestOptionsFaults(t *testing.T) {
	for name, o := range map[string]Options{
		"twice the name": {Sites: []Site{{"a", 1}, {"a", 2}}},
		"twice the net":  {Sites: []Site{{"a", 1}, {"b", 1}}},
		"no name":        {Sites: []Site{{"", 1}}},
		"no sites":       {Sites: []Site{}},
		"advert":         {Advert: time.Microsecond},
		"check":          {Check: time.Microsecond},
	} {
		if _, err := New(nil, o); err == nil {
			t.Errorf("%s: want an error", name)
		}
	}
}
