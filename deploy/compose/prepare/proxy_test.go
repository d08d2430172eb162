package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// replica is a shop behind a proxy: it says how often it was asked, and can die in the middle of everything.
type replica struct {
	addr   string
	server *http.Server
	gets   atomic.Int64
	posts  atomic.Int64
}

// start serves until kill.
func (r *replica) start(t *testing.T) {
	t.Helper()
	l, err := net.Listen("tcp", r.addr)
	if err != nil {
		t.Skipf("LAYER 7 NOT TESTED: %v", err) // no 127.0.x.y
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /", func(w http.ResponseWriter, _ *http.Request) {
		r.gets.Add(1)
		time.Sleep(2 * time.Millisecond) // so that there is always something under way
		io.WriteString(w, r.addr)
	})
	mux.HandleFunc("POST /die", func(http.ResponseWriter, *http.Request) {
		r.posts.Add(1)
		panic(http.ErrAbortHandler) // the connection ends without an answer
	})
	r.server = &http.Server{Handler: mux}
	go r.server.Serve(l)
}

// kill ends the listener and every connection.
func (r *replica) kill() { r.server.Close() }

// TestProxies puts the layer 7 proxies, with the configuration that containers get, in front of two replicas and kills
// one under load: nothing that may be asked twice fails, and nothing that may not is asked twice.
func TestProxies(t *testing.T) {
	for _, proxy := range []struct {
		program, file string
		args          []string
	}{
		{"nginx", "us-east.nginx", []string{"-g", "daemon off;", "-c"}},
		{"haproxy", "us-east.haproxy", []string{"-db", "-f"}},
	} {
		t.Run(proxy.program, func(t *testing.T) {
			program, err := exec.LookPath(proxy.program)
			if err != nil {
				program = "/usr/sbin/" + proxy.program
				if _, err := os.Stat(program); err != nil {
					t.Skipf("LAYER 7 NOT TESTED: no %s", proxy.program)
				}
			}
			// The world of the containers on loopback, with another port than 80.
			w, err := NewWorld("127.0", "1s")
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			if err := w.write(Folders{Fleet: dir, Keys: dir, Shop: dir, Postgres: dir}); err != nil {
				t.Fatal(err)
			}
			port := freePort(t)
			conf, err := os.ReadFile(filepath.Join(dir, proxy.file))
			if err != nil {
				t.Fatal(err)
			}
			front := fmt.Sprintf("127.0.0.1:%d", port)
			text := strings.NewReplacer(
				"/tmp/", dir+"/", "listen 80;", "listen "+front+";", "bind :80", "bind "+front, ":80 ", fmt.Sprintf(":%d ", port),
			).Replace(string(conf))
			file := filepath.Join(dir, "proxy.conf")
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			var replicas []*replica
			for _, addr := range w.Regions[0].Shops() {
				r := &replica{addr: net.JoinHostPort(addr, strconv.Itoa(port))}
				r.start(t)
				t.Cleanup(r.kill)
				replicas = append(replicas, r)
			}
			runProgram(t, program, append(proxy.args, file)...)
			client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 8}}
			t.Cleanup(client.CloseIdleConnections)
			eventually(t, "both replicas are asked", func() bool {
				get(client, front)
				return replicas[0].gets.Load() > 0 && replicas[1].gets.Load() > 0
			})

			const customers, requests = 8, 300 // each
			var failed, asked atomic.Int64
			var load sync.WaitGroup
			for range customers {
				load.Go(func() {
					for range requests {
						if err := get(client, front); err != nil && failed.Add(1) <= 5 {
							t.Error(err)
						}
						asked.Add(1)
					}
				})
			}
			eventually(t, "a third of the load", func() bool { return asked.Load() > customers*requests/3 })
			replicas[0].kill()
			load.Wait()
			if failed.Load() > 0 {
				t.Errorf("%d of %d requests failed", failed.Load(), asked.Load())
			}

			// An order that was sent may have been placed, whatever became of the answer. haproxy hangs up where the
			// connection had been used before.
			resp, err := client.Post("http://"+front+"/die", "text/plain", strings.NewReader("an order"))
			if err == nil {
				resp.Body.Close()
				if resp.StatusCode != http.StatusBadGateway {
					t.Errorf("order: %s: want 502", resp.Status)
				}
			}
			if sent := replicas[0].posts.Load() + replicas[1].posts.Load(); sent != 1 {
				t.Errorf("order: sent %d times: want once", sent)
			}

			before := replicas[0].gets.Load()
			replicas[0].start(t)
			eventually(t, "the replica that came back is asked", func() bool {
				get(client, front)
				return replicas[0].gets.Load() > before
			})
		})
	}
}

// get asks for a page and reports anything but an answer of a replica.
func get(client *http.Client, front string) error {
	resp, err := client.Get("http://" + front + "/")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, body)
	}
	return err
}

// runProgram starts a program that ends with the test, and shows what it said if the test fails.
func runProgram(t *testing.T, program string, args ...string) {
	t.Helper()
	var said bytes.Buffer
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(os.Interrupt)
		cmd.Wait() // how it ends says nothing: it was told to
		if t.Failed() {
			t.Logf("%s:\n%s", filepath.Base(program), said.String())
		}
	})
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// eventually polls a condition.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !cond(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in a minute: %s", what)
		}
	}
}
