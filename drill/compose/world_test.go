package compose

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meridian-gtm/meridian/control"
	"github.com/meridian-gtm/meridian/drill"
)

// TestMain makes this program the docker of its own tests: with MERIDIAN_TEST_ENGINE, a folder, it notes how it was called
// and answers from there.
func TestMain(m *testing.M) {
	if dir := os.Getenv("MERIDIAN_TEST_ENGINE"); dir != "" {
		os.Exit(fakeDocker(dir, os.Args[1:]))
	}
	os.Exit(m.Run())
}

func fakeDocker(dir string, args []string) int {
	last := args[len(args)-1]
	if last == "pipe" {
		addr, err := os.ReadFile(filepath.Join(dir, "api"))
		if err != nil {
			fmt.Fprintln(os.Stderr, "nothing listens")
			return 1
		}
		conn, err := net.Dial("tcp", string(addr))
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		// Which container it was: the server tells nodes apart by this.
		fmt.Fprintf(conn, "%s\n", args[2])
		go func() {
			io.Copy(conn, os.Stdin)
			conn.(*net.TCPConn).CloseWrite()
		}()
		io.Copy(os.Stdout, conn)
		return 0
	}
	stdin := ""
	if args[0] == "run" {
		b, _ := io.ReadAll(os.Stdin)
		stdin = " <<< " + strings.Join(strings.Fields(string(b)), " ")
	}
	f, err := os.OpenFile(filepath.Join(dir, "calls"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return 3
	}
	fmt.Fprintf(f, "%s%s\n", strings.Join(args, " "), stdin)
	f.Close()
	if b, err := os.ReadFile(filepath.Join(dir, "fail-"+args[0])); err == nil {
		fmt.Fprintf(os.Stderr, "Error response from daemon\n%s\n", b)
		return 1
	}
	if args[0] == "exec" && strings.Contains(last, "show") {
		if strings.HasPrefix(args[1], "eu-west-director-b") {
			fmt.Println("2: eth0    inet 198.18.0.20/32 scope global eth0")
		}
		return 0
	}
	b, _ := os.ReadFile(filepath.Join(dir, args[0])) // ps, inspect; others print nothing
	os.Stdout.Write(b)
	return 0
}

// engine is an engine with the containers of two regions, as their labels and docker inspect describe them.
type engine struct {
	t    *testing.T
	dir  string
	told int // octets of the calls
}

// container is one of docker inspect, as far as it is read.
func container(region, role, name string, addrs ...string) map[string]any {
	networks := map[string]any{}
	for i, a := range addrs {
		networks[fmt.Sprintf("meridian_net%d", i)] = map[string]any{"IPAddress": a, "IPPrefixLen": 24}
	}
	c := map[string]any{
		"Id": region + "-" + name + "-id", "Name": "/meridian-" + region + "-" + name + "-1", "Image": "sha256:" + role, "Path": "/bin/" + role,
		"Config":          map[string]any{"Labels": map[string]any{"meridian.region": region, "meridian.role": role}},
		"HostConfig":      map[string]any{},
		"NetworkSettings": map[string]any{"Networks": networks},
	}
	if role == "dns" {
		port := map[string]string{"us-east": "5301", "eu-west": "5302"}[region]
		c["HostConfig"] = map[string]any{"PortBindings": map[string]any{"53/udp": []any{map[string]string{"HostIp": "127.0.0.1", "HostPort": port}}}}
		labels := c["Config"].(map[string]any)["Labels"].(map[string]any)
		labels["meridian.name"], labels["meridian.pace"] = "www.shop.example", "fast"
		labels["meridian.clients"] = "192.0.2.0/26 New York; 2001:db8::/48 Frankfurt"
	}
	return c
}

func containers() (all []map[string]any) {
	for i, region := range []string{"us-east", "eu-west"} {
		n := 10 * (i + 1)
		all = append(all,
			container(region, "director", "director-a", fmt.Sprintf("198.18.0.%d", n+1), fmt.Sprintf("198.18.%d.11", i+1)),
			container(region, "director", "director-b", fmt.Sprintf("198.18.0.%d", n+2), fmt.Sprintf("198.18.%d.12", i+1)),
			container(region, "dns", "dns", fmt.Sprintf("198.18.0.%d", n+3), fmt.Sprintf("198.18.9.%d", n+3)),
			container(region, "db", "db", fmt.Sprintf("198.18.9.%d", n+6)),
			container(region, "etcd", "etcd", fmt.Sprintf("198.18.9.%d", n+7)),
			container(region, "shop", "shop-1", fmt.Sprintf("198.18.%d.21", i+1)),
			container(region, "proxy", "proxy", fmt.Sprintf("198.18.%d.13", i+1)),
		)
	}
	return append(all, container("", "bank", "bank", "198.18.9.2"), container("us-east", "prepare", "prepare", "198.18.9.3"))
}

// newEngine puts an engine where the tests' docker finds it, with nodes whose API can be asked.
func newEngine(t *testing.T, containers []map[string]any) *engine {
	e := &engine{t: t, dir: t.TempDir()}
	t.Setenv("MERIDIAN_TEST_ENGINE", e.dir)
	t.Setenv("GORACE", "atexit_sleep_ms=0") // of the many short calls none races at its end
	var ids []string
	for _, c := range containers {
		ids = append(ids, c["Id"].(string))
	}
	b, err := json.Marshal(containers)
	if err != nil {
		t.Fatal(err)
	}
	e.put("ps", strings.Join(ids, "\n"))
	e.put("inspect", string(b))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			region, _, _ := strings.Cut(r.Context().Value(http.LocalAddrContextKey).(named).region, "-dns")
			json.NewEncoder(w).Encode(control.Status{Node: region + "-1", Datacenter: region, Sites: []control.SiteStatus{
				{Site: "us-east", V4: netip.MustParseAddr("198.18.0.10")}, {Site: "eu-west", V4: netip.MustParseAddr("198.18.0.20")},
			}})
		}),
	}
	go server.Serve(namedListener{listener})
	t.Cleanup(func() { server.Close() })
	e.put("api", listener.Addr().String())
	return e
}

// namedListener takes connections that begin with the container that they come from; their local address says it.
type namedListener struct{ net.Listener }

func (l namedListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	var name []byte
	for b := make([]byte, 1); ; name = append(name, b[0]) {
		if _, err := conn.Read(b); err != nil || b[0] == '\n' {
			break
		}
	}
	return namedConn{conn, named{conn.LocalAddr(), string(name)}}, nil
}

type namedConn struct {
	net.Conn
	local named
}

func (c namedConn) LocalAddr() net.Addr { return c.local }

type named struct {
	net.Addr
	region string
}

func (e *engine) put(name, text string) {
	e.t.Helper()
	if err := os.WriteFile(filepath.Join(e.dir, name), []byte(text), 0o600); err != nil {
		e.t.Fatal(err)
	}
}

// called returns the calls since the last time, sorted where they were made at once. Others may be about to add theirs, so
// the file stays.
func (e *engine) called() []string {
	b, _ := os.ReadFile(filepath.Join(e.dir, "calls"))
	b = b[e.told : bytes.LastIndexByte(b, '\n')+1]
	e.told += len(b)
	if len(b) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSpace(string(b)), "\n")
}

func open(t *testing.T) *World {
	t.Helper()
	w, err := Open(t.Context(), Options{Docker: os.Args[0]})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestWorldTellsWhatThereIs(t *testing.T) {
	e := newEngine(t, containers())
	w := open(t)
	f := w.Fleet()
	if f.Name != "www.shop.example" || w.Pace() != drill.Fast || len(f.Nodes) != 2 || len(f.Clients) != 2 || w.Limits() != "" {
		t.Fatalf("%+v, %s pace, %q", f, w.Pace(), w.Limits())
	}
	for i, want := range []struct{ name, site, dns string }{{"eu-west-1", "eu-west", "127.0.0.1:5302"}, {"us-east-1", "us-east", "127.0.0.1:5301"}} {
		if n := f.Nodes[i]; n.Name != want.name || n.Site != want.site || n.DNS.String() != want.dns || n.API == nil {
			t.Errorf("node %+v: want %+v", n, want)
		}
	}
	if c := f.Clients[1]; c.Prefix.String() != "2001:db8::/48" || c.Label != "Frankfurt" || c.Weight != 1 {
		t.Errorf("client %+v", c)
	}
	if !slices.Equal(w.Can(), Kinds()) {
		t.Errorf("can %v: want %v", w.Can(), Kinds())
	}
	calls := e.called()
	if !strings.HasPrefix(calls[0], "ps --all --quiet --no-trunc --filter label=com.docker.compose.project=meridian ") || !strings.Contains(calls[2], "run --rm --interactive --network none ") {
		t.Errorf("called %q", calls)
	}

	witness, err := w.Witness("us-east")
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(witness.Watch[1:], " "); !strings.Contains(got, "--network meridian_net0 ") ||
		!strings.Contains(got, " --entrypoint /bin/shop sha256:shop load --log - --for 1h0m0s --regions eu-west,us-east --target http://198.18.0.20 --target http://198.18.0.10") {
		t.Errorf("customers: %s", got)
	}
	if got := strings.Join(witness.Check[1:], " "); !strings.HasPrefix(got, "exec --interactive eu-west-shop-1-id /bin/shop check --acked - ") {
		t.Errorf("proof: %s: want one from outside the site that breaks", got)
	}

	e.put("fail-run", "could not process rule")
	if w := open(t); slices.Contains(w.Can(), drill.CutPath) || !slices.Contains(w.Can(), drill.Lose) || !strings.Contains(w.Limits(), "could not process rule") {
		t.Errorf("without a packet filter: can %v, %q", w.Can(), w.Limits())
	}
}

func TestWorldThatIsNotThere(t *testing.T) {
	stopped := containers()
	stopped[5]["NetworkSettings"] = map[string]any{"Networks": map[string]any{"n": map[string]any{"IPAddress": ""}}}
	unpublished := containers()
	unpublished[2]["HostConfig"] = map[string]any{}
	noise := containers()
	noise[2]["Config"].(map[string]any)["Labels"].(map[string]any)["meridian.clients"] = "192.0.2.1/26"
	noise[9]["Config"] = noise[2]["Config"]
	for fault, all := range map[string][]map[string]any{
		"no containers of project meridian":                         nil,
		"container meridian-us-east-shop-1-1 does not run":          stopped,
		"container meridian-us-east-dns-1: port 53/udp is publishe": unpublished,
		`label meridian.clients: "192.0.2.1/26"`:                    noise,
		"no container has the label meridian.role=dns":              containers()[:2],
	} {
		newEngine(t, all)
		if _, err := Open(t.Context(), Options{Docker: os.Args[0]}); err == nil || !strings.Contains(err.Error(), fault) {
			t.Errorf("%v: want %s", err, fault)
		}
	}
	e := newEngine(t, containers())
	if err := os.Remove(filepath.Join(e.dir, "api")); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), Options{Docker: os.Args[0]}); err == nil || !strings.Contains(err.Error(), "dns-1: ") || !strings.Contains(err.Error(), "nothing listens") {
		t.Errorf("nodes that do not answer: %v: want the container and what it said", err)
	}
	e.put("fail-ps", "cannot connect")
	if _, err := Open(t.Context(), Options{Docker: os.Args[0]}); err == nil || !strings.Contains(err.Error(), "cannot connect") {
		t.Errorf("no engine: %v", err)
	}
	if _, err := Open(t.Context(), Options{Docker: filepath.Join(e.dir, "none")}); err == nil {
		t.Error("no docker, and no error")
	}
}

// TestFaults: what each fault does to which container, and what undoes it.
func TestFaults(t *testing.T) {
	const run = "run --rm --interactive --network container:%s-id --user 0:0 --read-only --cap-drop ALL --cap-add NET_ADMIN " +
		"--security-opt no-new-privileges --memory 64m --pull never --entrypoint nft sha256:director --file - <<< "
	set := func(elements string) string {
		var timed []string
		for e := range strings.SplitSeq(elements, " ") {
			timed = append(timed, e+" timeout 30000ms")
		}
		return "table inet meridian_drill_ID { set matched { type ipv4_addr flags timeout elements = { " + strings.Join(timed, ", ") + " } } "
	}
	chain := func(n int, hook, rule string) string {
		return fmt.Sprintf("chain c%d { type filter hook %s priority -300 %s } ", n, hook, rule)
	}
	const gone = "table inet meridian_drill_ID delete table inet meridian_drill_ID"
	on := func(container, text string) string { return fmt.Sprintf(run, container) + text }
	delay := func(container string) string {
		return "run --detach --rm --name meridian_drill_ID_meridian-" + container + "-1 --network container:" + container + "-id --user 65532:65532 " +
			"--read-only --cap-drop ALL --security-opt no-new-privileges --memory 64m --pull never --entrypoint meridian sha256:director " +
			"drill delay --listen 0.0.0.0:17171 --delay 400ms --for 35s <<< "
	}
	const redirect = "chain c0 { type nat hook prerouting priority -100 ip daddr @matched meta l4proto tcp redirect to :17171 } }"
	e := newEngine(t, containers())
	w := open(t)
	for _, tt := range []struct {
		fault        drill.Fault
		broken, back []string
	}{
		{
			drill.Fault{Kind: drill.Lose, Site: "eu-west"},
			[]string{"kill meridian-eu-west-shop-1-1 meridian-eu-west-proxy-1 meridian-eu-west-director-a-1 meridian-eu-west-director-b-1"},
			[]string{"start meridian-eu-west-shop-1-1 meridian-eu-west-proxy-1 meridian-eu-west-director-a-1 meridian-eu-west-director-b-1"},
		}, {
			drill.Fault{Kind: drill.KillData, Site: "us-east"},
			[]string{"kill meridian-us-east-etcd-1 meridian-us-east-db-1"}, []string{"start meridian-us-east-etcd-1 meridian-us-east-db-1"},
		}, {
			drill.Fault{Kind: drill.KillNode, Site: "us-east"}, []string{"kill meridian-us-east-dns-1"}, []string{"start meridian-us-east-dns-1"},
		}, {
			drill.Fault{Kind: drill.PauseNode, Site: "us-east"}, []string{"pause meridian-us-east-dns-1"}, []string{"unpause meridian-us-east-dns-1"},
		}, {
			drill.Fault{Kind: drill.KillDirector, Site: "eu-west"},
			[]string{
				"exec eu-west-director-a-id ip -oneline -4 address show", "exec eu-west-director-b-id ip -oneline -4 address show",
				"kill meridian-eu-west-director-b-1",
			}, []string{"start meridian-eu-west-director-b-1"},
		}, {
			drill.Fault{Kind: drill.CutPath, Site: "us-east", To: "eu-west"},
			[]string{on("us-east-dns", set("198.18.0.20")+chain(0, "output", "ip daddr @matched drop")+"}")}, []string{on("us-east-dns", gone)},
		}, {
			drill.Fault{Kind: drill.CutGossip, Site: "us-east"},
			[]string{
				on("eu-west-dns", set("198.18.0.13 198.18.9.13")+chain(0, "input", "ip saddr @matched drop")+chain(1, "output", "ip daddr @matched drop")+"}"),
				on("us-east-dns", set("198.18.0.23 198.18.9.23")+chain(0, "input", "ip saddr @matched drop")+chain(1, "output", "ip daddr @matched drop")+"}"),
			}, []string{on("eu-west-dns", gone), on("us-east-dns", gone)},
		}, {
			drill.Fault{Kind: drill.Lossy, Site: "us-east", Percent: 20},
			[]string{
				on("us-east-director-a", set("198.18.0.10")+chain(0, "input", "ip daddr @matched numgen random mod 100 < 20 drop")+"}"),
				on("us-east-director-b", set("198.18.0.10")+chain(0, "input", "ip daddr @matched numgen random mod 100 < 20 drop")+"}"),
			}, []string{on("us-east-director-a", gone), on("us-east-director-b", gone)},
		}, {
			drill.Fault{Kind: drill.Errors, Site: "us-east"},
			[]string{
				on("us-east-director-a", set("198.18.0.10")+chain(0, "input", "ip daddr @matched meta l4proto tcp reject with tcp reset")+"}"),
				on("us-east-director-b", set("198.18.0.10")+chain(0, "input", "ip daddr @matched meta l4proto tcp reject with tcp reset")+"}"),
			}, []string{on("us-east-director-a", gone), on("us-east-director-b", gone)},
		}, {
			drill.Fault{Kind: drill.Slow, Site: "us-east", Delay: 400 * time.Millisecond},
			[]string{
				delay("us-east-director-a"), delay("us-east-director-b"),
				on("us-east-director-a", set("198.18.0.10")+redirect), on("us-east-director-b", set("198.18.0.10")+redirect),
			}, []string{
				"rm --force meridian_drill_ID_meridian-us-east-director-a-1", "rm --force meridian_drill_ID_meridian-us-east-director-b-1",
				on("us-east-director-a", gone), on("us-east-director-b", gone),
			},
		},
	} {
		t.Run(string(tt.fault.Kind), func(t *testing.T) {
			e.called()
			tt.fault.For = 30 * time.Second
			before := time.Now()
			in, err := w.Inject(t.Context(), tt.fault)
			if err != nil || in.At.Before(before) || in.At.After(time.Now()) {
				t.Fatalf("%+v, %v", in, err)
			}
			check := func(what string, want []string) {
				t.Helper()
				got := e.called()
				slices.Sort(got) // several containers are seen to at once
				for i := range want {
					want[i] = strings.ReplaceAll(want[i], "_ID", "_"+in.ID)
				}
				if !slices.Equal(got, want) {
					t.Errorf("%s: called\n%s\nwant\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
				}
			}
			check("broken", tt.broken)
			if err := w.Heal(t.Context(), in); err != nil {
				t.Error(err)
			}
			check("healed", tt.back)
			if err := w.Heal(t.Context(), in); err != nil || len(e.called()) > 0 {
				t.Errorf("healed again: %v: want nothing done", err)
			}
		})
	}
	for _, f := range []drill.Fault{
		{Kind: drill.FillDisk, Site: "us-east"}, {Kind: drill.Lose, Site: "mars"}, {Kind: drill.CutPath, Site: "us-east", To: "mars"},
		{Kind: drill.KillDirector, Site: "us-east"}, // none has the VIP
	} {
		f.For = 30 * time.Second
		if _, err := w.Inject(t.Context(), f); err == nil {
			t.Errorf("%+v: no error", f)
		}
	}
}

// TestContainersComeBackWithoutTheDrill: nobody heals, and still everything is started again when the time is over; after a
// heal nobody waits any more to do it again.
func TestContainersComeBackWithoutTheDrill(t *testing.T) {
	e := newEngine(t, containers())
	w := open(t)
	e.called()
	if _, err := w.Inject(t.Context(), drill.Fault{Kind: drill.KillNode, Site: "us-east", For: time.Second}); err != nil {
		t.Fatal(err)
	}
	healed, err := w.Inject(t.Context(), drill.Fault{Kind: drill.KillNode, Site: "eu-west", For: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	rescue := w.made[healed.ID].rescue
	if err := w.Heal(t.Context(), healed); err != nil {
		t.Fatal(err)
	}
	select {
	case <-rescue.ended:
	default:
		t.Error("a rescue that is not needed goes on")
	}
	var calls []string
	for deadline := time.Now().Add(20 * time.Second); !slices.Contains(calls, "start meridian-us-east-dns-1"); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("called %q: want the node started", calls)
		}
		calls = append(calls, e.called()...)
	}
	if n := len(slices.DeleteFunc(calls, func(c string) bool { return c != "start meridian-eu-west-dns-1" })); n != 1 {
		t.Errorf("the other node was started %d times: want once", n)
	}
}

// TestHalfBrokenIsHealed: what was done before an error is undone.
func TestHalfBrokenIsHealed(t *testing.T) {
	e := newEngine(t, containers())
	w := open(t)
	e.put("fail-kill", "no such container")
	e.called()
	if _, err := w.Inject(t.Context(), drill.Fault{Kind: drill.Lose, Site: "eu-west", For: time.Minute}); err == nil || !strings.Contains(err.Error(), "no such container") {
		t.Errorf("%v: want what docker said", err)
	}
	if calls := e.called(); len(calls) != 2 || !strings.HasPrefix(calls[1], "start meridian-eu-west-shop-1-1 ") || len(w.made) != 0 {
		t.Errorf("called %q: want all of them started again", calls)
	}
	e.put("fail-unpause", "Container abc is not paused")
	in, err := w.Inject(t.Context(), drill.Fault{Kind: drill.PauseNode, Site: "eu-west", For: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Heal(t.Context(), in); err != nil {
		t.Errorf("a pause that has ended by itself: %v", err)
	}
}

func FuzzReadParts(f *testing.F) {
	b, err := json.Marshal(containers())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`[{"Config":null,"HostConfig":{"PortBindings":{"53/udp":[{}]}},"NetworkSettings":{"Networks":{"a":null}}}]`))
	f.Fuzz(func(t *testing.T, b []byte) {
		parts, err := readParts(b)
		for _, p := range parts {
			if err != nil || p.region == "" || !slices.Contains(roles, p.role) {
				t.Errorf("%+v, %v", p, err)
			}
			for _, a := range p.addresses() {
				if !a.IsValid() {
					t.Errorf("%+v", p)
				}
			}
		}
	})
}
